"""Who is calling: request id and address, read from a WSGI environment without trusting the caller."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from broker.kernel.context import CallContext
from broker.kernel.ids import new_id
from broker.kernel.runtime import Runtime

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
_USER_AGENT_CHARS = 200


def read_context(environ: Mapping[str, Any], rt: Runtime) -> CallContext:
    """Return the context of one request: the clock's time, a request id, the caller's address and agent."""
    proxies = rt.settings.trusted_proxies
    return CallContext(
        now=rt.clock.now(),
        request_id=_request_id(environ, proxies),
        ip=_address(environ, proxies),
        user_agent=str(environ.get("HTTP_USER_AGENT", ""))[:_USER_AGENT_CHARS],
    )


def _request_id(environ: Mapping[str, Any], proxies: int) -> str:
    # Without this: a caller could choose the id under which others look for a different request.
    given = str(environ.get("HTTP_X_REQUEST_ID", "")) if proxies else ""
    return given if _REQUEST_ID.fullmatch(given) else new_id("req")


def _address(environ: Mapping[str, Any], proxies: int) -> str:
    """Return the address that the outermost trusted proxy saw; only as many hops are believed as are set.

    Without this: a caller could write any address into the audit log by sending X-Forwarded-For.
    """
    peer = str(environ.get("REMOTE_ADDR", ""))
    hops = [hop.strip() for hop in str(environ.get("HTTP_X_FORWARDED_FOR", "")).split(",")]
    if not proxies or len(hops) < proxies:
        return peer
    try:
        return str(ipaddress.ip_address(hops[-proxies]))
    except ValueError:
        return peer

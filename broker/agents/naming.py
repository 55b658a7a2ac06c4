"""How scopes and resources may be spelled, so that each has one spelling everywhere."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from broker.agents.redirect_uris import LOOPBACK_HOSTS
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove

STANDARD_SCOPES = frozenset({"openid", "profile", "email", "offline_access"})
"""Scopes that belong to no resource."""

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")


def check_scope_names(field: str, scopes: Iterable[str]) -> None:
    """Accept scope tokens of RFC 6749 §3.3; raises ``Refusal``."""
    for scope in scopes:
        if not _SCOPE.fullmatch(scope):
            raise _refuse(f"{field}: {scope[:80]!r} is not a scope (no spaces, quotes or backslashes)")


def check_resource_identifier(field: str, identifier: str) -> None:
    """Accept an absolute https address, or http on loopback, without fragment (RFC 8707 §2)."""
    try:
        parts = urlsplit(identifier)
        host = parts.netloc.rpartition(":")[0] if parts.port is not None else parts.netloc
    except ValueError:
        raise _refuse(f"{field}: {identifier[:200]!r} is not an address") from None
    is_plain = identifier.isascii() and identifier.isprintable() and not re.search(r"[\s#@\\]", identifier)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK_HOSTS)
    # Requests are compared in this one spelling; a resource in another would never be found (RI-06).
    is_canonical = parts.netloc == parts.netloc.lower() and (parts.path != "/" or parts.query)
    if not (is_plain and is_safe and host and is_canonical) or len(identifier) > 500:
        raise _refuse(
            f"{field}: {identifier[:200]!r} must be an https address without fragment (http only on "
            "loopback), its host in lower case, without a slash that ends the host"
        )


def _refuse(why: str) -> Refusal:
    return Refusal(ErrorCode.BAD_CONFIGURATION, why, reason="bad_name", whose_move=WhoseMove.DEVELOPER)

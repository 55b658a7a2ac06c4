"""The one outbound HTTP client: https, resolve once and connect there, no redirects, size and time capped.

Without this: a metadata, JWKS, client-document or logo address chosen by somebody else could make the
broker call machines that only it can reach (CVE-2026-55671 fell to rebinding, redirects and downgrade).
"""

import ipaddress
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from broker.kernel.errors import ErrorCode, Refusal, WhoseMove

if TYPE_CHECKING:
    import httpx2

MAX_BYTES = 1_048_576
"""No document that the broker fetches is honestly larger."""
MOST_BYTES = 4 * MAX_BYTES
"""Nothing larger is read from anybody, whatever a caller would take."""
TOTAL_SECONDS = 10.0
"""A far side that drips its answer is given up after this long."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer that was taken whole, and the headers that say what it is and how long it holds."""

    body: bytes
    content_type: str
    cache_control: str

    @property
    def is_json(self) -> bool:
        """Whether the answer calls itself JSON, plain or of a profile (RFC 6839 §3.1)."""
        kind = self.content_type.partition(";")[0].strip().lower()
        return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))

    def holds_seconds(self, *, least: int, most: int) -> int:
        """Return how long the answer may be kept (RFC 9111 §5.2), within bounds of ours.

        Without the bounds: a far side could have itself asked without end, or never asked again.
        """
        said = {
            name.strip().lower(): value.strip().strip('"')
            for name, _, value in (part.partition("=") for part in self.cache_control.split(","))
        }
        if said.keys() & {"no-store", "no-cache"}:
            return least
        age = said.get("s-maxage") or said.get("max-age") or ""
        seconds = int(age) if age.isascii() and age.isdigit() and len(age) < 10 else least
        return max(least, min(most, seconds))


class Egress:
    """Guarded outbound calls; ``may_reach_loopback`` is the development profile's named relaxation."""

    def __init__(self, *, may_reach_loopback: bool = False) -> None:
        self._may_reach_loopback = may_reach_loopback
        self._lock = threading.Lock()
        self._client: httpx2.Client | None = None

    def client(self) -> "httpx2.Client":
        """Return the shared client: no redirects, no proxy from the environment, guarded addresses."""
        # Imported when somebody is first called: a start should not wait for an HTTP client.
        from broker.kernel.egress_transport import open_client

        with self._lock:
            if self._client is None:
                self._client = open_client(may_reach_loopback=self._may_reach_loopback)
            return self._client

    def fetch(
        self, url: str, *, max_bytes: int = MAX_BYTES, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Return the body of a 200 answer to GET ``url``; raises as ``get`` does."""
        return self.get(url, max_bytes=max_bytes, headers=headers).body

    def get(
        self, url: str, *, max_bytes: int = MAX_BYTES, headers: Mapping[str, str] | None = None
    ) -> Fetched:
        """Return a 200 answer to GET ``url`` with what its headers say of it.

        Raises ``Refusal(egress_refused)`` for any other status, a redirect, a compressed answer, more
        than ``max_bytes`` bytes, or more than ``TOTAL_SECONDS``.
        """
        from broker.kernel.egress_transport import UNREACHABLE

        body = bytearray()
        try:
            with self.client().stream("GET", url, headers=dict(headers or {})) as response:
                if response.status_code != 200:
                    raise _refuse(f"answered {response.status_code}")
                # Without this: a small answer could unfold to more than the memory holds before it is
                # measured. The request said that it wants none.
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise _refuse("answered in a compressed form")
                for chunk in response.iter_raw():
                    body += chunk
                    if len(body) > max_bytes:
                        raise _refuse("answered more than is honest")
                told = response.headers
        except UNREACHABLE as fault:
            raise _refuse("could not be reached", detail=f"{urlsplit(url).hostname}: {fault}") from fault
        return Fetched(bytes(body), told.get("content-type", ""), told.get("cache-control", ""))

    def fetch_json(
        self, url: str, *, max_bytes: int = MAX_BYTES, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the JSON object at ``url``; raises ``Refusal(egress_refused)`` as ``fetch`` does."""
        body = self.fetch(url, max_bytes=max_bytes, headers={"Accept": "application/json", **(headers or {})})
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise _refuse("did not answer JSON") from None
        if not isinstance(document, dict):
            raise _refuse("did not answer a JSON object")
        return document

    def post_form(self, url: str, fields: Mapping[str, str], *, max_bytes: int = MAX_BYTES) -> int:
        """Return the status with which ``url`` answered a posted form; what else it says is not kept.

        Raises ``Refusal(egress_refused)`` when it cannot be reached or answers more than ``max_bytes``.
        """
        from broker.kernel.egress_transport import UNREACHABLE

        read = 0
        try:
            with self.client().stream("POST", url, data=dict(fields)) as response:
                for chunk in response.iter_raw():
                    read += len(chunk)
                    if read > max_bytes:
                        raise _refuse("answered more than is honest")
                return response.status_code
        except UNREACHABLE as fault:
            raise _refuse("could not be reached", detail=f"{urlsplit(url).hostname}: {fault}") from fault

    def close(self) -> None:
        """Close pooled connections."""
        if self._client is not None:
            self._client.close()


def is_public(address: str, *, may_reach_loopback: bool = False) -> bool:
    """Whether the broker may connect to this IP address: globally routable, in every spelling of it."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if ip.is_loopback:
        return may_reach_loopback
    if isinstance(ip, ipaddress.IPv6Address):
        # Only global unicast: that leaves out mapped, compatible, NAT64 and site-local addresses. 6to4
        # and Teredo lie within, and carry an IPv4 address that the far gateway would connect to.
        return ip in _GLOBAL_UNICAST and ip not in _DOCUMENTATION and ip.is_global and not _tunnels(ip)
    return ip.is_global and not ip.is_multicast and ip not in _RELAYS_TO_6TO4


_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_DOCUMENTATION = ipaddress.ip_network("3fff::/20")
_RELAYS_TO_6TO4 = ipaddress.ip_network("192.88.99.0/24")


def _tunnels(ip: ipaddress.IPv6Address) -> bool:
    return ip.sixtofour is not None or ip.teredo is not None


def _refuse(what: str, detail: str = "") -> Refusal:
    return Refusal(
        ErrorCode.EGRESS_REFUSED,
        f"The other server {what}.",
        detail=detail,
        whose_move=WhoseMove.ADMIN,
    )

"""The one outbound HTTP client: https, resolve once and connect there, no redirects, size and time capped.

Without this: a metadata, JWKS, client-document or logo address chosen by somebody else could make the
broker call machines that only it can reach (CVE-2026-55671 fell to rebinding, redirects and downgrade).
"""

import ipaddress
import math
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

import httpcore2
import httpx2
import orjson

from broker.kernel.errors import ErrorCode, Refusal, WhoseMove

MAX_BYTES = 1_048_576
"""No document that the broker fetches is honestly larger."""
TOTAL_SECONDS = 10.0
"""A far side that drips its answer is given up after this long."""


class Egress:
    """Guarded outbound calls; ``may_reach_loopback`` is the development profile's named relaxation."""

    def __init__(self, *, may_reach_loopback: bool = False) -> None:
        self._may_reach_loopback = may_reach_loopback
        self._lock = threading.Lock()
        self._client: httpx2.Client | None = None

    def client(self) -> httpx2.Client:
        """Return the shared client: no redirects, no proxy from the environment, guarded addresses."""
        with self._lock:
            if self._client is None:
                transport = httpx2.HTTPTransport(limits=httpx2.Limits(max_connections=40))
                transport._pool._network_backend = _GuardedBackend(self._may_reach_loopback)
                self._client = httpx2.Client(
                    transport=_SchemeGuard(transport, may_use_http=self._may_reach_loopback),
                    follow_redirects=False,
                    trust_env=False,
                    headers={"Accept-Encoding": "identity"},
                    timeout=httpx2.Timeout(TOTAL_SECONDS / 2),
                )
            return self._client

    def fetch(
        self, url: str, *, max_bytes: int = MAX_BYTES, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Return the body of a 200 answer to GET ``url``.

        Raises ``Refusal(egress_refused)`` for any other status, a redirect, a compressed answer, more
        than ``max_bytes`` bytes, or more than ``TOTAL_SECONDS``.
        """
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
        except (httpx2.HTTPError, httpx2.InvalidURL) as fault:
            raise _refuse("could not be reached", detail=f"{urlsplit(url).hostname}: {fault}") from fault
        return bytes(body)

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

_deadline: ContextVar[float] = ContextVar("egress_deadline", default=math.inf)


def _tunnels(ip: ipaddress.IPv6Address) -> bool:
    return ip.sixtofour is not None or ip.teredo is not None


class _SchemeGuard(httpx2.BaseTransport):
    """Refuses plain http and credentials in the address."""

    def __init__(self, inner: httpx2.BaseTransport, *, may_use_http: bool) -> None:
        self._inner = inner
        self._schemes = {"https", "http"} if may_use_http else {"https"}

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.scheme not in self._schemes:
            raise httpx2.UnsupportedProtocol("only https may be called", request=request)
        if request.url.userinfo:
            raise httpx2.UnsupportedProtocol("an address with credentials is refused", request=request)
        # It holds for the headers here and for the body that the caller reads in the same thread.
        _deadline.set(time.monotonic() + TOTAL_SECONDS)
        response = self._inner.handle_request(request)
        # Without this: a server could recognise the broker across tenants by a cookie that it set.
        response.headers.pop("set-cookie", None)
        return response

    def close(self) -> None:
        self._inner.close()


class _GuardedBackend(httpcore2.SyncBackend):
    """Resolves a name once, refuses if any answer is not public, and connects to the checked address."""

    def __init__(self, may_reach_loopback: bool) -> None:
        super().__init__()
        self._may_reach_loopback = may_reach_loopback

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        addresses = _resolve(host, port)
        for address in addresses:
            if not is_public(address, may_reach_loopback=self._may_reach_loopback):
                raise httpcore2.ConnectError(f"{host} is not a public address")
        fault: Exception | None = None
        for address in addresses:
            try:
                stream = super().connect_tcp(address, port, _within(timeout), local_address, socket_options)
                return _TimedStream(stream)
            except httpcore2.ConnectError as refused:
                fault = refused
        raise fault or httpcore2.ConnectError(f"{host} has no address")

    def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore2.NetworkStream:
        raise httpcore2.ConnectError("unix sockets are not called")


class _TimedStream(httpcore2.NetworkStream):
    """A connection whose every read and write ends with the whole request's time.

    Without this: a far side that sends a byte now and then would hold a thread for hours.
    """

    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _within(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _within(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        return _TimedStream(self._inner.start_tls(ssl_context, server_hostname, _within(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _within(timeout: float | None) -> float | None:
    left = _deadline.get() - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout("the whole request took too long")
    return timeout if left == math.inf else min(left, timeout or left)


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as fault:
        raise httpcore2.ConnectError(f"{host} does not resolve") from fault
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


def _refuse(what: str, detail: str = "") -> Refusal:
    return Refusal(
        ErrorCode.EGRESS_REFUSED,
        f"The other server {what}.",
        detail=detail,
        whose_move=WhoseMove.ADMIN,
    )

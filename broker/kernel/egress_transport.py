"""How the egress connects: names resolved once, addresses checked, every request bounded as a whole."""

import math
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import httpcore2
import httpx2

from broker.kernel import egress

UNREACHABLE = (httpx2.HTTPError, httpx2.InvalidURL)
"""What the client raises when a far side cannot be asked or does not answer."""

_deadline: ContextVar[float] = ContextVar("egress_deadline", default=math.inf)


def open_client(*, may_reach_loopback: bool) -> httpx2.Client:
    """Return a client that follows no redirects, uses no proxy and connects to checked addresses only."""
    transport = httpx2.HTTPTransport(limits=httpx2.Limits(max_connections=40))
    transport._pool._network_backend = _GuardedBackend(may_reach_loopback)
    return httpx2.Client(
        transport=_SchemeGuard(transport, may_use_http=may_reach_loopback),
        follow_redirects=False,
        trust_env=False,
        headers={"Accept-Encoding": "identity"},
        timeout=httpx2.Timeout(egress.TOTAL_SECONDS / 2),
    )


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
        _deadline.set(time.monotonic() + egress.TOTAL_SECONDS)
        response = self._inner.handle_request(request)
        # Without this: a server could recognise the broker across tenants by a cookie that it set.
        response.headers.pop("set-cookie", None)
        response.stream = _CappedStream(response.stream)
        return response

    def close(self) -> None:
        self._inner.close()


class _CappedStream(httpx2.SyncByteStream):
    """A body of which no caller is handed more than ``MOST_BYTES``, whether it counts for itself or not.

    Without this: a far side fills the memory within the time that an answer may take.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __iter__(self) -> Iterator[bytes]:
        seen = 0
        for chunk in self._inner:
            seen += len(chunk)
            if seen > egress.MOST_BYTES:
                raise httpx2.ReadError("the answer is larger than is honest")
            yield chunk

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
            if not egress.is_public(address, may_reach_loopback=self._may_reach_loopback):
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

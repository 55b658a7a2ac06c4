"""HTTP as an agent sees it: every byte that arrives is kept, so that a test can say what it never had."""

import threading
from dataclasses import dataclass, field
from typing import Any

import httpx2

TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer, as far as the demo shows them."""

    method: str
    url: str
    status: int
    request_body: bytes
    response_headers: tuple[tuple[str, str], ...]
    response_body: bytes


@dataclass(slots=True)
class Recorder:
    """Everything that one agent received, in order."""

    exchanges: list[Exchange] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, exchange: Exchange) -> None:
        """Keep one exchange."""
        with self._lock:
            self.exchanges.append(exchange)

    def received(self) -> bytes:
        """All headers and bodies that arrived, in one piece."""
        with self._lock:
            pieces = []
            for exchange in self.exchanges:
                pieces += [f"{name}: {value}\n".encode() for name, value in exchange.response_headers]
                pieces.append(exchange.response_body)
            return b"".join(pieces)


class _RecordingTransport(httpx2.BaseTransport):
    def __init__(self, recorder: Recorder) -> None:
        self._inner = httpx2.HTTPTransport(trust_env=False)
        self._recorder = recorder

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = self._inner.handle_request(request)
        response.read()
        exchange = Exchange(
            request.method,
            str(request.url),
            response.status_code,
            request.read(),
            tuple(response.headers.multi_items()),
            response.content,
        )
        self._recorder.add(exchange)
        return response

    def close(self) -> None:
        self._inner.close()


def recording_client(recorder: Recorder, **options: Any) -> httpx2.Client:
    """An HTTP client whose answers are kept in `recorder`; it follows no redirect by itself."""
    transport = _RecordingTransport(recorder)
    return httpx2.Client(transport=transport, timeout=TIMEOUT_SECONDS, follow_redirects=False, **options)

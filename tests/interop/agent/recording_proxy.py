"""A forward proxy that keeps every byte which the process behind it receives."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2

_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "content-length"}
)


class Record:
    """What passed towards the client."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pieces: list[bytes] = []

    def keep(self, piece: bytes) -> None:
        with self._lock:
            self._pieces.append(piece)

    def received(self) -> bytes:
        with self._lock:
            return b"\n".join(self._pieces)


@contextmanager
def recording_proxy() -> Iterator[tuple[str, Record]]:
    """Yield the address of a proxy on loopback, and its record."""
    record = Record()
    http = httpx2.Client(timeout=30, trust_env=False, follow_redirects=False)

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
            answer = http.request(self.command, self.path, headers=headers, content=body)
            kept = [(k, v) for k, v in answer.headers.multi_items() if k.lower() not in _HOP_BY_HOP]
            kept = [(k, v) for k, v in kept if k.lower() != "content-encoding"]
            record.keep("\n".join(f"{k}: {v}" for k, v in answer.headers.multi_items()).encode())
            record.keep(answer.content)
            self.send_response(answer.status_code)
            for name, value in [*kept, ("Content-Length", str(len(answer.content)))]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_DELETE = handle_any

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", record
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
        http.close()

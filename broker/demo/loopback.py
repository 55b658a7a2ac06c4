"""Small servers on this machine only: WSGI by werkzeug, ASGI by uvicorn, each in a thread of its own."""

import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import uvicorn
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

WsgiApp = Callable[..., Iterable[bytes]]
START_SECONDS = 10.0


class _QuietHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing: the demo's terminal belongs to the journey."""


class WsgiServer:
    """A threaded WSGI server that is bound at once, so that an application can be built from its address.

    `host` is the name in the address: `localhost` or `127.0.0.1`. Port 0, or a wanted port that is taken,
    means any free port.
    """

    def __init__(self, host: str, port: int = 0) -> None:
        self._app: WsgiApp | None = None
        self._server = _bind(host, port, self._serve)
        self.port: int = self._server.socket.getsockname()[1]
        self.url = f"http://{host}:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, daemon=True, kwargs={"poll_interval": 0.05}
        )

    def start(self, app: WsgiApp) -> None:
        """Begin to serve `app`."""
        self._app = app
        self._thread.start()

    def stop(self) -> None:
        """End the server and wait for its thread."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(5)
        self._server.server_close()

    def _serve(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if self._app is None:
            start_response("503 Service Unavailable", [])
            return []
        return self._app(environ, start_response)


class AsgiServer:
    """An ASGI server on 127.0.0.1, bound at once like `WsgiServer`."""

    def __init__(self, port: int = 0) -> None:
        self._socket = _bind_socket(port)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, app: Any) -> None:
        """Begin to serve `app` and wait until it answers. Raises TimeoutError."""
        config = uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=1)
        server = self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=server.run, daemon=True, kwargs={"sockets": [self._socket]})
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not server.started:
            if time.monotonic() > deadline:
                raise TimeoutError("The MCP server did not start.")
            time.sleep(0.01)

    def stop(self) -> None:
        """End the server and wait for its thread."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(5)
        self._socket.close()


def _bind(host: str, port: int, app: WsgiApp) -> BaseWSGIServer:
    listener = _bind_socket(port)
    try:
        # The descriptor is duplicated by werkzeug, so ours is closed afterwards.
        return make_server(host, 0, app, threaded=True, request_handler=_QuietHandler, fd=listener.fileno())
    finally:
        listener.close()


def _bind_socket(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    return listener

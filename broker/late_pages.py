"""Pages that are put together a moment after the start: nobody who asks for a token waits for them."""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from broker.kernel.logs import get_logger

StartResponse = Callable[..., Any]
WsgiApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class LatePages:
    """A WSGI application that ``make`` makes once: when it is first asked, or told to get ready."""

    def __init__(self, make: Callable[[], WsgiApp]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._app: WsgiApp | None = None

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request; the first one may wait until everything is there."""
        return self.get_ready()(environ, start_response)

    def get_ready(self) -> WsgiApp:
        """Return the application; raises what ``make`` raises, and the next caller tries again."""
        if self._app is None:
            with self._lock:
                if self._app is None:
                    self._app = self._make()
        return self._app

    def get_ready_in(self, seconds: float) -> threading.Timer:
        """Have a thread of its own make the application after a while; a request may come first."""
        timer = threading.Timer(seconds, self._try)
        timer.daemon = True
        timer.start()
        return timer

    def _try(self) -> None:
        try:
            self.get_ready()
        except Exception:  # noqa: BLE001 (the thread ends here; the request that comes next tells it again)
            # Tokens are issued all the same, and whoever opens a page is told that something failed.
            get_logger("pages").error("pages_failed", exc_info=True)

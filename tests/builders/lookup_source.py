"""What the emulated management APIs share: a clock that only servers and waiting move, and fault switches."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import httpx2

from idp_connectors.groups.calls import Pace


@dataclass
class Stopwatch:
    """Time for a lookup: it passes when somebody waits or a server takes its time, never by itself."""

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)

    def pace(self) -> Pace:
        """Return the pace to hand to a lookup."""
        return Pace(lambda: self.seconds, self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.seconds += seconds


class DripStream(httpx2.SyncByteStream):
    """A body that never ends in time: each piece takes `seconds` of the stopwatch."""

    def __init__(self, watch: Stopwatch, seconds: float, pieces: int) -> None:
        self._watch, self._seconds, self._pieces = watch, seconds, pieces

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(self._pieces):
            self._watch.seconds += self._seconds
            yield b" "


class LookupSource:
    """A server behind a mock transport, also an `HttpClient`; every request is written down.

    `faults` are answers that are given first, one for each request to the API itself.
    """

    def __init__(self) -> None:
        self.watch = Stopwatch()
        self.requests: list[httpx2.Request] = []
        self.faults: list[Callable[[httpx2.Request], httpx2.Response]] = []

    def client(self) -> httpx2.Client:
        """Return a client that talks to this server only."""
        return httpx2.Client(transport=httpx2.MockTransport(self.serve))

    def fetch_json(self, url: str, *, max_bytes: int = 1 << 20, headers=None) -> dict[str, Any]:
        """Return the JSON object at `url`, as the broker's egress does."""
        response = self.client().get(url, headers=dict(headers or {})).raise_for_status()
        if len(response.content) > max_bytes:
            raise ValueError("too long")
        return response.json()

    def hosts(self) -> set[str]:
        """Return every host that was sent anything."""
        return {request.url.host for request in self.requests}

    def api_requests(self) -> list[httpx2.Request]:
        """Return the requests to the API itself, token requests left out."""
        return [request for request in self.requests if not self.is_token_request(request)]

    def is_token_request(self, request: httpx2.Request) -> bool:
        """Return whether this asks for an access token."""
        return request.method == "POST"

    def token(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a token request."""
        raise AssertionError(f"no token endpoint at {request.url}")

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        """Answer an API request that carries a good token."""
        raise AssertionError(f"nothing at {request.url}")

    def serve(self, request: httpx2.Request) -> httpx2.Response:
        """Answer any request, with a body that is still to be read from the wire."""
        ready = self._choose(request)
        return httpx2.Response(ready.status_code, headers=ready.headers, stream=ready.stream)

    def _choose(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        if self.is_token_request(request):
            return self.token(request)
        if self.faults:
            return self.faults.pop(0)(request)
        return self.answer(request)


def form_of(request: httpx2.Request) -> dict[str, str]:
    """Return the form that a request carries, first values only."""
    return {name: values[0] for name, values in parse_qs(request.content.decode()).items()}


def busy(retry_after: str = "", status: int = 429) -> Callable[[httpx2.Request], httpx2.Response]:
    """Return a fault: the server has no time."""
    headers = {"Retry-After": retry_after} if retry_after else {}
    return lambda request: httpx2.Response(status, headers=headers, json={"error": {"code": "busy"}})

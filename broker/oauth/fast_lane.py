"""The short lane: protocol endpoints answered before Flask is asked, by the same functions as its views.

Flask's dispatch costs more than a token exchange; nothing else is left out here. What the lane does not
know it passes on.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from broker.kernel.plain import PlainReply, PlainRequest
from broker.kernel.runtime import Runtime
from broker.oauth.endpoints import ENDPOINTS, answer
from broker.oauth.params import MAX_BODY_BYTES
from broker.web.callers import read_context
from broker.web.security_headers import security_headers

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
WsgiApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]
Document = Callable[[PlainRequest], PlainReply | None]

_STATUS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


def wrap(app: WsgiApp, rt: Runtime, documents: Document) -> WsgiApp:
    """Return ``app`` with the lane in front; ``documents`` answers well-known addresses, or None."""
    security = security_headers(rt.settings)

    def lane(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        reply = _answer(environ, rt, documents)
        if reply is None:
            return app(environ, start_response)
        headers = [*reply.headers, *security, ("Content-Length", str(len(reply.body)))]
        start_response(_STATUS[reply.status], headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [reply.body]

    return lane


def _answer(environ: Mapping[str, Any], rt: Runtime, documents: Document) -> PlainReply | None:
    path: str = environ["PATH_INFO"]
    if path.startswith("/t/"):
        slug, _, name = path[3:].partition("/")
        if name in ENDPOINTS:
            return answer(rt, slug, name, _request(environ, rt))
    if "/.well-known/" in path:
        return documents(_request(environ, rt))
    return None


def _request(environ: Mapping[str, Any], rt: Runtime) -> PlainRequest:
    return PlainRequest(
        method=environ["REQUEST_METHOD"],
        path=environ["PATH_INFO"],
        query_string=environ.get("QUERY_STRING", ""),
        headers=_Headers(environ),
        body=_body(environ),
        ctx=read_context(environ, rt),
    )


class _Headers(Mapping[str, str]):
    """The headers of a WSGI environment by lower-case name, looked up when asked for: few ever are."""

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        value: str = self._environ[_variable(name)]
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _variable(name) in self._environ

    def get(self, name: str, default: Any = None) -> Any:
        """Return the header, or ``default``; without the exception that the inherited method raises."""
        return self._environ.get(_variable(name), default)

    def __iter__(self) -> Iterator[str]:
        return (name[5:].replace("_", "-").lower() for name in self._environ if name.startswith("HTTP_"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@lru_cache(maxsize=64)
def _variable(header: str) -> str:
    """Return the WSGI variable of a header; the names come from our own code only."""
    name = header.upper().replace("-", "_")
    return name if name == "CONTENT_TYPE" else f"HTTP_{name}"


def _body(environ: Mapping[str, Any]) -> bytes:
    """Read at most one byte more than is allowed, so that an honest limit refuses the rest unread."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isdigit() or length == "0":
        return b""
    body: bytes = environ["wsgi.input"].read(min(int(length), MAX_BODY_BYTES + 1))
    return body

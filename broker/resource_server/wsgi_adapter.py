"""Protecting any WSGI application."""

from collections.abc import Callable, Collection, Iterable
from http import HTTPStatus
from typing import Any

from broker.resource_server.dpop import RequestFacts
from broker.resource_server.refusals import TokenRefused
from broker.resource_server.request_token import serving
from broker.resource_server.server import Headers, ResourceServer

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]
ENVIRON_KEY = "broker.verified_token"


class ProtectedWsgi:
    """WSGI middleware: every path but `open_paths` needs a token with all of `scopes`.

    The application finds the token in `environ["broker.verified_token"]` or by `current_token()`, and no
    longer finds the Authorization header. It may raise TokenRefused (see `ResourceServer.require_scopes`)
    before it starts its response.
    """

    def __init__(
        self,
        app: WsgiApp,
        server: ResourceServer,
        *,
        scopes: Collection[str] = (),
        open_paths: Collection[str] = (),
    ) -> None:
        self._app = app
        self._server = server
        self._scopes = tuple(scopes)
        self._open_paths = frozenset(open_paths)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path in self._server.metadata_paths:
            return _send(start_response, self._server.metadata_reply())
        if path in self._open_paths:
            return self._app(environ, start_response)
        presented = environ.pop("HTTP_AUTHORIZATION", None)
        try:
            credentials = [] if presented is None else [presented]
            query = environ.get("QUERY_STRING", "")
            token = self._server.authenticate(credentials, query, self._scopes, facts=_facts(environ))
            environ[ENVIRON_KEY] = token
            with serving(token):
                return self._app(environ, start_response)
        except TokenRefused as refusal:
            return _send(start_response, self._server.refusal_reply(refusal))


def _facts(environ: Environ) -> RequestFacts:
    """What a DPoP proof must fit; the header is removed, as Authorization is."""
    proof = environ.pop("HTTP_DPOP", None)
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    # WSGI hands over bytes as latin-1; addresses spell text in UTF-8.
    readable = path.encode("latin-1").decode("utf-8", "replace")
    return RequestFacts(environ["REQUEST_METHOD"], readable, () if proof is None else (proof,))


def _send(start_response: StartResponse, reply: tuple[int, Headers, bytes]) -> Iterable[bytes]:
    status, headers, body = reply
    start_response(f"{status} {HTTPStatus(status).phrase}", [*headers, ("Content-Length", str(len(body)))])
    return [body]

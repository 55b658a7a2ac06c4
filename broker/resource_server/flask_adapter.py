"""Protecting a Flask application: every route needs a token, `@requires` says with which scopes."""

from collections.abc import Callable, Collection
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flask import Flask, Response, current_app, g, request

from broker.resource_server.dpop import RequestFacts
from broker.resource_server.refusals import TokenRefused
from broker.resource_server.server import Headers, ResourceServer
from broker.resource_server.values import VerifiedToken

_EXTENSION = "broker_resource_server"
_P = ParamSpec("_P")
_R = TypeVar("_R")


def protect(app: Flask, server: ResourceServer, *, open_endpoints: Collection[str] = ()) -> None:
    """Let only requests with a good token reach `app`, and serve the resource metadata.

    `open_endpoints` names the endpoints that stay public; a URL without a route needs a token as well.
    The Authorization header is removed once it was read, so no view can pass the token on (MCP-10).
    """
    app.extensions[_EXTENSION] = server

    @app.before_request
    def authenticate() -> Response | None:
        if request.path in server.metadata_paths:
            return _response(server.metadata_reply())
        if request.endpoint is not None and request.endpoint in open_endpoints:
            return None
        scopes = getattr(app.view_functions.get(request.endpoint or ""), "required_scopes", ())
        presented = request.environ.pop("HTTP_AUTHORIZATION", None)
        credentials = [] if presented is None else [presented]
        proof = request.environ.pop("HTTP_DPOP", None)
        facts = RequestFacts(
            request.method, request.root_path + request.path, () if proof is None else (proof,)
        )
        query = request.query_string.decode("latin-1")
        g.verified_token = server.authenticate(credentials, query, scopes, facts=facts)
        return None

    @app.errorhandler(TokenRefused)
    def refuse(refusal: TokenRefused) -> Response:
        return _response(server.refusal_reply(refusal))


def requires(*scopes: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Demand all of `scopes` for a view; the refusal names all of them (MCP-09)."""

    def decorate(view: Callable[_P, _R]) -> Callable[_P, _R]:
        @wraps(view)
        def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            # The scopes are checked here too: without this a decorator in between that hides the attribute,
            # or a view that another one calls, would skip them.
            _current_server().require_scopes(current_token(), scopes)
            return view(*args, **kwargs)

        marked: Any = checked
        marked.required_scopes = (*getattr(view, "required_scopes", ()), *scopes)
        return checked

    return decorate


def current_token() -> VerifiedToken:
    """The verified token of this request. Raises LookupError when the request was not authenticated."""
    token = g.get("verified_token")
    if not isinstance(token, VerifiedToken):
        raise LookupError("This request was not authenticated; was protect() called?")
    return token


def _current_server() -> ResourceServer:
    server = current_app.extensions.get(_EXTENSION)
    if not isinstance(server, ResourceServer):
        raise LookupError("@requires needs protect(app, server).")
    return server


def _response(reply: tuple[int, Headers, bytes]) -> Response:
    status, headers, body = reply
    return Response(body, status, headers)

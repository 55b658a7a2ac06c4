"""Protecting any ASGI application, for example Starlette or FastAPI."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from broker.resource_server.dpop import RequestFacts
from broker.resource_server.refusals import TokenRefused
from broker.resource_server.request_token import serving
from broker.resource_server.server import Headers, ResourceServer
from broker.resource_server.values import VerifiedToken

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
_CREDENTIALS = frozenset({b"authorization", b"dpop"})
SCOPE_KEY = "broker.verified_token"


class ProtectedAsgi:
    """ASGI middleware: every HTTP path but `open_paths` needs a token with all of `scopes`.

    The check runs in a worker thread, because it may ask the issuer. The application finds the token in
    `scope["broker.verified_token"]` or by `current_token()`, and no longer finds the Authorization header. It
    may raise TokenRefused (see `ResourceServer.require_sign_in`) before it begins to answer.
    WebSocket connections are refused, since a browser cannot send them a header.
    """

    def __init__(
        self,
        app: AsgiApp,
        server: ResourceServer,
        *,
        scopes: Collection[str] = (),
        open_paths: Collection[str] = (),
    ) -> None:
        self._app = app
        self._server = server
        self._scopes = tuple(scopes)
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in self._open_paths):
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        if scope["path"] in self._server.metadata_paths:
            return await send_reply(send, self._server.metadata_reply())
        answering = _Answering(send)
        try:
            token, inner = await self._authenticate(scope)
            receive = await self.check_operation(token, scope, receive)
            with serving(token):
                await self._app(inner, receive, answering)
        except TokenRefused as refusal:
            if answering.has_begun:
                raise
            await send_reply(send, self._server.refusal_reply(refusal))

    async def check_operation(self, token: VerifiedToken, scope: Scope, receive: Receive) -> Receive:
        """Raise TokenRefused when the token may not do what this request asks; return what to read from."""
        return receive

    async def _authenticate(self, scope: Scope) -> tuple[VerifiedToken, Scope]:
        credentials, proofs = _values(scope, b"authorization"), _values(scope, b"dpop")
        query = scope.get("query_string", b"").decode("latin-1")
        facts = RequestFacts(scope["method"], scope["path"], tuple(proofs))
        token = await asyncio.to_thread(
            self._server.authenticate, credentials, query, self._scopes, facts=facts
        )
        # Without this: the application could send its caller's token to somebody else (MCP-10, A01).
        kept = [(name, value) for name, value in scope["headers"] if name not in _CREDENTIALS]
        return token, {**scope, "headers": kept, SCOPE_KEY: token}


class _Answering:
    """A `send` that knows whether the application has begun to answer: then it is too late to refuse."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        self.has_begun = True
        await self._send(message)


def _values(scope: Scope, header: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name == header]


async def send_reply(send: Send, reply: tuple[int, Headers, bytes]) -> None:
    """Send a whole answer: status, headers and body."""
    status, headers, body = reply
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})

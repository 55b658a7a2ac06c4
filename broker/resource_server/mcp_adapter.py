"""Protecting an MCP server that is written with the official SDK.

Two ways. `ProtectedMcp` wraps the SDK's HTTP application and gives exact challenges, with scopes for each
tool. `token_verifier` and `auth_settings` plug into the SDK's own authentication instead. Use one of them.
"""

import asyncio
import json
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from broker.resource_server.asgi_adapter import SCOPE_KEY, AsgiApp, Message, ProtectedAsgi, Receive, Scope
from broker.resource_server.jwt_parsing import unique_members
from broker.resource_server.refusals import TokenRefused, malformed
from broker.resource_server.server import ResourceServer
from broker.resource_server.values import SignIn, VerifiedToken

if TYPE_CHECKING:
    from mcp.server.auth.provider import AccessToken
    from mcp.server.auth.settings import AuthSettings

MAX_REQUEST_BYTES = 4 * 1024 * 1024


class ProtectedMcp(ProtectedAsgi):
    """ASGI middleware around `MCPServer.streamable_http_app()` that knows which scopes a tool needs.

    `tool_scopes` maps each tool to its scopes; a call of a tool that is not listed is refused.
    `tool_sign_ins` names tools that need a newer or stronger sign-in of the person (RFC 9470).
    """

    def __init__(
        self,
        app: AsgiApp,
        server: ResourceServer,
        *,
        tool_scopes: Mapping[str, Collection[str]],
        tool_sign_ins: Mapping[str, SignIn] = MappingProxyType({}),
    ) -> None:
        super().__init__(app, server)
        self._tool_sign_ins = tool_sign_ins
        self._tool_scopes = {tool: tuple(scopes) for tool, scopes in tool_scopes.items()}

    async def check_operation(self, token: VerifiedToken, scope: Scope, receive: Receive) -> Receive:
        """Demand the scopes of every tool that the request calls (MCP-09)."""
        if scope["method"] != "POST":
            return receive
        body = await _read_body(receive)
        tools = _called_tools(body)
        if not tools <= self._tool_scopes.keys():
            raise TokenRefused(403, "insufficient_scope", "unlisted_tool", "This tool is not open to tokens.")
        needed = {name for tool in tools for name in self._tool_scopes[tool]}
        self._server.require_scopes(token, sorted(needed))
        for wanted in (self._tool_sign_ins[tool] for tool in sorted(tools & self._tool_sign_ins.keys())):
            self._server.require_sign_in(
                token, acr_values=wanted.acr_values, max_age=wanted.max_age, scopes=sorted(needed)
            )
        return _replay(body, receive)


def tool_token(context: Any) -> VerifiedToken:
    """The verified token of the request in which a tool runs; `context` is the SDK's `Context`.

    Raises LookupError when the server is not wrapped in ProtectedMcp. A tool may run in a task that began
    with another request, therefore the token is read from the request and not from a context variable.
    """
    request = context.request_context.request
    token = None if request is None else request.scope.get(SCOPE_KEY)
    if not isinstance(token, VerifiedToken):
        raise LookupError("There is no verified token: is the application wrapped in ProtectedMcp?")
    return token


class _SdkTokenVerifier:
    """The SDK's TokenVerifier protocol, answered by a ResourceServer."""

    def __init__(self, server: ResourceServer) -> None:
        self._server = server

    async def verify_token(self, token: str) -> "AccessToken | None":
        """The SDK's view of a good token, or None for any other."""
        from mcp.server.auth.provider import AccessToken

        try:
            verified = await asyncio.to_thread(self._server.verify, token)
        except TokenRefused:
            return None
        # The SDK's object has a place for the token's text. It stays empty, so a tool cannot pass it on.
        return AccessToken(
            token="",
            client_id=verified.client_id,
            scopes=sorted(verified.scopes),
            expires_at=verified.expires_at,
            resource=self._server.resource,
            subject=verified.subject,
            claims=dict(verified.claims),
        )


def token_verifier(server: ResourceServer) -> _SdkTokenVerifier:
    """The object for `MCPServer(token_verifier=…)`."""
    return _SdkTokenVerifier(server)


def auth_settings(server: ResourceServer) -> "AuthSettings":
    """The settings for `MCPServer(auth=…)`: every request needs all scopes of the resource."""
    from mcp.server.auth.settings import AuthSettings
    from pydantic import AnyHttpUrl

    return AuthSettings(
        issuer_url=AnyHttpUrl(server.issuer),
        resource_server_url=AnyHttpUrl(server.resource),
        required_scopes=list(server.scopes_supported),
        validate_token_resource=True,
    )


async def _read_body(receive: Receive) -> bytes:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise malformed("disconnected", "The request ended early.")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_REQUEST_BYTES:
            raise malformed("too_large", "The request is too large.")
    return bytes(body)


def _called_tools(body: bytes) -> set[str]:
    """The tools that a JSON-RPC body calls. Raises TokenRefused (400) when it cannot be read in one way only.

    Without this: a body that we and the SDK read differently would call a tool whose scopes nobody checked.
    """
    try:
        parsed = json.loads(body.decode("utf-8"), object_pairs_hook=unique_members)
    except (ValueError, RecursionError) as error:
        raise malformed("bad_json", "The request body is not well formed JSON.") from error
    calls = parsed if isinstance(parsed, list) else [parsed]
    tools: set[str] = set()
    for call in calls:
        if isinstance(call, dict) and call.get("method") == "tools/call":
            parameters = call.get("params")
            name = parameters.get("name") if isinstance(parameters, dict) else None
            if not isinstance(name, str):
                raise malformed("no_tool", "The request does not name a tool.")
            tools.add(name)
    return tools


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that yields the body which was already read, and then whatever comes next."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay

"""The adapter for the official MCP SDK, driven by the SDK's own client and by hand-made requests."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from broker.resource_server import ResourceServer
from broker.resource_server.mcp_adapter import ProtectedMcp, auth_settings, token_verifier, tool_token
from tests.builders.token_issuer import TokenIssuer

pytest.importorskip("mcp")
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import Context

RESOURCE = "http://127.0.0.1:9911/mcp"
SCOPES = ["tickets:read", "tickets:create"]
TOOL_SCOPES = {"list_tickets": ["tickets:read"], "create_ticket": ["tickets:read", "tickets:create"]}


@pytest.fixture
def issuer() -> TokenIssuer:
    return TokenIssuer()


@pytest.fixture
def server(issuer: TokenIssuer) -> ResourceServer:
    return ResourceServer(
        resource=RESOURCE, issuer=issuer.issuer, scopes_supported=SCOPES, http=issuer.http()
    )


def build_mcp(**options: Any) -> MCPServer:
    mcp = MCPServer("Tickets", log_level="ERROR", **options)

    @mcp.tool()
    def list_tickets(context: Context) -> str:
        return f"for {tool_token(context).subject}"

    @mcp.tool()
    def create_ticket(context: Context, title: str) -> str:
        return f"{title} by {tool_token(context).subject}"

    @mcp.tool()
    def forgotten() -> str:
        return "reached"

    return mcp


def sign(issuer: TokenIssuer, **changes: Any) -> str:
    now = int(time.time())
    times = {"iat": now, "nbf": now, "exp": now + 300, "aud": RESOURCE}
    return issuer.sign(issuer.claims(**{**times, **changes}))


@asynccontextmanager
async def http_client(app: Any, starlette: Any, token: str) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        starlette.router.lifespan_context(starlette),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1:9911", headers=headers
        ) as client,
    ):
        yield client


def call_tool(app: Any, starlette: Any, token: str, tool: str, arguments: dict[str, Any]) -> str:
    async def run() -> str:
        async with (
            http_client(app, starlette, token) as http,
            Client(streamable_http_client(RESOURCE, http_client=http)) as client,
        ):
            result = await client.call_tool(tool, arguments)
            return result.content[0].text  # type: ignore[union-attr]

    return asyncio.run(run())


def post(app: Any, starlette: Any, token: str, body: bytes | dict[str, Any] | list[Any]) -> httpx2.Response:
    async def run() -> httpx2.Response:
        async with http_client(app, starlette, token) as http:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            accept = "application/json, text/event-stream"
            return await http.post("/mcp", content=content, headers={"Accept": accept})

    return asyncio.run(run())


def calls(tool: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}}


@pytest.fixture
def wrapped(server: ResourceServer) -> tuple[Any, Any]:
    starlette = build_mcp().streamable_http_app()
    return ProtectedMcp(starlette, server, tool_scopes=TOOL_SCOPES), starlette


def test_the_sdks_client_calls_a_tool_through_the_kit(wrapped: tuple[Any, Any], issuer: TokenIssuer) -> None:
    assert call_tool(*wrapped, sign(issuer), "list_tickets", {}) == "for usr_maya"


def test_each_tool_demands_its_scopes(wrapped: tuple[Any, Any], issuer: TokenIssuer) -> None:
    refused = post(*wrapped, sign(issuer), calls("create_ticket"))
    assert refused.status_code == 403
    assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]
    assert 'scope="tickets:create tickets:read"' in refused.headers["WWW-Authenticate"]


def test_each_tool_is_reached_with_its_scopes(wrapped: tuple[Any, Any], issuer: TokenIssuer) -> None:
    token = sign(issuer, scope=" ".join(SCOPES))
    assert call_tool(*wrapped, token, "create_ticket", {"title": "Printer"}) == "Printer by usr_maya"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(calls("forgotten"), 403, id="tool-nobody-listed"),
        pytest.param([calls("list_tickets"), calls("create_ticket")], 403, id="hidden-in-a-batch"),
        pytest.param(b'{"method":"ping","method":"tools/call"}', 400, id="method-given-twice"),
        pytest.param(json.dumps(calls("create_ticket")).encode("utf-16"), 400, id="other-encoding"),
        pytest.param(b"[" * 100_000, 400, id="deeply-nested"),
        pytest.param({"method": "tools/call", "params": {"name": ["x"]}}, 400, id="tool-is-a-list"),
        pytest.param({"method": "tools/call"}, 400, id="no-parameters"),
    ],
)
def test_a_body_cannot_hide_a_tool(
    wrapped: tuple[Any, Any], issuer: TokenIssuer, body: Any, status: int
) -> None:
    assert post(*wrapped, sign(issuer), body).status_code == status


def test_without_a_token_the_server_says_where_to_get_one(wrapped: tuple[Any, Any]) -> None:
    answer = post(*wrapped, "", calls("list_tickets"))
    metadata = "http://127.0.0.1:9911/.well-known/oauth-protected-resource/mcp"
    expected = f'Bearer resource_metadata="{metadata}", scope="tickets:read tickets:create"'
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, expected)


def test_the_sdks_own_authentication_uses_the_kit(server: ResourceServer, issuer: TokenIssuer) -> None:
    mcp = MCPServer(
        "Tickets", log_level="ERROR", token_verifier=token_verifier(server), auth=auth_settings(server)
    )

    @mcp.tool()
    def whoami() -> str:
        access = get_access_token()
        assert access is not None
        return f"{access.subject} {(access.claims or {})['act']['sub']} {access.token!r}"

    app = mcp.streamable_http_app()
    token = sign(issuer, scope=" ".join(SCOPES))
    assert call_tool(app, app, token, "whoami", {}) == "usr_maya agt_writer ''"


def test_the_sdks_own_authentication_refuses_a_foreign_audience(
    server: ResourceServer, issuer: TokenIssuer
) -> None:
    mcp = build_mcp(token_verifier=token_verifier(server), auth=auth_settings(server))
    app = mcp.streamable_http_app()
    foreign = sign(issuer, aud="https://other.example/mcp", scope=" ".join(SCOPES))
    answer = post(app, app, foreign, calls("list_tickets"))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


def test_tool_token_outside_a_protected_request_fails_closed() -> None:
    class NoRequest:
        request_context = type("Request", (), {"request": None})

    with pytest.raises(LookupError):
        tool_token(NoRequest())

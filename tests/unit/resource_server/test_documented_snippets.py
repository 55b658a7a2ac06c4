"""The snippets of the kit's README: each costs its user five lines at most, and each one runs."""

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from flask import Flask
from werkzeug.test import Client as WsgiClient

import broker.resource_server
from broker.resource_server import ResourceServer
from tests.builders.token_issuer import TokenIssuer, served_issuer

README = Path(broker.resource_server.__file__).with_name("README.md")
SNIPPETS = dict(re.findall(r"```python ([\w-]+)\n(.*?)```", README.read_text(), re.DOTALL))
RESOURCE = "http://127.0.0.1:9912/mcp"
# The view itself is the application's, the kit did not add it.
APPLICATION_LINES = ("@app.get(", "@app.post(", "def ")


@pytest.fixture
def issuer() -> Iterator[TokenIssuer]:
    with served_issuer() as served:
        yield served


def run(name: str, issuer: TokenIssuer, **given: Any) -> dict[str, Any]:
    namespace: dict[str, Any] = {"RESOURCE": RESOURCE, "ISSUER": issuer.issuer, **given}
    exec(compile(SNIPPETS[name], f"README {name}", "exec"), namespace)
    return namespace


def bearer(issuer: TokenIssuer, **more: Any) -> dict[str, str]:
    now = int(time.time())
    act = {"iss": issuer.issuer, "sub": "agt_writer"}
    claims = issuer.claims(iat=now, nbf=now, exp=now + 60, aud=RESOURCE, act=act, **more)
    return {"Authorization": f"Bearer {issuer.sign(claims)}"}


@pytest.mark.parametrize("name", sorted(SNIPPETS))
def test_a_snippet_costs_five_lines_at_most(name: str) -> None:
    lines = [line for line in SNIPPETS[name].splitlines() if line.strip()]
    added = [line for line in lines if not line.startswith(APPLICATION_LINES)]
    assert len(added) <= 5
    assert max(map(len, lines)) <= 110


def test_every_adapter_has_a_snippet() -> None:
    assert set(SNIPPETS) == {"flask", "wsgi", "asgi", "mcp", "mcp-sdk", "dpop", "sign-in"}


def test_flask_snippet(issuer: TokenIssuer) -> None:
    client = run("flask", issuer, app=Flask(__name__))["app"].test_client()
    assert client.get("/tickets", headers=bearer(issuer)).json == {"for": "usr_maya", "by": "agt_writer"}
    assert client.get("/tickets").status_code == 401


def test_dpop_and_sign_in_snippets(issuer: TokenIssuer) -> None:
    server = run("dpop", issuer)["server"]
    assert server.metadata_document()["dpop_bound_access_tokens_required"] is True
    names = run("flask", issuer, app=Flask(__name__))
    names["server"] = ResourceServer(resource=RESOURCE, issuer=issuer.issuer, scopes_supported=[])
    client = run("sign-in", issuer, **names)["app"].test_client()
    refused = client.post("/payments", headers=bearer(issuer))
    assert 'error="insufficient_user_authentication"' in refused.headers["WWW-Authenticate"]
    assert 'acr_values="phr", max_age="300"' in refused.headers["WWW-Authenticate"]
    strong = bearer(issuer, acr="phr", auth_time=int(time.time()) - 200)
    assert client.post("/payments", headers=strong).json == {"paid": True}


def test_wsgi_snippet(issuer: TokenIssuer) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"reached"]

    client = WsgiClient(run("wsgi", issuer, app=app)["app"])
    assert client.get("/", headers=bearer(issuer)).text == "reached"
    assert client.get("/").status_code == 401


async def _asgi_app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"reached"})


def _statuses(app: Any, *headers: dict[str, str]) -> list[int]:
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"forgotten"}}'

    async def ask() -> list[int]:
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1:9912"
        ) as client:
            return [(await client.post("/mcp", headers=each, content=body)).status_code for each in headers]

    return asyncio.run(ask())


def test_asgi_snippet(issuer: TokenIssuer) -> None:
    app = run("asgi", issuer, app=_asgi_app)["app"]
    assert _statuses(app, bearer(issuer), {}) == [200, 401]


def test_mcp_snippets(issuer: TokenIssuer) -> None:
    mcp_server = pytest.importorskip("mcp.server").MCPServer
    wrapped = run("mcp", issuer, mcp=mcp_server("Tickets", log_level="ERROR"))["app"]
    assert _statuses(wrapped, bearer(issuer), {}) == [403, 401]
    own = run("mcp-sdk", issuer, MCPServer=mcp_server)["mcp"].streamable_http_app()
    assert _statuses(own, {}) == [401]

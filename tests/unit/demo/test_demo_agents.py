"""The demo's agents keep a client's side of the rules, and its browser behaves like one."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, redirect, request

from broker.agent_client import SecretBasic
from broker.agent_client.finding import FoundServer
from broker.demo.agents import DemoAgent
from broker.demo.loopback import WsgiServer
from broker.demo.person_browser import PersonBrowser
from broker.resource_server import ResourceServer
from broker.resource_server.flask_adapter import protect
from tests.builders.token_issuer import TokenIssuer, served_issuer


@pytest.fixture
def serve() -> Iterator[Callable[[], WsgiServer]]:
    servers: list[WsgiServer] = []

    def bind() -> WsgiServer:
        servers.append(WsgiServer("127.0.0.1"))
        return servers[-1]

    yield bind
    for server in servers:
        server.stop()


@pytest.fixture
def issuer() -> Iterator[TokenIssuer]:
    with served_issuer() as one:
        yield one


@pytest.fixture
def agent(issuer: TokenIssuer, serve: Callable[[], WsgiServer]) -> Iterator[DemoAgent]:
    server = serve()
    app = Flask("tickets")
    protect(
        app,
        ResourceServer(resource=f"{server.url}/mcp", issuer=issuer.issuer, scopes_supported=["tickets:read"]),
    )
    server.start(app)
    one = DemoAgent(
        name="Planner",
        authentication=SecretBasic("planner", "s3cret"),
        mcp_url=f"{server.url}/mcp",
        redirect_uri="http://127.0.0.1:9/cb",
    )
    metadata = {**one.server.metadata, "authorization_endpoint": f"{issuer.issuer}/authorize"}
    one._server = FoundServer(one.server.issuer, metadata)
    yield one
    one.close()


def test_the_agent_needs_one_address_only(agent: DemoAgent, issuer: TokenIssuer) -> None:
    assert agent.server.issuer == issuer.issuer


def test_the_agent_asks_with_pkce_state_and_the_resource(agent: DemoAgent) -> None:
    query = parse_qs(urlsplit(agent.begin("tickets:read")).query)
    assert query["resource"] == [agent.resource]
    assert query["code_challenge_method"] == ["S256"]
    assert len(query["state"][0]) >= 22


def test_the_agent_refuses_answers_that_are_not_its_own(agent: DemoAgent, issuer: TokenIssuer) -> None:
    state = parse_qs(urlsplit(agent.begin("tickets:read")).query)["state"][0]
    with pytest.raises(ValueError, match="no sign-in"):
        agent.finish({"state": "guessed", "code": "c", "iss": issuer.issuer})
    with pytest.raises(ValueError, match="another issuer"):
        agent.finish({"state": state, "code": "c", "iss": "https://other.example"})
    with pytest.raises(ValueError, match="no sign-in"):
        agent.finish({"state": state, "code": "c", "iss": issuer.issuer})


def test_prm_05_the_agent_refuses_a_resource_that_describes_another_one(
    issuer: TokenIssuer, serve: Callable[[], WsgiServer]
) -> None:
    server = serve()
    app = Flask("liar")
    protect(
        app, ResourceServer(resource="http://127.0.0.1:1/mcp", issuer=issuer.issuer, scopes_supported=["a"])
    )

    @app.after_request
    def point_here(response: Any) -> Any:
        if "WWW-Authenticate" in response.headers:
            where = f"{server.url}/.well-known/oauth-protected-resource"
            response.headers["WWW-Authenticate"] = f'Bearer resource_metadata="{where}"'
        return response

    server.start(app)
    liar = DemoAgent(name="x", authentication=SecretBasic("x", "y"), mcp_url=f"{server.url}/mcp")
    with pytest.raises(ValueError, match="another resource"):
        _ = liar.server
    liar.close()


def test_every_byte_that_arrives_is_kept(agent: DemoAgent, issuer: TokenIssuer) -> None:
    received = agent.recorder.received()
    assert json.dumps(issuer.issuer).encode() in received
    assert b"WWW-Authenticate".lower() in received.lower()


PAGE = """<a href="/next">on</a><form method="post" action="/save">
<input type="hidden" name="csrf" value="t"><input type="radio" name="d" value="1">
<input type="radio" name="d" value="2" checked><button name="go" value="yes">Go</button></form>"""


def test_the_browser_keeps_cookies_and_follows_what_a_browser_follows(
    serve: Callable[[], WsgiServer],
) -> None:
    server = serve()
    app = Flask("site")

    @app.get("/")
    def home() -> Any:
        response = redirect("/page")
        response.set_cookie("c", "1")
        return response

    @app.get("/page")
    def page() -> str:
        return PAGE

    @app.post("/save")
    def save() -> Any:
        seen = {"cookie": request.cookies["c"], "form": request.form.to_dict()}
        return json.dumps(seen), 200, {"Refresh": "0; url=/done"} if "refresh" in request.args else {}

    @app.get("/done")
    def done() -> str:
        return "done"

    server.start(app)
    browser = PersonBrowser()
    shown = browser.open(server.url)
    assert (shown.url, shown.link_to("next")) == (f"{server.url}/page", "/next")
    form = shown.form_with("go", "yes")
    saved = browser.press(shown, form, "go", "yes")
    assert json.loads(saved.text) == {"cookie": "1", "form": {"csrf": "t", "d": "2", "go": "yes"}}
    form.action = "/save?refresh=1"
    assert browser.press(shown, form, "go", "yes").text == "done"
    browser.close()


def test_the_browser_stops_where_it_is_told(serve: Callable[[], WsgiServer]) -> None:
    server = serve()
    app = Flask("site")
    app.add_url_rule("/", "home", lambda: redirect("http://127.0.0.1:9/cb?code=1"))
    server.start(app)
    browser = PersonBrowser(stop_at="http://127.0.0.1:9/cb")
    assert browser.open(server.url).query == {"code": "1"}
    browser.close()

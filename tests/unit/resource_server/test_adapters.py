"""The Flask, WSGI and ASGI adapters, through the servers' own interfaces."""

import asyncio
import threading
from typing import Any

import httpx2
import pytest
from flask import Flask, request
from werkzeug.test import Client as WsgiClient

from broker.resource_server import ResourceServer
from broker.resource_server.asgi_adapter import ProtectedAsgi
from broker.resource_server.flask_adapter import current_token, protect, requires
from broker.resource_server.request_token import current_token as token_of_request
from broker.resource_server.wsgi_adapter import ENVIRON_KEY, ProtectedWsgi
from tests.builders.token_issuer import RESOURCE, ManualClock, TokenIssuer

METADATA_PATHS = ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"]


@pytest.fixture
def issuer() -> TokenIssuer:
    return TokenIssuer()


@pytest.fixture
def server(issuer: TokenIssuer) -> ResourceServer:
    return ResourceServer(
        resource=RESOURCE,
        issuer=issuer.issuer,
        scopes_supported=["tickets:read", "tickets:create"],
        http=issuer.http(),
        clock=ManualClock(),
    )


@pytest.fixture
def flask_client(server: ResourceServer) -> Any:
    app = Flask(__name__)
    protect(app, server, open_endpoints=["health"])

    @app.get("/tickets")
    @requires("tickets:read")
    def tickets() -> dict[str, Any]:
        return {"for": current_token().subject, "sees_header": "Authorization" in request.headers}

    @app.post("/tickets")
    @requires("tickets:read", "tickets:create")
    def create() -> dict[str, Any]:
        return {}

    @app.get("/plain")
    def plain() -> dict[str, Any]:
        return {}

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {"status": "ok"}

    return app.test_client()


def bearer(issuer: TokenIssuer, **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {issuer.sign(issuer.claims(**claims))}"}


def test_flask_lets_a_good_token_through_without_its_text(flask_client: Any, issuer: TokenIssuer) -> None:
    answer = flask_client.get("/tickets", headers=bearer(issuer))
    assert (answer.status_code, answer.json) == (200, {"for": "usr_maya", "sees_header": False})


def test_flask_challenges_with_the_scopes_of_the_view(flask_client: Any, issuer: TokenIssuer) -> None:
    answer = flask_client.post("/tickets")
    assert answer.status_code == 401
    assert 'scope="tickets:read tickets:create"' in answer.headers["WWW-Authenticate"]
    assert 'scope="tickets:read"' in flask_client.get("/tickets").headers["WWW-Authenticate"]
    refused = flask_client.post("/tickets", headers=bearer(issuer))
    assert refused.status_code == 403
    assert 'scope="tickets:read tickets:create"' in refused.headers["WWW-Authenticate"]
    allowed = bearer(issuer, scope="tickets:create tickets:read")
    assert flask_client.post("/tickets", headers=allowed).status_code == 200


@pytest.mark.parametrize("path", ["/plain", "/no-such-page", "/tickets"])
def test_flask_protects_every_path_that_is_not_opened_by_name(flask_client: Any, path: str) -> None:
    assert flask_client.get(path).status_code == 401
    assert flask_client.get("/health").status_code == 200


@pytest.mark.parametrize("path", METADATA_PATHS)
def test_flask_serves_the_metadata_to_everybody(flask_client: Any, path: str) -> None:
    assert flask_client.get(path).json["resource"] == RESOURCE


def test_flask_scopes_without_protection_fail_closed() -> None:
    app = Flask(__name__)
    app.add_url_rule("/", view_func=requires("tickets:read")(lambda: "open"))
    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert app.test_client().get("/").status_code == 500


def test_a_handmade_scope_check_behind_another_decorator_still_counts(
    server: ResourceServer, issuer: TokenIssuer
) -> None:
    app = Flask(__name__)
    protect(app, server)
    checked = requires("tickets:create")(lambda: "created")
    app.add_url_rule("/", endpoint="hidden", view_func=lambda: checked())
    client = app.test_client()
    assert client.get("/", headers=bearer(issuer)).status_code == 403
    assert client.get("/", headers=bearer(issuer, scope="tickets:create")).status_code == 200


def test_wsgi_middleware(server: ResourceServer, issuer: TokenIssuer) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/create":
            server.require_scopes(environ[ENVIRON_KEY], ["tickets:create"])
        sees = "HTTP_AUTHORIZATION" in environ
        start_response("200 OK", [])
        return [f"{token_of_request().subject if ENVIRON_KEY in environ else 'nobody'} {sees}".encode()]

    client = WsgiClient(ProtectedWsgi(app, server, scopes=["tickets:read"], open_paths=["/health"]))
    assert client.get("/", headers=bearer(issuer)).text == "usr_maya False"
    assert client.get("/").status_code == 401
    assert client.get("/", headers=bearer(issuer, scope="")).status_code == 403
    assert client.get("/create", headers=bearer(issuer)).status_code == 403
    assert client.get("/health").text == "nobody False"
    assert [client.get(path).json["resource"] for path in METADATA_PATHS] == [RESOURCE, RESOURCE]
    with pytest.raises(LookupError):
        token_of_request()


async def _asgi_app(scope: Any, receive: Any, send: Any) -> None:
    sees = any(name == b"authorization" for name, _ in scope["headers"])
    on_main = threading.current_thread() is threading.main_thread()
    body = f"{token_of_request().subject} {sees} {on_main}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def test_asgi_middleware_verifies_away_from_the_event_loop(
    server: ResourceServer, issuer: TokenIssuer
) -> None:
    verified_in: list[threading.Thread] = []
    verify = server.verify

    def spy(token: str) -> Any:
        verified_in.append(threading.current_thread())
        return verify(token)

    server.verify = spy  # type: ignore[method-assign]

    async def exchange() -> list[httpx2.Response]:
        app: Any = ProtectedAsgi(_asgi_app, server, scopes=["tickets:read"])
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="https://mcp.test"
        ) as client:
            many = [client.get("/mcp", headers=bearer(issuer)) for _ in range(5)]
            others = [client.get("/mcp"), client.get(METADATA_PATHS[1]), client.get("/mcp?access_token=x")]
            return await asyncio.gather(*many, *others)

    answers = asyncio.run(exchange())
    assert [answer.status_code for answer in answers] == [200] * 5 + [401, 200, 400]
    assert {answer.text for answer in answers[:5]} == {"usr_maya False True"}
    assert answers[6].json()["authorization_servers"] == [issuer.issuer]
    assert len(verified_in) == 5
    assert threading.main_thread() not in verified_in


def test_asgi_refuses_websockets_and_passes_the_lifespan_on(server: ResourceServer) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {}

    protected = ProtectedAsgi(app, server)
    asyncio.run(protected({"type": "lifespan"}, receive, send))
    asyncio.run(protected({"type": "websocket", "path": "/mcp", "headers": []}, receive, send))
    assert seen == ["lifespan"]
    assert sent == [{"type": "websocket.close", "code": 1008}]

"""Malformed, oversized and repeated requests: O45, O46, O07, T03, W19; every error is RFC 6749 JSON."""

import base64
import json
from urllib.parse import urlencode

import pytest

from broker.kernel.errors import ErrorCode
from broker.kernel.plain import PlainRequest
from broker.oauth import endpoints
from broker.oauth.endpoints import answer
from tests.builders.oauth import Answer, Scene
from tests.builders.world import SECRET, TICKETS

HONEST = {"grant_type": "client_credentials", "resource": TICKETS, "scope": "tickets:read"}
FORM = "application/x-www-form-urlencoded"


def raw(scene: Scene, body: bytes, *, method: str = "POST", query: str = "", **headers: str) -> Answer:
    sent = {
        "content-type": FORM,
        "authorization": "Basic " + base64.b64encode(f"cli_a:{SECRET}".encode()).decode(),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return Answer(
        answer(
            scene.world.rt,
            "acme",
            "token",
            PlainRequest(method, "/t/acme/token", query, sent, body, scene.world.ctx),
        )
    )


BODY = urlencode(HONEST).encode()


@pytest.mark.parametrize(
    ("body", "more"),
    [
        pytest.param(BODY + b"&grant_type=client_credentials", {}, id="O45-grant-type"),
        pytest.param(BODY + b"&scope=tickets:write", {}, id="O45-scope"),
        pytest.param(BODY + b"&client_id=cli_a&client_id=cli_b", {}, id="O45-client-id"),
        pytest.param(BODY, {"content_type": "application/json"}, id="O46-content-type"),
        pytest.param(json.dumps(HONEST).encode(), {"content_type": "application/json"}, id="O46-json"),
        pytest.param(BODY, {"content_type": ""}, id="O46-no-content-type"),
        pytest.param(BODY, {"query": "client_secret=x"}, id="O46-query"),
        pytest.param(BODY, {"content_encoding": "gzip"}, id="W22-encoded"),
        pytest.param(b"grant_type=client_credentials&x=" + b"a" * 70_000, {}, id="O07-large"),
        pytest.param(BODY + b"&x=%00", {}, id="NUL"),
        pytest.param(BODY + b"&x=%ff%fe", {}, id="not-utf-8"),
        pytest.param(BODY + "&x=é".encode(), {}, id="raw-bytes"),
        pytest.param(b"&".join(b"p%d=1" % n for n in range(70)), {}, id="many-fields"),
        pytest.param(b"", {}, id="empty"),
        pytest.param(b"grant_type", {}, id="no-value"),
        pytest.param(b"grant_type=password&username=a&password=b", {}, id="O21-02-password-grant"),
    ],
)
def test_a_malformed_request_is_an_error_and_changes_nothing(
    scene: Scene, body: bytes, more: dict[str, str]
) -> None:
    refused = raw(scene, body, **more)
    assert refused.status in {400, 413}
    assert refused.error in {code.value for code in ErrorCode}
    assert set(refused.json) == {"error", "error_description", "request_id"}
    assert raw(scene, BODY).status == 200


def test_o46_only_post(scene: Scene) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH", "HEAD"):
        assert raw(scene, BODY, method=method).status == 405
    assert raw(scene, BODY).status == 200


@pytest.mark.parametrize(
    "value",
    ["Bearer x", "Basic", "Basic !!!", "Basic Y2xpX2E=", "Basic w6k6w6k=", "Digest x", "Basic " + "A" * 9000],
)
def test_malformed_credentials_are_invalid_client(scene: Scene, value: str) -> None:
    refused = raw(scene, BODY, authorization=value)
    assert (refused.status, refused.error) == (401, "invalid_client")
    assert "WWW-Authenticate" in dict(refused.reply.headers)
    assert raw(scene, BODY).status == 200


def test_o34_an_unknown_client_and_a_wrong_secret_look_alike(scene: Scene) -> None:
    wrong = scene.call("token", HONEST, client="cli_a", secret="no")
    unknown = scene.call("token", HONEST, client="cli_nobody", secret="no")
    assert wrong.status == unknown.status == 401
    assert {**wrong.json, "request_id": ""} == {**unknown.json, "request_id": ""}


def test_w19_a_fault_tells_nothing_of_the_inside(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object) -> None:
        raise RuntimeError("secret detail /srv/app.py")

    monkeypatch.setitem(endpoints.ENDPOINTS, "token", explode)  # type: ignore[arg-type]
    failed = raw(scene, BODY)
    assert (failed.status, failed.error) == (500, "server_error")
    assert b"secret" not in failed.reply.body
    assert b"RuntimeError" not in failed.reply.body
    monkeypatch.undo()
    assert raw(scene, BODY).status == 200


def test_tokens_are_not_to_be_stored(scene: Scene) -> None:
    assert dict(raw(scene, BODY).reply.headers)["Cache-Control"] == "no-store"
    assert dict(raw(scene, b"").reply.headers)["Cache-Control"] == "no-store"


def test_rev_01_a_strangers_revocation_has_no_effect(scene: Scene) -> None:
    token = scene.person_token()
    for client in ("cli_b", "rs_tickets"):
        assert scene.call("revoke", {"token": token}, client=client).status == 200
    assert scene.call("revoke", {"token": "unknown"}, client="cli_a").status == 200
    assert scene.introspect(token)["active"] is True
    assert (
        scene.call("revoke", {"token": token, "token_type_hint": "refresh_token"}, client="cli_a").status
        == 200
    )
    assert scene.introspect(token) == {"active": False}


def test_rev_02_a_refresh_token_takes_its_grant_with_it(scene: Scene) -> None:
    answered = scene.redeem(scene.code())
    child = scene.hand_over(answered.token, "b").token
    assert scene.call("revoke", {"token": answered.json["refresh_token"]}, client="cli_a").status == 200
    assert scene.introspect(child) == {"active": False}
    assert scene.introspect(answered.token) == {"active": False}

"""Introspection and revocation, one test per requirement (protocols §3.14, §3.15)."""

import base64
import json
from urllib.parse import urlencode

import pytest

from broker.kernel.plain import PlainRequest
from broker.kernel.runtime import Runtime, open_runtime
from broker.oauth.endpoints import answer
from tests.builders.oauth import Scene, claims_of
from tests.builders.world import SECRET, TICKETS

OTHER = "https://mcp.other.example/mcp"


@pytest.mark.parametrize("client", [None, "cli_a", "cli_public"])
def test_int_01_only_an_authenticated_resource_may_ask(scene: Scene, client: str | None) -> None:
    token = scene.person_token()
    scene.world.client(scene.tenant, "cli_public", resource=scene.tickets, auth_method="none")
    form = {"token": token, **({"client_id": client} if client == "cli_public" else {})}
    refused = scene.call("introspect", form, client=client if client == "cli_a" else None)
    assert refused.status == (401 if client is None else 400)
    assert refused.error == ("invalid_client" if client is None else "unauthorized_client")
    assert scene.call("introspect", {"token": token}, client="rs_tickets", secret="wrong").status == 401
    assert scene.call("introspect", method="GET", client="rs_tickets").status == 405
    assert scene.introspect(token)["active"] is True


def test_int_02_whatever_does_not_count_gets_one_answer(scene: Scene) -> None:
    world, tenant = scene.world, scene.tenant
    world.client(tenant, "rs_other", resource=world.resource(tenant, OTHER), grant_types=(), scopes=())
    good, ended = scene.person_token(), scene.person_token()
    scene.call("revoke", {"token": ended}, client="cli_a")
    answers = [
        scene.call("introspect", {"token": one}, client="rs_tickets").reply.body
        for one in (ended, "x", "a.b.c")
    ]
    answers.append(scene.call("introspect", {"token": good}, client="rs_other").reply.body)
    assert scene.introspect(good)["active"] is True
    world.clock.advance(601)
    answers.append(scene.call("introspect", {"token": good}, client="rs_tickets").reply.body)
    assert set(answers) == {b'{"active":false}'}


def test_int_03_an_active_token_is_told_as_it_is(scene: Scene) -> None:
    token = scene.hand_over(scene.person_token(), "b").token
    told = scene.introspect(token)
    assert told.pop("active") is True
    assert told.pop("token_type") == "Bearer"
    assert told == claims_of(token)
    assert {"scope", "client_id", "exp", "iat", "nbf", "sub", "aud", "iss", "jti", "txn"} <= told.keys()
    assert {"act", "acr", "amr", "auth_time", "sub_profile", "roles", "dlg"} <= told.keys()
    assert told["act"]["act"]["sub"] == scene.agents["a"].id


def test_int_04_a_resource_sees_its_own_tokens_only(scene: Scene) -> None:
    world, tenant = scene.world, scene.tenant
    world.client(tenant, "rs_other", resource=world.resource(tenant, OTHER), grant_types=(), scopes=())
    token = scene.person_token()
    assert claims_of(token)["aud"] == TICKETS
    assert scene.introspect(token, client="rs_other") == {"active": False}
    assert scene.introspect(token)["sub"] == scene.maya


def test_int_06_no_answer_is_to_be_stored(scene: Scene) -> None:
    token = scene.person_token()
    for text, client in ((token, "rs_tickets"), ("x", "rs_tickets"), (token, None)):
        headers = dict(scene.call("introspect", {"token": text}, client=client).reply.headers)
        assert headers["Cache-Control"] == "no-store"


def test_rev_01_revocation_is_answered_alike_and_strangers_end_nothing(scene: Scene) -> None:
    token = scene.person_token()
    for client, text in (("cli_b", token), ("rs_tickets", token), ("cli_a", "unknown"), ("cli_b", "unknown")):
        answered = scene.call("revoke", {"token": text}, client=client)
        assert (answered.status, answered.reply.body) == (200, b"")
    assert scene.call("revoke", {"token": token}).error == "invalid_client"
    assert scene.call("revoke", method="GET", client="cli_a").status == 405
    assert scene.introspect(token)["active"] is True
    assert scene.call("revoke", {"token": token}, client="cli_a").status == 200
    assert scene.introspect(token) == {"active": False}


def test_rev_02_what_was_derived_ends_with_what_it_came_from(scene: Scene) -> None:
    answered = scene.redeem(scene.code())
    first, child = answered.token, scene.hand_over(answered.token, "b").token
    grandchild = scene.hand_over(child, "c").token
    sibling = scene.hand_over(first, "b").token
    assert scene.call("revoke", {"token": child}, client="cli_b").status == 200
    states = [scene.introspect(one)["active"] for one in (first, child, grandchild, sibling)]
    assert states == [True, False, False, True]
    scene.call("revoke", {"token": answered.json["refresh_token"]}, client="cli_a")
    assert scene.introspect(first) == scene.introspect(sibling) == {"active": False}
    form = {"grant_type": "refresh_token", "refresh_token": answered.json["refresh_token"]}
    assert scene.call("token", form, client="cli_a").error == "invalid_grant"


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "nonsense", ""])
def test_rev_03_a_hint_is_only_a_hint(scene: Scene, hint: str) -> None:
    answered = scene.redeem(scene.code())
    other = scene.person_token("cli_a")
    refresh = answered.json["refresh_token"]
    scene.call("revoke", {"token": other, "token_type_hint": hint}, client="cli_a")
    assert scene.introspect(other) == {"active": False}
    assert scene.introspect(answered.token)["active"] is True
    scene.call("revoke", {"token": refresh, "token_type_hint": hint}, client="cli_a")
    assert scene.introspect(answered.token) == {"active": False}


def test_rev_05_the_next_question_knows_of_it_at_every_node(scene: Scene) -> None:
    first, second = scene.world.rt, another_node(scene)
    try:
        token = scene.person_token()
        for node in (first, second):
            assert ask_at(scene, node, token) is True
        assert scene.call("revoke", {"token": token}, client="cli_a").status == 200
        # The gate reads the token's row, so no node has anything to forget.
        assert ask_at(scene, second, token) is False
        assert ask_at(scene, first, token) is False
    finally:
        second.database.close()


def another_node(scene: Scene) -> Runtime:
    """A second node on the same database, with caches of its own."""
    return open_runtime(scene.world.rt.settings, scene.world.clock)


def ask_at(scene: Scene, node: Runtime, token: str) -> bool:
    """What the tickets server is told at one node."""
    basic = "Basic " + base64.b64encode(f"rs_tickets:{SECRET}".encode()).decode()
    headers = {"content-type": "application/x-www-form-urlencoded", "authorization": basic}
    body = urlencode({"token": token}).encode()
    request = PlainRequest("POST", "/t/acme/introspect", "", headers, body, scene.world.ctx)
    return bool(json.loads(answer(node, "acme", "introspect", request).body)["active"])

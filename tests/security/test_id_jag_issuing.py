"""ID-JAGs that we issue: IDJ-01 to IDJ-11, EMA-01, EMA-02 and EMA-04, ICH-01, ICH-02, ICH-04, ICH-06."""

from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import KeySet
from sqlalchemy import select

from broker.agents.models import Trust
from broker.audit.models import AuditRecord
from broker.discovery.metadata import server_metadata
from broker.kernel.versions import bump
from broker.tokens.keys import public_jwks
from broker.tokens.models import IssuedToken
from broker.tokens.switching_off import end_agent, end_user
from tests.builders.oauth import ACCESS_TOKEN, Scene, claims_of
from tests.builders.trusts import (
    CHAT,
    CHAT_RESOURCE,
    ID_JAG,
    ID_TOKEN,
    REFRESH_TOKEN,
    ask_id_jag,
    signed_in,
    target,
)


def header_of(token: str) -> dict[str, Any]:
    return dict(jws.extract_compact(token.encode()).headers())


@pytest.fixture
def chat(scene: Scene) -> Scene:
    """The scene, with a chat service that takes our ID-JAGs."""
    target(scene)
    return scene


@pytest.mark.parametrize("name", ["IDJ-05", "IDJ-06", "EMA-01"])
def test_an_id_jag_says_what_the_other_side_must_know(chat: Scene, name: str) -> None:
    answer = ask_id_jag(chat, signed_in(chat)["id_token"])
    token = answer.token
    claims = claims_of(token)
    now = chat.world.now
    assert header_of(token)["typ"] == "oauth-id-jag+jwt"
    assert claims == {
        "iss": chat.tenant.issuer,
        "sub": chat.maya,
        "aud": CHAT,
        "client_id": "chat-client-7",
        "jti": claims["jti"],
        "iat": now,
        "exp": now + 300,
        "scope": "tickets:read",
        "resource": CHAT_RESOURCE,
        "auth_time": now,
        "acr": "phr",
        "amr": ["hwk", "user"],
    }
    keys = KeySet.import_key_set(public_jwks(chat.world.rt, chat.tenant.id))
    assert jws.deserialize_compact(token, keys, algorithms=["ES256"])


@pytest.mark.parametrize("name", ["IDJ-07", "EMA-02", "ICH-04", "TEX-08"])
def test_the_answer_is_no_access_token(chat: Scene, name: str) -> None:
    answer = ask_id_jag(chat, signed_in(chat)["id_token"], scope="tickets:read tickets:delete")
    assert answer.json["issued_token_type"] == ID_JAG
    assert answer.json["token_type"] == "N_A"
    assert answer.json["expires_in"] == 300
    assert answer.json["scope"] == "tickets:read"  # narrowed, and said so
    assert "refresh_token" not in answer.json
    assert "id_token" not in answer.json
    assert dict(answer.reply.headers)["Cache-Control"] == "no-store"


def test_every_id_jag_has_a_row_and_an_event(chat: Scene) -> None:
    claims = claims_of(ask_id_jag(chat, signed_in(chat)["id_token"]).token)
    with chat.world.rt.database.read(chat.tenant.id) as session:
        row = session.get(IssuedToken, claims["jti"])
        assert row is not None
        assert (row.audience, row.user_id, row.agent_id) == (CHAT, chat.maya, chat.agents["a"].id)
        event = session.scalars(select(AuditRecord).where(AuditRecord.target_id == claims["jti"])).one()
    assert event.data["audience"] == CHAT


ATTACKS: dict[str, tuple[dict[str, Any], str]] = {
    "IDJ-01-no-audience": ({"audience": None}, "invalid_target"),
    "IDJ-01-unknown-audience": ({"audience": "https://evil.example"}, "invalid_target"),
    "IDJ-01-two-audiences": ({"audience": [CHAT, "https://evil.example"]}, "invalid_target"),
    "IDJ-01-no-subject-token": ({"subject_token": None}, "invalid_request"),
    "IDJ-01-no-subject-type": ({"subject_token_type": None}, "invalid_request"),
    "IDJ-01-wrong-subject-type": ({"subject_token_type": ACCESS_TOKEN}, "invalid_request"),
    "IDJ-01-authorization-details": ({"authorization_details": "[]"}, "invalid_request"),
    "EMA-01-no-resource": ({"resource": None}, "invalid_target"),
    "EMA-01-other-resource": ({"resource": "https://mcp.evil.example/mcp"}, "invalid_target"),
    "EMA-04-garbage": ({"subject_token": "garbage"}, "invalid_grant"),
    "ICH-01-own-issuer-as-audience": ({"audience": "http://127.0.0.1:8080/t/acme"}, "invalid_target"),
    "ICH-05-scope": ({"scope": "tickets:delete"}, "invalid_scope"),
    "IDJ-11-actor-type-alone": ({"actor_token_type": ACCESS_TOKEN}, "invalid_request"),
    "IDJ-11-actor-of-unknown-kind": (
        {"actor_token": "x", "actor_token_type": "urn:ietf:params:oauth:token-type:jwt"},
        "invalid_request",
    ),
    "IDJ-11-actor-garbage": ({"actor_token": "x", "actor_token_type": ACCESS_TOKEN}, "invalid_grant"),
}


@pytest.mark.parametrize(("changes", "error"), ATTACKS.values(), ids=ATTACKS)
def test_a_request_that_does_not_fit_is_refused(chat: Scene, changes: dict[str, Any], error: str) -> None:
    id_token = signed_in(chat)["id_token"]
    refused = ask_id_jag(chat, id_token, **changes)
    assert (refused.status, refused.error) == (400, error)
    assert ask_id_jag(chat, id_token).status == 200


def test_idj_01_an_alias_is_resolved_to_the_issuer(chat: Scene) -> None:
    token = ask_id_jag(chat, signed_in(chat)["id_token"], audience="urn:chat").token
    assert claims_of(token)["aud"] == CHAT


def test_idj_01_a_target_without_resources_takes_none(scene: Scene) -> None:
    target(scene, resources=[])
    id_token = signed_in(scene)["id_token"]
    assert ask_id_jag(scene, id_token).error == "invalid_target"
    assert "resource" not in claims_of(ask_id_jag(scene, id_token, resource=None).token)


def test_idj_02_the_id_token_must_be_the_callers(chat: Scene) -> None:
    target(chat, clients={"cli_a": "chat-client-7", "cli_b": "chat-client-8"}, agents=["a", "b"])
    mine = signed_in(chat, "cli_a")["id_token"]
    theirs = signed_in(chat, "cli_b")["id_token"]
    refused = ask_id_jag(chat, theirs)
    assert (refused.status, refused.error) == (400, "invalid_grant")
    assert ask_id_jag(chat, mine).status == 200


def test_idj_02_an_expired_or_foreign_id_token_is_refused(chat: Scene) -> None:
    other = Scene(chat.world, slug="other")
    assert ask_id_jag(chat, signed_in(other)["id_token"]).error == "invalid_grant"
    id_token = signed_in(chat)["id_token"]
    assert ask_id_jag(chat, id_token).status == 200
    chat.world.clock.advance(601)
    assert ask_id_jag(chat, id_token).error == "invalid_grant"


def test_idj_03_a_refresh_token_gives_what_holds_now(chat: Scene) -> None:
    tokens = signed_in(chat, scope="openid tickets:read tickets:write")
    wanted = {"subject_token_type": REFRESH_TOKEN, "scope": "tickets:read tickets:write"}
    before = ask_id_jag(chat, tokens["refresh_token"], **wanted)
    assert claims_of(before.token)["scope"] == "tickets:read tickets:write"
    chat.world.user(chat.tenant, chat.okta, "maya", groups=[])
    after = ask_id_jag(chat, tokens["refresh_token"], **wanted)
    assert claims_of(after.token)["scope"] == "tickets:read"
    # It was not spent, for there is no successor.
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert chat.call("token", refresh, client="cli_a").status == 200


def test_idj_03_a_refresh_token_of_another_or_spent_is_refused(chat: Scene) -> None:
    target(chat, clients={"cli_a": "chat-client-7", "cli_b": "chat-client-8"}, agents=["a", "b"])
    tokens = signed_in(chat)
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    as_refresh = {"subject_token_type": REFRESH_TOKEN}
    assert ask_id_jag(chat, tokens["refresh_token"], client="cli_b", **as_refresh).error == "invalid_grant"
    successor = chat.call("token", refresh, client="cli_a").json["refresh_token"]
    assert ask_id_jag(chat, successor, **as_refresh).status == 200
    assert ask_id_jag(chat, tokens["refresh_token"], **as_refresh).error == "invalid_grant"
    # A spent one that comes back ends the family, here as at the refresh grant.
    assert ask_id_jag(chat, successor, **as_refresh).error == "invalid_grant"


ENDINGS: dict[str, Callable[[Scene, Any], Any]] = {
    "user": lambda scene, tx: end_user(tx, scene.tenant.id, scene.maya, "test", scene.world.now),
    "agent": lambda scene, tx: end_agent(tx, scene.tenant.id, scene.agents["a"].id, "test", scene.world.now),
}


@pytest.mark.parametrize("what", ENDINGS)
def test_idj_03_who_was_switched_off_is_introduced_to_nobody(chat: Scene, what: str) -> None:
    tokens = signed_in(chat)
    assert ask_id_jag(chat, tokens["id_token"]).status == 200
    with chat.world.rt.database.core_write() as connection:
        ENDINGS[what](chat, connection)
    for kind, name in ((ID_TOKEN, "id_token"), (REFRESH_TOKEN, "refresh_token")):
        assert ask_id_jag(chat, tokens[name], subject_token_type=kind).error == "invalid_grant"


def test_a_withdrawn_consent_ends_the_id_tokens_power(chat: Scene) -> None:
    tokens = signed_in(chat)
    chat.call("revoke", {"token": tokens["refresh_token"]}, client="cli_a")
    assert ask_id_jag(chat, tokens["id_token"]).error == "invalid_grant"


def test_idj_06_a_client_without_an_id_there_is_refused(chat: Scene) -> None:
    target(chat, clients={}, agents=["a"])
    id_token = signed_in(chat)["id_token"]
    assert ask_id_jag(chat, id_token).error == "invalid_target"
    target(chat)
    assert ask_id_jag(chat, id_token).status == 200


def test_idj_06_an_agent_that_may_not_go_there_is_refused(chat: Scene) -> None:
    target(chat, agents=["b"])
    id_token = signed_in(chat)["id_token"]
    assert ask_id_jag(chat, id_token).error == "invalid_target"
    target(chat)
    assert ask_id_jag(chat, id_token).status == 200


def test_idj_06_the_person_goes_by_the_name_known_there(chat: Scene) -> None:
    id_token = signed_in(chat)["id_token"]
    target(chat, subject="upstream_subject")
    assert claims_of(ask_id_jag(chat, id_token).token)["sub"] == "maya"
    # An address that no provider's own domain proves names nobody.
    target(chat, subject="email")
    assert ask_id_jag(chat, id_token).error == "invalid_grant"
    chat.world.user(chat.tenant, chat.okta, "maya", email_verified_by="idp_verified_domain")
    claims = claims_of(ask_id_jag(chat, id_token).token)
    assert (claims["sub"], claims["email"]) == ("maya@acme.example", "maya@acme.example")


@pytest.mark.parametrize("name", ["IDJ-09", "EMA-04"])
def test_a_weak_or_old_sign_in_is_told_what_is_missing(chat: Scene, name: str) -> None:
    tokens = signed_in(chat)
    target(chat, acr_values=["phrh"], max_age=900)
    refused = ask_id_jag(chat, tokens["id_token"])
    assert (refused.status, refused.error) == (400, "insufficient_user_authentication")
    assert refused.json["acr_values"] == "phrh"
    assert refused.json["max_age"] == 900
    target(chat, acr_values=["phr", "phrh"], max_age=900)
    assert ask_id_jag(chat, tokens["id_token"]).status == 200
    chat.world.clock.advance(901)
    as_refresh = {"subject_token_type": REFRESH_TOKEN}
    refused = ask_id_jag(chat, tokens["refresh_token"], **as_refresh)
    assert refused.error == "insufficient_user_authentication"


def test_idj_11_an_actor_token_is_shown_and_must_be_the_agents_own(chat: Scene) -> None:
    id_token = signed_in(chat)["id_token"]
    as_actor = {"actor_token_type": ACCESS_TOKEN}
    stolen = ask_id_jag(chat, id_token, actor_token=chat.own_token("b"), **as_actor)
    assert stolen.error == "actor_unauthorized"
    claims = claims_of(ask_id_jag(chat, id_token, actor_token=chat.own_token("a"), **as_actor).token)
    agent = {"sub": chat.agents["a"].id, "iss": chat.tenant.issuer, "sub_profile": "ai_agent"}
    assert claims["act"] == agent


def test_a_disabled_target_is_unknown(chat: Scene) -> None:
    id_token = signed_in(chat)["id_token"]
    with chat.world.rt.database.write(chat.tenant.id) as session:
        session.scalars(select(Trust)).one().state = "disabled"
        bump(session.connection(), chat.tenant.id)
    assert ask_id_jag(chat, id_token).error == "invalid_target"


@pytest.mark.parametrize("door", ["exchange", "introspect", "refresh", "userinfo"])
def test_an_id_jag_opens_no_door_of_ours(chat: Scene, door: str) -> None:
    token = ask_id_jag(chat, signed_in(chat)["id_token"]).token
    if door == "introspect":
        assert chat.introspect(token) == {"active": False}
        return
    answers = {
        "exchange": lambda: chat.exchange(token, "a"),
        "refresh": lambda: chat.call(
            "token", {"grant_type": "refresh_token", "refresh_token": token}, client="cli_a"
        ),
        "userinfo": lambda: chat.call("userinfo", headers={"authorization": f"Bearer {token}"}, method="GET"),
    }
    assert answers[door]().status in {400, 401}


def test_idj_10_metadata_says_so_where_there_is_a_target(scene: Scene) -> None:
    name = "identity_chaining_requested_token_types_supported"
    assert name not in server_metadata(scene.world.rt, scene.tenant)
    target(scene)
    told = server_metadata(scene.world.rt, scene.tenant)
    assert told[name] == [ID_JAG]
    assert CHAT not in str(told)

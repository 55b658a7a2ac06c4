"""Agents, chains and who may present what: A01, A04 to A08, A24 to A26, A31, and every refusal of a chain."""

import pytest

from broker.agents.models import Agent
from broker.kernel.versions import bump
from broker.tokens.models import MAX_LEVELS
from broker.tokens.switching_off import end_agent, end_client, end_connection, end_tenant, end_user, switch_on
from tests.builders.oauth import ACCESS_TOKEN, Scene, claims_of
from tests.builders.world import SECRET, TICKETS, TOKEN_EXCHANGE

JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"


def test_the_honest_hand_over_works(scene: Scene) -> None:
    assert scene.hand_over(scene.person_token(), "b").status == 200


def test_a_token_in_passing_cannot_be_continued_by_others(scene: Scene) -> None:
    """A chain token presented by a client whose agent is not its outermost actor, without an actor token."""
    first = scene.person_token()
    refused = scene.exchange(first, "b")
    assert (refused.status, refused.error) == (400, "invalid_grant")
    assert scene.exchange(first, "a", scope="tickets:read").status == 200


def test_a_rogue_actor_is_refused(scene: Scene) -> None:
    first = scene.person_token()
    stolen = scene.own_token("b")
    refused = scene.exchange(first, "c", actor=stolen)
    assert refused.error == "actor_unauthorized"
    assert scene.exchange(first, "b", actor=stolen).status == 200


def test_an_actor_that_was_not_chosen_is_refused(scene: Scene) -> None:
    first = scene.person_token()
    assert scene.hand_over(first, "c").error == "actor_unauthorized"
    assert scene.hand_over(first, "b").status == 200


def test_a_persons_token_is_no_actor_token(scene: Scene) -> None:
    first = scene.person_token("cli_a")
    persons = scene.person_token("cli_b")
    assert scene.exchange(first, "b", actor=persons).error == "actor_unauthorized"
    assert scene.exchange(first, "b", actor=scene.own_token("b")).status == 200


def test_a06_an_actor_deeper_in_the_chain_cannot_return(scene: Scene) -> None:
    scene.agents["b"] = scene.world.agent(scene.tenant, "loop", delegable_to=["a"], max_depth=8)
    scene.world.client(scene.tenant, "cli_loop", agent=scene.agents["b"])
    first = scene.person_token()
    second = scene.hand_over(first, "b").token
    # Whoever is outermost may go on; who stands deeper may neither present nor join again.
    assert scene.exchange(second, "a").error == "invalid_grant"
    assert scene.hand_over(second, "a").error == "actor_unauthorized"
    assert scene.exchange(second, "b").status == 200


def test_a06_depth_over_the_limit_is_refused(scene: Scene) -> None:
    token = scene.person_token()
    for name in ("b", "c", "d"):
        token = scene.hand_over(token, name).token
    assert claims_of(token)["dlg"]["depth"] == 4
    refused = scene.hand_over(token, "e")
    assert (refused.status, refused.error) == (400, "invalid_request")
    assert scene.exchange(token, "d").status == 200


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"subject_token": None}, "invalid_request", id="A04-dropped"),
        pytest.param({"subject_token": ""}, "invalid_request", id="A04-blank"),
        pytest.param({"subject_token": "garbage"}, "invalid_grant", id="A04-garbage"),
        pytest.param({"subject_token_type": None}, "invalid_request", id="A04-type-dropped"),
        pytest.param({"subject_token_type": "access_token"}, "invalid_request", id="A04-type-malformed"),
        pytest.param({"subject_token_type": "urn:x:unknown"}, "invalid_request", id="A04-type-unknown"),
        pytest.param({"subject_token_type": JWT_TYPE}, "invalid_request", id="A04-type-jwt"),
        pytest.param({"requested_token_type": JWT_TYPE}, "invalid_request", id="A04-requested-type"),
        pytest.param({"actor_token_type": ACCESS_TOKEN}, "invalid_request", id="TEX-01-type-alone"),
        pytest.param({"actor_token": "x"}, "invalid_request", id="TEX-01-token-alone"),
        pytest.param(
            {"actor_token": "x", "actor_token_type": JWT_TYPE}, "invalid_request", id="A04-actor-type"
        ),
        pytest.param(
            {"actor_token": "", "actor_token_type": ACCESS_TOKEN}, "invalid_request", id="A04-actor-blank"
        ),
        pytest.param({"resource": "https://evil.example/mcp"}, "invalid_target", id="A31-resource"),
        pytest.param({"audience": "https://evil.example/mcp"}, "invalid_target", id="A31-audience"),
        pytest.param({"resource": [TICKETS, "https://x.example/"]}, "invalid_target", id="RI-05-two"),
        pytest.param({"scope": "tickets:delete"}, "invalid_scope", id="A05-scope"),
        pytest.param({"scope": 'tickets:read "'}, "invalid_scope", id="scope-malformed"),
    ],
)
def test_a04_a_malformed_exchange_is_an_error(scene: Scene, changes: dict, error: str) -> None:
    first = scene.person_token()
    refused = scene.exchange(first, "a", **changes)
    assert (refused.status, refused.error) == (400, error)
    assert scene.exchange(first, "a").status == 200


def test_a05_a_child_never_widens(scene: Scene) -> None:
    first = scene.person_token(scope="tickets:read tickets:write")
    narrow = scene.exchange(first, "a", scope="tickets:read").token
    wider = scene.exchange(narrow, "a", scope="tickets:read tickets:write")
    assert claims_of(wider.token)["scope"] == "tickets:read"
    assert wider.json["scope"] == "tickets:read"
    assert scene.exchange(narrow, "a", scope="tickets:write").error == "invalid_scope"


def test_a07_scope_is_not_regained_through_another_agent(scene: Scene) -> None:
    first = scene.person_token(scope="tickets:read tickets:write")
    second = scene.hand_over(first, "b", scope="tickets:read").token
    third = scene.hand_over(second, "c", scope="tickets:read tickets:write").token
    assert claims_of(third)["scope"] == "tickets:read"


def test_a10_a_group_removed_is_gone_at_the_next_exchange(scene: Scene) -> None:
    first = scene.person_token()
    assert claims_of(scene.exchange(first, "a").token)["roles"] == ["support.agent"]
    scene.world.user(scene.tenant, scene.okta, "maya", groups=[])
    later = claims_of(scene.exchange(first, "a").token)
    assert "roles" not in later
    assert later["scope"] == "tickets:read"  # tickets:write needs the role


def test_a10_incomplete_groups_grant_nothing_new(scene: Scene) -> None:
    eve = scene.world.user(scene.tenant, scene.okta, "eve", groups=["support"], groups_state="overage")
    scene.maya = eve
    claims = claims_of(scene.person_token())
    assert "roles" not in claims
    scene.maya = scene.world.user(scene.tenant, scene.okta, "eve", groups=["support"])
    assert claims_of(scene.person_token())["roles"] == ["support.agent"]


def test_o36_introspection_answers_for_the_callers_resource_only(scene: Scene) -> None:
    other = scene.world.resource(scene.tenant, "https://mcp.wiki.example/mcp")
    scene.world.client(scene.tenant, "rs_wiki", resource=other, grant_types=(), scopes=())
    token = scene.person_token()
    assert scene.introspect(token, "rs_wiki") == {"active": False}
    assert scene.introspect(token, "rs_tickets")["active"] is True
    # Agents are no resources, and nobody introspects without proof.
    assert scene.call("introspect", {"token": token}, client="cli_a").error == "unauthorized_client"
    anonymous = scene.call("introspect", {"token": token, "client_id": "rs_tickets"})
    assert (anonymous.status, anonymous.error) == (401, "invalid_client")


SWITCHES = {
    "user": lambda scene, tx, now: end_user(tx, scene.tenant.id, scene.maya, "test", now),
    "agent": lambda scene, tx, now: end_agent(tx, scene.tenant.id, scene.agents["a"].id, "test", now),
    "client": lambda scene, tx, now: end_client(tx, scene.tenant.id, "cli_a", "test", now),
    "connection": lambda scene, tx, now: end_connection(tx, scene.tenant.id, scene.okta.id, "test", now),
    "tenant": lambda scene, tx, now: end_tenant(tx, scene.tenant.id, "test", now),
}


@pytest.mark.parametrize(
    "what", SWITCHES, ids=lambda what: "S54-connection" if what == "connection" else what
)
def test_a26_disabled_is_disabled_on_every_path(scene: Scene, what: str) -> None:
    """T10 for what exists here: introspection, exchange, refresh and code, all refused at once."""
    first = scene.redeem(scene.code())
    code = scene.code()
    assert scene.introspect(first.token)["active"] is True
    with scene.world.rt.database.core_write() as connection:
        SWITCHES[what](scene, connection, scene.world.now)
    refresh = {"grant_type": "refresh_token", "refresh_token": first.json["refresh_token"]}
    if what != "tenant":
        assert scene.introspect(first.token) == {"active": False}
    else:
        assert scene.call("introspect", {"token": first.token}, client="rs_tickets").status == 404
    for answer in (
        scene.exchange(first.token, "a"),
        scene.call("token", refresh, client="cli_a"),
        scene.redeem(code),
    ):
        assert answer.status in {400, 401, 404}
        assert "access_token" not in answer.json


def test_t04_a_tenant_that_is_switched_off_answers_nothing(scene: Scene) -> None:
    """And when it is switched on again, nothing of before is worth anything (protocols §6.4)."""
    first = scene.redeem(scene.code())
    with scene.world.rt.database.core_write() as connection:
        end_tenant(connection, scene.tenant.id, "test", scene.world.now)
    for endpoint in ("token", "introspect", "revoke", "userinfo"):
        assert scene.call(endpoint, {"token": first.token}, client="cli_a").status == 404
    assert scene.call("jwks", method="GET").status == 404
    scene.world.clock.advance(1)
    with scene.world.rt.database.core_write() as connection:
        switch_on(connection, scene.tenant.id, "tenant", scene.tenant.id, scene.world.now)
    assert scene.introspect(first.token) == {"active": False}
    refresh = {"grant_type": "refresh_token", "refresh_token": first.json["refresh_token"]}
    assert scene.call("token", refresh, client="cli_a").error == "invalid_grant"
    scene.world.clock.advance(1)
    assert scene.introspect(scene.person_token())["active"] is True


def test_a24_a_client_is_its_key_and_not_its_name(scene: Scene) -> None:
    params = {"grant_type": "client_credentials", "resource": TICKETS, "client_id": "cli_a"}
    assert scene.call("token", params).error == "invalid_client"
    assert scene.call("token", params, client="cli_a", secret="guess").error == "invalid_client"
    assert scene.call("token", params, client="cli_b").error == "invalid_client"
    assert scene.call("token", params, client="cli_a", secret=SECRET).status == 200


def test_a_public_client_gets_no_token_of_its_own(scene: Scene) -> None:
    scene.world.client(scene.tenant, "cli_public", agent=scene.agents["a"], auth_method="none")
    params = {"grant_type": "client_credentials", "resource": TICKETS, "client_id": "cli_public"}
    assert scene.call("token", params).error == "unauthorized_client"
    assert scene.own_token("a")


def test_a08_autonomous_agents_have_no_ones_roles(scene: Scene) -> None:
    params = {"grant_type": "client_credentials", "resource": TICKETS, "scope": "tickets:read tickets:write"}
    claims = claims_of(scene.call("token", params, client="cli_a").token)
    assert claims["sub"] == scene.agents["a"].id
    assert claims["sub_profile"] == "ai_agent"
    assert claims["scope"] == "tickets:read"
    assert "roles" not in claims
    assert "act" not in claims


def test_an_agent_in_its_own_name_can_hand_over(scene: Scene) -> None:
    own = scene.own_token("a")
    claims = claims_of(scene.hand_over(own, "b").token)
    assert claims["sub"] == scene.agents["a"].id
    assert claims["act"]["sub"] == scene.agents["b"].id
    assert "act" not in claims["act"]
    assert scene.hand_over(own, "c").error == "actor_unauthorized"


def test_a06_an_agent_that_began_in_its_own_name_cannot_re_enter(scene: Scene) -> None:
    """It is the subject and stands in no ``act``, so policy alone would not see it."""
    loop = scene.world.agent(scene.tenant, "back", delegable_to=["c"], max_depth=8)
    scene.agents["back"] = loop
    scene.world.client(scene.tenant, "cli_back", agent=loop)
    own = scene.own_token("b")
    joined = scene.hand_over(own, "c").token
    with scene.world.rt.database.write(scene.tenant.id) as session:
        row = session.get(Agent, scene.agents["c"].id)
        assert row is not None
        row.delegable_to = ["b", "d"]
        bump(session.connection(), scene.tenant.id)
    assert scene.hand_over(joined, "b").error == "actor_unauthorized"
    assert scene.hand_over(joined, "d").status == 200


def test_fan_out_is_bounded(scene: Scene) -> None:
    other = Scene(scene.world, slug="small", settings={"fan_out": 3})
    first = other.person_token()
    for _ in range(3):
        assert other.exchange(first, "a").status == 200
    assert other.exchange(first, "a").error == "actor_unauthorized"
    assert other.exchange(other.person_token(), "a").status == 200


def test_a_line_of_narrower_tokens_is_bounded(scene: Scene) -> None:
    """An agent that narrows its own token over and over goes no deeper; its path would outgrow the column."""
    token = scene.person_token()
    for _ in range(MAX_LEVELS - 1):
        token = scene.exchange(token, "a").token
    refused = scene.exchange(token, "a")
    assert (refused.status, refused.error) == (400, "actor_unauthorized")
    assert scene.introspect(token)["active"] is True
    assert scene.exchange(scene.person_token(), "a").status == 200


@pytest.mark.parametrize("tenant", ["other"])
def test_t02_a_token_of_another_tenant_is_worth_nothing(scene: Scene, tenant: str) -> None:
    other = Scene(scene.world, slug=tenant)
    token = scene.person_token()
    assert other.exchange(token, "a").error == "invalid_grant"
    assert other.introspect(token) == {"active": False}
    assert other.call("revoke", {"token": token}, client="cli_a").status == 200
    assert scene.introspect(token)["active"] is True
    params = {"grant_type": TOKEN_EXCHANGE, "subject_token": token, "subject_token_type": ACCESS_TOKEN}
    assert scene.call("token", params, client="cli_a", slug="nowhere").status == 404

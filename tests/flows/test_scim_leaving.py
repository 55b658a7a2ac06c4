"""Somebody leaves: the provider says so, and when it has its answer all that acted for them is dead (C05)."""

import pytest

from broker.agents.snapshot import load_agents
from broker.kernel.runtime import open_runtime
from broker.tokens.models import BrowserSession
from broker.tokens.switching_off import end_user
from tests.builders.oauth import Scene, claims_of
from tests.builders.provisioning import GROUP, Provider
from tests.builders.world import TICKETS

VERIFIED = "idp_verified_domain"


@pytest.fixture
def okta(scene: Scene) -> Provider:
    return Provider(scene.world, scene.tenant, scene.okta)


def tokens_of(scene: Scene) -> tuple[str, str]:
    """A token of Maya's first agent, and the one that the second got from it."""
    first = scene.person_token()
    return first, scene.hand_over(first, "b").token


@pytest.mark.parametrize("way", ["active-false", "delete", "put"])
def test_c05_leaving_ends_sessions_grants_and_every_token_below(scene: Scene, okta: Provider, way: str):
    maya = okta.user("maya", externalId="maya").id
    first, second = tokens_of(scene)
    other = scene.own_token("c")
    session = scene.session()
    assert scene.introspect(first)["active"]

    if way == "active-false":
        done = okta.patch(f"Users/{maya}", {"op": "replace", "path": "active", "value": False})
    elif way == "delete":
        done = okta.call("DELETE", f"Users/{maya}")
    else:
        body = okta.get(f"Users/{maya}").json | {"active": False}
        done = okta.call("PUT", f"Users/{maya}", body)
    assert done.status in {200, 204}

    # The same second: no clock has moved.
    assert scene.introspect(first) == {"active": False}
    assert scene.introspect(second) == {"active": False}
    assert scene.exchange(second, "b").error == "invalid_grant"
    with scene.world.rt.database.read(scene.tenant.id) as reading:
        row = reading.get(BrowserSession, session.id)
        assert row is not None
        assert row.ended_at == scene.world.now
    assert scene.introspect(other)["active"], "an agent's own token is not Maya's"
    (event,) = okta.events("user.disabled")
    assert (event.subject_id, event.reason, event.data["token_count"]) == (scene.maya, "deprovisioned", 2)


def test_c05_a_refresh_token_dies_with_the_person_also_in_another_worker(scene: Scene, okta: Provider):
    maya = okta.user("maya", externalId="maya").id
    issued = scene.redeem(scene.code("cli_a", "tickets:read offline_access"), "cli_a")
    refresh = {"grant_type": "refresh_token", "refresh_token": issued.json["refresh_token"]}
    here = scene.world.rt
    elsewhere = open_runtime(here.settings, scene.world.clock)
    try:
        scene.world.rt = elsewhere
        # The twin: the other worker accepts both, and has copies of all that it looked at.
        again = scene.call("token", refresh, client="cli_a")
        refresh["refresh_token"] = again.json["refresh_token"]
        assert scene.introspect(again.token)["active"]
        okta.patch(f"Users/{maya}", {"op": "Replace", "path": "active", "value": "False"})
        assert scene.introspect(again.token) == {"active": False}
        assert scene.call("token", refresh, client="cli_a").error == "invalid_grant"
    finally:
        scene.world.rt = here
        elsewhere.egress.close()
        elsewhere.database.close()


def test_c05_coming_back_revives_nothing(scene: Scene, okta: Provider):
    maya = okta.user("maya", externalId="maya").id
    first, _ = tokens_of(scene)
    okta.patch(f"Users/{maya}", {"op": "Replace", "path": "active", "value": "False"})
    scene.world.clock.advance(1)
    okta.patch(f"Users/{maya}", {"op": "Replace", "path": "active", "value": "True"})
    assert scene.introspect(first) == {"active": False}
    scene.world.clock.advance(1)
    # The twin: Maya signs in again and allows the agent anew.
    scene.world.user(scene.tenant, scene.okta, "maya", groups=["support"])
    assert scene.introspect(scene.person_token())["active"]
    assert len(okta.events("user.enabled")) == 1


def test_c05_agents_of_a_proven_owner_are_suspended(scene: Scene, okta: Provider):
    scene.world.user(scene.tenant, scene.okta, "maya", email="Maya@acme.example", email_verified_by=VERIFIED)
    hers = scene.world.agent(scene.tenant, "hers", owner_email="maya@ACME.example")
    scene.world.client(scene.tenant, "cli_hers", agent=hers)
    others = scene.agents["a"]
    own = scene.call(
        "token",
        {"grant_type": "client_credentials", "resource": TICKETS, "scope": "tickets:read"},
        client="cli_hers",
    ).token
    maya = okta.user("maya", externalId="maya").id

    okta.patch(f"Users/{maya}", {"op": "replace", "value": {"active": False}})

    agents = load_agents(scene.world.rt, scene.tenant.id).agents
    assert (agents[hers.id].state, agents[others.id].state) == ("suspended", "active")
    assert scene.introspect(own) == {"active": False}
    (event,) = okta.events("agent.suspended")
    assert (event.target_id, event.subject_id, event.reason) == (hers.id, scene.maya, "owner_deprovisioned")
    assert event.data["owner_known_by"] == "verified_address"

    okta.patch(f"Users/{maya}", {"op": "replace", "value": {"active": True}})
    assert load_agents(scene.world.rt, scene.tenant.id).agents[hers.id].state == "suspended"


@pytest.mark.parametrize("proof", ["none", "idp_asserted"])
def test_an_unproven_address_suspends_nobodys_agent(scene: Scene, okta: Provider, proof: str):
    scene.world.user(scene.tenant, scene.okta, "maya", email="olu@acme.example", email_verified_by=proof)
    maya = okta.user("maya", externalId="maya").id
    okta.patch(f"Users/{maya}", {"op": "replace", "value": {"active": False}})
    assert okta.events("agent.suspended") == []
    (event,) = okta.events("user.disabled")
    assert event.data["address_known_by"] == proof


def test_an_administrators_word_outlives_a_push(scene: Scene, okta: Provider):
    maya = okta.user("maya", externalId="maya").id
    with scene.world.rt.database.core_write() as connection:
        end_user(connection, scene.tenant.id, scene.maya, "user_disabled", scene.world.now)
    okta.patch(f"Users/{maya}", {"op": "replace", "value": {"active": False}})
    okta.patch(f"Users/{maya}", {"op": "replace", "value": {"active": True}})
    assert okta.events("user.enabled") == []


def test_a_disabled_record_that_comes_first_switches_off_who_is_known(scene: Scene, okta: Provider):
    first, _ = tokens_of(scene)
    okta.user("maya", externalId="maya", active=False)
    assert scene.introspect(first) == {"active": False}


# -- a group is left: what the role opened is shut, and the rest goes on ------------------------------------


def leave(okta: Provider, way: str, group: str, maya: str) -> None:
    """Maya is no longer in the group, in one of the ways in which providers say so."""
    if way == "okta-remove":
        done = okta.patch(f"Groups/{group}", {"op": "remove", "path": f'members[value eq "{maya}"]'})
    elif way == "entra-remove":
        done = okta.patch(f"Groups/{group}", {"op": "Remove", "path": "members", "value": [{"value": maya}]})
    elif way == "put":
        done = okta.call("PUT", f"Groups/{group}", {"schemas": [GROUP], "displayName": "support"})
    elif way == "rename":
        done = okta.patch(f"Groups/{group}", {"op": "replace", "path": "displayName", "value": "other"})
    else:
        done = okta.call("DELETE", f"Groups/{group}")
    assert done.status in {200, 204}


@pytest.mark.parametrize("way", ["okta-remove", "entra-remove", "put", "rename", "delete"])
def test_c05_leaving_a_group_ends_the_tokens_that_carry_its_role(scene: Scene, okta: Provider, way: str):
    maya = okta.user("maya", externalId="maya").id
    tom = okta.user("tom", externalId="tom").id
    group = okta.group("support", maya, tom).id
    first, second = tokens_of(scene)
    own = scene.own_token("c")
    assert claims_of(first)["roles"] == ["support.agent"]
    assert scene.introspect(first)["active"]

    leave(okta, way, group, maya)

    # The same second: at introspection and at token exchange.
    assert scene.introspect(first) == {"active": False}
    assert scene.introspect(second) == {"active": False}
    assert scene.exchange(second, "b").error == "invalid_grant"
    assert scene.hand_over(first, "b").error == "invalid_grant"
    assert scene.introspect(own)["active"], "an agent's own token is not Maya's"
    (event,) = [one for one in okta.events("token.revoked") if one.reason == "role_lost"]
    assert (event.subject_id, event.data["roles"]) == (scene.maya, ["support.agent"])
    assert event.data["token_count"] >= 2
    # The twin: she did not leave the company; what needs no role is given again.
    assert okta.events("user.disabled") == []
    anew = scene.person_token(scope="tickets:read tickets:write")
    assert claims_of(anew)["scope"] == "tickets:read"
    assert scene.introspect(anew)["active"]


def test_a_role_that_another_group_still_gives_ends_nothing(scene: Scene, okta: Provider):
    scene.world.mapping(scene.tenant, scene.okta, "helpers", "support.agent")
    maya = okta.user("maya", externalId="maya").id
    group = okta.group("support", maya).id
    okta.group("helpers", maya)
    first, _ = tokens_of(scene)
    leave(okta, "okta-remove", group, maya)
    assert scene.introspect(first)["active"]
    assert okta.events("token.revoked") == []


def test_joining_a_group_ends_nothing_and_another_persons_leaving_neither(scene: Scene, okta: Provider):
    maya = okta.user("maya", externalId="maya").id
    group = okta.group("support", maya).id
    scene.world.user(scene.tenant, scene.okta, "tom")
    tom = okta.user("tom", externalId="tom").id
    first, second = tokens_of(scene)
    okta.patch(f"Groups/{group}", {"op": "add", "path": "members", "value": [{"value": tom}]})
    leave(okta, "okta-remove", group, tom)
    assert scene.introspect(first)["active"]
    assert scene.introspect(second)["active"]


def test_c05_a_refresh_after_leaving_a_group_gives_less(scene: Scene, okta: Provider):
    maya = okta.user("maya", externalId="maya").id
    group = okta.group("support", maya).id
    issued = scene.redeem(scene.code("cli_a", "tickets:read tickets:write offline_access"), "cli_a")
    refresh = issued.json["refresh_token"]
    leave(okta, "okta-remove", group, maya)
    assert scene.introspect(issued.token) == {"active": False}
    again = scene.call("token", {"grant_type": "refresh_token", "refresh_token": refresh}, client="cli_a")
    assert claims_of(again.token)["scope"] == "tickets:read"

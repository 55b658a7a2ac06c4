"""What was agreed to: covers only what one consent says, until it ends."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.approvals import consents
from broker.kernel.errors import ErrorCode, Refusal
from broker.tenants.snapshot import require_tenant
from tests.builders.world import World, open_world

MCP, API = "https://mcp.example", "https://api.example"


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(database_url, tmp_path) as opened:
        opened.tenant()
        yield opened


def tenant_id(world: World, slug: str = "acme") -> str:
    return require_tenant(world.rt, slug).id


def give(world: World, **changes: Any) -> str:
    values: dict[str, Any] = {
        "tenant_id": tenant_id(world),
        "user_id": "usr_1",
        "client_id": "cli_1",
        "agent_id": "agt_1",
        "resources": [MCP],
        "scopes": ["read", "write"],
        "ttl_seconds": 3600,
        "now": world.now,
        **changes,
    }
    with world.rt.database.write(tenant_id(world)) as session:
        return consents.give_consent(session, **values)


def find(world: World, **changes: Any) -> str | None:
    values: dict[str, Any] = {
        "tenant_id": tenant_id(world),
        "user_id": "usr_1",
        "client_id": "cli_1",
        "agent_id": "agt_1",
        "resources": [MCP],
        "scopes": ["read"],
        "now": world.now,
        **changes,
    }
    with world.rt.database.read(values["tenant_id"]) as session:
        found = consents.find_consent(session, **values)
    return found.id if found else None


def test_a_consent_covers_what_it_says_and_nothing_else(world: World) -> None:
    given = give(world)
    assert find(world) == given
    assert find(world, scopes=["read", "write"]) == given
    assert find(world, scopes=[]) == given
    assert find(world, scopes=["read", "delete"]) is None
    assert find(world, resources=[API]) is None
    assert find(world, resources=[MCP, API]) is None
    assert find(world, user_id="usr_2") is None
    assert find(world, client_id="cli_2") is None
    assert find(world, agent_id="agt_2") is None
    assert find(world, agent_id=None) is None
    beta = world.tenant("beta")
    assert find(world, tenant_id=beta.id) is None


def test_two_consents_do_not_add_up(world: World) -> None:
    give(world, resources=[MCP], scopes=["read"])
    give(world, resources=[API], scopes=["write"])
    assert find(world, resources=[MCP], scopes=["write"]) is None
    assert find(world, resources=[MCP, API], scopes=["read"]) is None


def test_a_consent_ends_by_time(world: World) -> None:
    give(world)
    world.clock.advance(3599)
    assert find(world)
    world.clock.advance(1)
    assert find(world) is None


def test_the_longest_lasting_consent_is_found(world: World) -> None:
    give(world, ttl_seconds=60)
    longest = give(world, ttl_seconds=7200)
    give(world, ttl_seconds=3600)
    assert find(world) == longest


def test_a_person_withdraws_their_own_consent_once(world: World) -> None:
    given, tenant = give(world), tenant_id(world)
    with world.rt.database.write(tenant) as session:
        assert not consents.withdraw_consent(session, tenant, "usr_2", given, world.now)
        assert consents.withdraw_consent(session, tenant, "usr_1", given, world.now)
        assert not consents.withdraw_consent(session, tenant, "usr_1", given, world.now)
    assert find(world) is None
    with world.rt.database.read(tenant) as session:
        (kept,) = consents.list_consents(session, tenant, "usr_1")
        assert consents.get_consent(session, tenant, "usr_1", given) == kept
        with pytest.raises(Refusal) as caught:
            consents.get_consent(session, tenant, "usr_2", given)
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert kept.withdrawn_at == world.now
    assert not kept.is_live(world.now)


def test_withdrawing_from_an_agent_takes_everything_from_it(world: World) -> None:
    give(world)
    give(world, client_id="cli_2")
    other = give(world, agent_id="agt_2")
    tenant = tenant_id(world)
    with world.rt.database.write(tenant) as session:
        assert consents.withdraw_consents_for_agent(session, tenant, "usr_1", "agt_1", world.now) == 2
    assert find(world) is None
    assert find(world, agent_id="agt_2") == other


def test_usage_counts_people_who_let_it_act_now(world: World) -> None:
    tenant = tenant_id(world)

    def usage() -> consents.ClientUsage:
        with world.rt.database.read(tenant) as session:
            return consents.usage_of(session, tenant, "cli_1", world.now)

    assert usage() == consents.ClientUsage(None, 0)
    first = world.now
    give(world)
    give(world)
    give(world, user_id="usr_2", ttl_seconds=60)
    give(world, client_id="cli_2", user_id="usr_3")
    world.clock.advance(30)
    assert usage() == consents.ClientUsage(first, 2)
    world.clock.advance(30)
    assert usage() == consents.ClientUsage(first, 1)

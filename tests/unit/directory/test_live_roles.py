"""Roles follow from groups at the moment of asking; what is not complete grants nothing new."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from broker.directory.group_facts import MAX_FACTS
from broker.directory.models import GroupSnapshot, Role
from broker.directory.people import find_person, get_person, list_people
from broker.directory.registry import save_mapping
from broker.directory.roles import GRACE_SECONDS, LiveRoles, live_roles, load_roles
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.versions import bump
from broker.tenants.models import Connection
from broker.tenants.snapshot import ConnectionView, TenantSnapshot
from idp_connectors.base import Group
from tests.builders.world import NOW, World, open_world


@pytest.fixture
def world(sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(sqlite_url, tmp_path) as world:
        yield world


class Acme:
    """A tenant with two connections, two roles and two rules."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tenant: TenantSnapshot = world.tenant()
        self.okta: ConnectionView = world.connection(self.tenant, "okta")
        self.entra: ConnectionView = world.connection(self.tenant, "entra")
        world.role(self.tenant, "support", ["tickets:read"])
        world.role(self.tenant, "admin", ["tickets:delete"])
        world.mapping(self.tenant, self.okta, "Support", "support")
        world.mapping(self.tenant, self.okta, "IT-", "admin", match="prefix")

    def roles(self, user_id: str) -> LiveRoles:
        with self.world.rt.database.core_read() as connection:
            return live_roles(connection, self.world.rt, self.tenant.id, user_id, self.world.now)


@pytest.fixture
def acme(world: World) -> Acme:
    return Acme(world)


def test_roles_follow_from_groups_and_change_with_them(world: World, acme: Acme):
    maya = world.user(acme.tenant, acme.okta, groups=["Support", "IT-Ops"])
    now = acme.roles(maya)
    assert now.roles == {"support", "admin"}
    assert (now.groups_state, now.source, now.fetched_at) == ("complete", "token", NOW)
    assert now.role_gated == {"tickets:read", "tickets:delete"}
    world.clock.advance(60)
    world.user(acme.tenant, acme.okta, groups=["Support"])
    assert acme.roles(maya).roles == {"support"}
    assert acme.roles(maya).fetched_at == NOW + 60


@pytest.mark.parametrize("state", ["truncated", "overage", "absent", "error"])
def test_incomplete_groups_grant_nothing_new(world: World, acme: Acme, state: str):
    newcomer = world.user(acme.tenant, acme.okta, "nick", groups=["Support"], groups_state=state)
    assert acme.roles(newcomer).roles == frozenset()
    known = world.user(acme.tenant, acme.okta, "maya", groups=["Support"])
    world.user(acme.tenant, acme.okta, "maya", groups=["Support", "IT-Ops"], groups_state=state)
    kept = acme.roles(known)
    assert kept.roles == {"support"}, "what a complete answer gave stays while its group is still named"
    assert kept.groups_state == state
    world.clock.advance(GRACE_SECONDS)
    assert acme.roles(known).roles == frozenset(), "but not for ever"
    world.user(acme.tenant, acme.okta, "maya", groups=["IT-Ops"], groups_state=state)
    assert acme.roles(known).roles == frozenset()


def test_a_source_that_failed_grants_nothing_new_and_leaves_the_answer_before(world: World, acme: Acme):
    failed = {"groups_state": "error", "groups_source": "graph", "groups_problem": "Graph answered 500."}
    newcomer = world.user(acme.tenant, acme.okta, "nick", groups=["Support"], **failed)
    assert acme.roles(newcomer).roles == frozenset()
    maya = world.user(acme.tenant, acme.okta, groups=["Support"])
    world.clock.advance(60)
    world.user(acme.tenant, acme.okta, groups=["IT-Ops"], **failed)
    kept = acme.roles(maya)
    assert (kept.roles, kept.groups_state) == ({"support"}, "error")
    assert (kept.source, kept.fetched_at) == ("token", NOW), "the age is that of what is known"
    with world.rt.database.read(acme.tenant.id) as session:
        stored = session.scalars(select(GroupSnapshot).where(GroupSnapshot.user_id == maya)).one()
        shown = get_person(session, acme.tenant.id, maya).groups[0]
    assert [one["value"] for one in stored.groups] == ["Support"]
    assert ([one["value"] for one in stored.complete_groups], stored.complete_at) == (["Support"], NOW)
    assert (shown.state, shown.problem) == ("error", "Graph answered 500.")
    world.clock.advance(GRACE_SECONDS - 61)
    assert acme.roles(maya).roles == {"support"}
    world.clock.advance(1)
    assert acme.roles(maya).roles == frozenset()


def test_who_is_in_no_group_any_more_keeps_nothing_while_the_source_fails(world: World, acme: Acme):
    maya = world.user(acme.tenant, acme.okta, groups=["Support"])
    world.user(acme.tenant, acme.okta, groups=[], groups_state="absent")
    world.user(acme.tenant, acme.okta, groups=[], groups_state="error", groups_problem="Graph answered 500.")
    assert acme.roles(maya).roles == frozenset()


def test_a_list_that_cannot_be_read_is_an_answer(world: World, acme: Acme):
    # Without this: whoever joins a group with an unreadable name keeps the roles of those that they left.
    maya = world.user(acme.tenant, acme.okta, groups=["Support"])
    world.user(acme.tenant, acme.okta, groups=["IT-Ops"], groups_state="error")
    assert acme.roles(maya).roles == frozenset()


@pytest.mark.parametrize(
    "groups",
    [
        pytest.param(["support"], id="A09-case"),
        pytest.param(["Support "], id="A09-space"),
        pytest.param(["*"], id="A09-wildcard-as-a-group"),
        pytest.param(["admin"], id="A09-group-named-like-a-role"),
        pytest.param([Group("id", "Support")], id="A09-other-kind"),
        pytest.param([Group("id", "x", "Support")], id="A09-display-name"),
    ],
)
def test_a_group_that_only_resembles_gives_no_role(world: World, acme: Acme, groups: list[str | Group]):
    honest = world.user(acme.tenant, acme.okta, "maya", groups=["Support"])
    other = world.user(acme.tenant, acme.okta, "mallory", groups=groups)
    assert acme.roles(honest).roles == {"support"}
    assert acme.roles(other).roles == frozenset()


def test_an_id_that_a_console_shows_in_capitals_is_the_providers(world: World, acme: Acme):
    object_id = "abcdef00-0000-0000-0000-000000000001"
    with world.rt.database.write(acme.tenant.id) as session:
        for kind, pattern in (("id", object_id.upper()), ("name", "SUPPORT")):
            rule, _ = save_mapping(session, acme.tenant.id, acme.okta.id, kind, "exact", pattern, "support")
            assert rule.pattern == (object_id if kind == "id" else "SUPPORT")
        bump(session.connection(), acme.tenant.id)
    assert acme.roles(world.user(acme.tenant, acme.okta, groups=[Group("id", object_id)])).roles == {
        "support"
    }
    other = world.user(acme.tenant, acme.okta, "mallory", groups=[Group("name", object_id)])
    assert acme.roles(other).roles == frozenset()


@pytest.mark.parametrize(("kind", "match"), [("any", "exact"), ("", "exact"), ("id", "regex")])
def test_a_rule_names_what_it_compares_and_how(world: World, acme: Acme, kind: str, match: str):
    with world.rt.database.write(acme.tenant.id) as session, pytest.raises(Refusal) as refused:
        save_mapping(session, acme.tenant.id, acme.okta.id, kind, match, "Support", "support")
    assert refused.value.code is ErrorCode.BAD_CONFIGURATION


def test_a_group_of_another_connection_gives_no_role(world: World, acme: Acme):
    assert acme.roles(world.user(acme.tenant, acme.entra, groups=["Support"])).roles == frozenset()


def test_a_disabled_connection_gives_no_role(world: World, acme: Acme):
    maya = world.user(acme.tenant, acme.okta, groups=["Support"])
    with world.rt.database.core_write() as connection:
        connection.execute(update(Connection).where(Connection.id == acme.okta.id).values(state="disabled"))
        bump(connection, acme.tenant.id)
    assert acme.roles(maya).roles == frozenset()
    assert acme.roles(maya).groups_state == "absent"


def test_a_role_that_was_removed_is_given_by_no_rule(world: World, acme: Acme):
    maya = world.user(acme.tenant, acme.okta, groups=["Support"])
    with world.rt.database.write(acme.tenant.id) as session:
        session.delete(session.scalars(select(Role).where(Role.name == "support")).one())
        bump(session.connection(), acme.tenant.id)
    assert acme.roles(maya).roles == frozenset()
    assert {rule.role for rule in load_roles(world.rt, acme.tenant.id).rules} == {"admin"}


def test_a_flood_of_groups_is_cut_and_no_longer_complete(world: World, acme: Acme):
    flood = ["Support", *(f"group-{number}" for number in range(MAX_FACTS))]
    maya = world.user(acme.tenant, acme.okta, groups=flood)
    told = acme.roles(maya)
    assert (told.groups_state, told.roles) == ("truncated", frozenset())
    world.user(acme.tenant, acme.okta, groups=flood[:MAX_FACTS])
    assert acme.roles(maya).roles == {"support"}


def test_people_are_listed_by_name_a_page_at_a_time(world: World, acme: Acme):
    names = ["bo", "al", "cy", "al2", "di"]
    for name in names:
        world.user(acme.tenant, acme.okta, name)
    seen: list[str] = []
    after = ""
    with world.rt.database.read(acme.tenant.id) as session:
        while True:
            page = list_people(session, acme.tenant.id, after=after, limit=2)
            seen += [one.display_name for one in page.people]
            if page.next_after is None:
                break
            after = page.next_after
    assert seen == sorted(name.title() for name in names)


def test_a_person_is_shown_with_where_they_came_from(world: World, acme: Acme):
    maya = world.user(acme.tenant, acme.okta, groups=["Support"], display_name="Ma\u202eya\n")
    with world.rt.database.read(acme.tenant.id) as session:
        known = get_person(session, acme.tenant.id, maya)
        assert find_person(session, acme.tenant.id, "usr_unknown") is None
        with pytest.raises(Refusal) as refused:
            get_person(session, acme.tenant.id, "usr_unknown")
    assert refused.value.code is ErrorCode.NOT_FOUND
    assert known.person.display_name == "Maya", "characters that turn text around are taken out"
    assert [one.subject for one in known.identities] == ["maya"]
    assert [group["value"] for group in known.groups[0].groups] == ["Support"]

"""T01 to T03: an id of one tenant is as unknown in another as an id that never existed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from broker.agents.models import Agent, Client, Resource
from broker.agents.snapshot import load_agents
from broker.directory.models import GroupMapping, GroupSnapshot, IdentityLink, Role, User
from broker.directory.people import find_person, get_person, list_people
from broker.directory.roles import live_roles, load_roles
from broker.directory.sign_in import bind_identity
from broker.kernel.database import Base, TenantScoped
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.replay import spend
from broker.kernel.sealing import SealBroken
from broker.tenants.connections import open_secrets, secrets_context
from broker.tenants.models import Connection, ConnectionDomain
from broker.tenants.snapshot import ConnectionView, TenantSnapshot, find_tenant
from tests.builders.world import TICKETS, World, identity, open_world


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(database_url, tmp_path) as world:
        yield world


@dataclass
class Furnished:
    """A tenant with one of everything."""

    tenant: TenantSnapshot
    connection: ConnectionView
    user_id: str
    agent_id: str


def furnish(world: World, slug: str) -> Furnished:
    tenant = world.tenant(slug)
    connection = world.connection(tenant, "okta", secrets={"client_secret": slug}, domains=["acme.example"])
    world.role(tenant, "support", ["tickets:read"])
    world.mapping(tenant, connection, "Support", "support")
    resource = world.resource(tenant)
    agent = world.agent(tenant)
    world.client(tenant, agent=agent)
    world.client(tenant, "tickets-mcp", resource=resource)
    user_id = world.user(tenant, connection, groups=["Support"])
    return Furnished(world.again(tenant), connection, user_id, agent.id)


@pytest.fixture
def acme(world: World) -> Furnished:
    return furnish(world, "acme")


@pytest.fixture
def globex(world: World, acme: Furnished) -> Furnished:
    return furnish(world, "globex")


MODELS = (
    Connection,
    ConnectionDomain,
    User,
    IdentityLink,
    GroupSnapshot,
    Role,
    GroupMapping,
    Resource,
    Agent,
    Client,
)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__tablename__)
def test_a_session_sees_and_changes_only_its_tenant(
    world: World, acme: Furnished, globex: Furnished, model: Any
):
    with world.rt.database.read(acme.tenant.id) as session:
        rows = session.scalars(select(model)).all()
        assert rows
        assert {row.tenant_id for row in rows} == {acme.tenant.id}
        foreign = select(model).where(model.tenant_id == globex.tenant.id)
        assert session.scalars(foreign).all() == []
    with world.rt.database.write(acme.tenant.id) as session:
        session.execute(update(model).where(model.tenant_id == globex.tenant.id).values(tenant_id="stolen"))
        session.execute(delete(model).where(model.tenant_id == globex.tenant.id))
        session.execute(delete(model))
    with world.rt.database.unscoped() as session:
        assert {row.tenant_id for row in session.scalars(select(model))} == {globex.tenant.id}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__tablename__)
def test_a_row_cannot_be_written_into_another_tenant(
    world: World, acme: Furnished, globex: Furnished, model: type[Base]
):
    with world.rt.database.read(globex.tenant.id) as session:
        template = session.scalars(select(model)).first()
        assert isinstance(template, TenantScoped)
        values = {column.name: getattr(template, column.key) for column in model.__table__.columns}
    with (
        pytest.raises(RuntimeError, match="another tenant"),
        world.rt.database.write(acme.tenant.id) as session,
    ):
        session.add(model(**values))


def test_every_table_with_a_tenant_is_scoped(world: World):
    unscoped = {
        mapper.class_.__name__
        for mapper in Base.registry.mappers
        if "tenant_id" in mapper.columns and not issubclass(mapper.class_, TenantScoped)
    }
    assert unscoped == set()


def test_T01_a_foreign_person_is_as_unknown_as_none(world: World, acme: Furnished, globex: Furnished):
    with world.rt.database.read(acme.tenant.id) as session:
        assert get_person(session, acme.tenant.id, acme.user_id).person.id == acme.user_id
        answers = []
        for user_id in (globex.user_id, "usr_never"):
            assert find_person(session, acme.tenant.id, user_id) is None
            with pytest.raises(Refusal) as refused:
                get_person(session, acme.tenant.id, user_id)
            answers.append((refused.value.code, refused.value.public, refused.value.detail))
        assert answers[0] == answers[1]
        assert [one.id for one in list_people(session, acme.tenant.id).people] == [acme.user_id]
        # Asking with another tenant's id in this tenant's session gives nothing either.
        assert list_people(session, globex.tenant.id).people == ()
        assert list_people(session, acme.tenant.id, after=globex.user_id).people[0].id == acme.user_id


def test_T01_a_foreign_person_has_no_roles_here(world: World, acme: Furnished, globex: Furnished):
    with world.rt.database.core_read() as connection:
        assert live_roles(connection, world.rt, acme.tenant.id, acme.user_id, world.now).roles == {"support"}
        foreign = live_roles(connection, world.rt, acme.tenant.id, globex.user_id, world.now)
        unknown = live_roles(connection, world.rt, acme.tenant.id, "usr_never", world.now)
    assert foreign == unknown
    assert foreign.roles == frozenset()


def test_T01_snapshots_hold_one_tenant(world: World, acme: Furnished, globex: Furnished):
    here, there = load_agents(world.rt, acme.tenant.id), load_agents(world.rt, globex.tenant.id)
    assert here.agent(acme.agent_id) is not None
    assert here.agent(globex.agent_id) is None
    assert here.resources_by_id.keys().isdisjoint(there.resources_by_id)
    assert here.clients["cli_writer"].agent_id == acme.agent_id
    assert there.clients["cli_writer"].agent_id == globex.agent_id
    assert acme.tenant.connections.keys().isdisjoint(globex.tenant.connections)
    for rule in load_roles(world.rt, acme.tenant.id).rules:
        assert rule.connection_id == acme.connection.id


def test_T01_secrets_open_only_in_their_row(world: World, acme: Furnished, globex: Furnished):
    rt = world.rt
    with rt.database.core_read() as connection:
        assert open_secrets(rt, connection, acme.tenant.id, acme.connection.id) == {"client_secret": "acme"}
        for connection_id in (globex.connection.id, "con_never"):
            with pytest.raises(Refusal) as refused:
                open_secrets(rt, connection, acme.tenant.id, connection_id)
            assert refused.value.code is ErrorCode.NOT_FOUND
    with rt.database.unscoped(write=True) as session:
        stolen = session.get_one(Connection, globex.connection.id).sealed_secrets
        session.get_one(Connection, acme.connection.id).sealed_secrets = stolen
    assert stolen is not None
    assert rt.sealer.open(stolen, secrets_context(globex.tenant.id, globex.connection.id))
    with pytest.raises(SealBroken), rt.database.core_read() as connection:
        open_secrets(rt, connection, acme.tenant.id, acme.connection.id)


def test_T02_a_sign_in_is_booked_where_it_was_checked(world: World, acme: Furnished, globex: Furnished):
    maya = identity("maya", groups=["Support"])
    with world.rt.database.core_write() as core:
        own = bind_identity(core, acme.tenant, acme.connection, maya, world.now)
    assert own.user_id == acme.user_id
    with pytest.raises(Refusal) as refused, world.rt.database.core_write() as core:
        bind_identity(core, acme.tenant, globex.connection, maya, world.now)
    assert refused.value.reason == "foreign_connection"


def test_T02_the_same_identity_is_another_person_in_another_tenant(acme: Furnished, globex: Furnished):
    assert acme.user_id != globex.user_id


def test_T03_equal_keys_of_two_tenants_never_meet(world: World, acme: Furnished, globex: Furnished):
    with world.rt.database.core_write() as connection:
        marks = [
            spend(connection, kind="assertion", tenant_id=tenant.id, key="same", expires_at=world.now + 60)
            for tenant in (acme.tenant, globex.tenant, acme.tenant)
        ]
    assert marks == [True, True, False]


def test_T03_a_change_in_one_tenant_keeps_the_copies_of_another(
    world: World, acme: Furnished, globex: Furnished
):
    before = load_agents(world.rt, globex.tenant.id)
    world.agent(acme.tenant, "second", resources=[TICKETS])
    assert {agent.slug for agent in load_agents(world.rt, acme.tenant.id).agents.values()} == {
        "writer",
        "second",
    }
    assert load_agents(world.rt, globex.tenant.id) is before


def test_a_tenant_is_found_only_by_its_own_slug(world: World, acme: Furnished, globex: Furnished):
    found = find_tenant(world.rt, "globex")
    assert found is not None
    assert found.id == globex.tenant.id
    assert find_tenant(world.rt, acme.tenant.id) is None

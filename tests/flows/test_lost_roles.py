"""Whoever tells that somebody left a group ends the tokens with its role; what loses nothing ends nothing."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select

from broker.audit.log import ActorRef
from broker.audit.models import AuditRecord
from broker.directory.group_facts import store_groups, tell
from broker.directory.models import User
from broker.federation.admitting import store_sign_in
from broker.federation.directory_sync import SyncDesk, continue_sync, start_sync
from broker.federation.steps import open_signing
from broker.kernel.ids import new_id
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.lost_roles import ending_lost_roles
from broker.tokens.models import Grant, IssuedToken
from idp_connectors.base import Group
from idp_connectors.registry import CONNECTORS
from tests.builders.corp_directory import CorpSite, open_corp
from tests.builders.ldap_trees import BASE, add_group, openldap
from tests.builders.oauth import Scene, claims_of
from tests.builders.provisioning import Provider
from tests.builders.refreshing import HOUR, Refreshing, object_id
from tests.builders.world import World, identity, open_world

ADA = f"uid=ada,ou=people,{BASE}"


def token_with(world: World, tenant: TenantSnapshot, user_id: str, *roles: str) -> str:
    """The id of a live token of a person that carries these roles."""
    times = {"expires_at": world.now + 30 * 86_400}
    grant = Grant(
        id=new_id("grt"),
        user_id=user_id,
        client_id="cli_a",
        resources=[],
        scopes=[],
        created_at=world.now,
        **times,
    )
    jti = new_id("at")
    token = IssuedToken(
        jti=jti,
        path=f"/{jti}/",
        depth=0,
        grant_id=grant.id,
        client_id="cli_a",
        user_id=user_id,
        chain=[],
        audience="https://tickets.example",
        scopes=[],
        roles=list(roles),
        issued_at=world.now,
        ended_by="",
        **times,
    )
    world.add(tenant, grant)
    world.add(tenant, token)
    return jti


def fate_of(world: World, tenant: TenantSnapshot, jti: str) -> str:
    """What ended the token; empty while it lives."""
    with world.rt.database.read(tenant.id) as session:
        return session.scalars(select(IssuedToken.ended_by).where(IssuedToken.jti == jti)).one()


def losses(world: World, tenant: TenantSnapshot) -> list[tuple[str, Any]]:
    """Who lost which roles, as the event log has it."""
    with world.rt.database.read(tenant.id) as session:
        wanted = select(AuditRecord).where(
            AuditRecord.event == "token.revoked", AuditRecord.reason == "role_lost"
        )
        return [(row.subject_id, row.data["roles"]) for row in session.scalars(wanted)]


def sign_in_again(scene: Scene, *groups: str) -> None:
    """Maya signs in once more, and her provider tells these groups."""
    world = scene.world
    step = open_signing(world.rt, CONNECTORS, world.again(scene.tenant), "okta", world.ctx)
    with world.rt.database.core_write() as core:
        told = identity("maya", groups=[Group("name", name) for name in groups])
        store_sign_in(core, step, told, None, previous=None)


@pytest.mark.parametrize(
    ("groups", "fate"),
    [(("other",), "role_lost"), ((), "role_lost"), (("support",), ""), (("support", "more"), "")],
)
def test_C05_a_sign_in_that_tells_fewer_groups(scene: Scene, groups: tuple[str, ...], fate: str):
    jti = token_with(scene.world, scene.tenant, scene.maya, "support.agent")
    bare = token_with(scene.world, scene.tenant, scene.maya)
    sign_in_again(scene, *groups)
    assert fate_of(scene.world, scene.tenant, jti) == fate
    assert fate_of(scene.world, scene.tenant, bare) == ""
    assert losses(scene.world, scene.tenant) == ([(scene.maya, ["support.agent"])] if fate else [])


@pytest.mark.parametrize(("left", "fate"), [((1,), "role_lost"), ((2,), "")])
def test_C05_a_refresh_that_tells_fewer_groups(
    database_url: str, tmp_path: Path, left: tuple[int, ...], fate: str
):
    with open_world(database_url, tmp_path) as world:
        scene = Refreshing(world)
        maya = scene.person(groups=(1, 2))
        jti = token_with(world, scene.tenant, maya, "support")
        scene.cloud.graph.members[object_id(1)] = [one for one in (1, 2) if one not in left]
        world.clock.advance(HOUR)
        assert scene.run() == {"refreshed": 1}
        assert fate_of(world, scene.tenant, jti) == fate
        assert losses(world, scene.tenant) == ([(maya, ["support"])] if fate else [])


@pytest.fixture
def corp(database_url: str, tmp_path: Path) -> Iterator[CorpSite]:
    tree = openldap(ada="ada-password", bob="bob-password")
    with open_corp(database_url, tmp_path, tree) as opened:
        add_group(tree, "helpers", ADA)
        opened.world.role(opened.acme, "helper", ["tickets:read"])
        opened.world.mapping(opened.acme, opened.corp, "helpers", "helper")
        assert opened.try_password(opened.browser(), "ada", "ada-password").status_code == 303
        opened.world.clock.advance(60)
        yield opened


@pytest.mark.parametrize("leaves", [True, False])
def test_C05_a_walk_that_finds_fewer_groups(corp: CorpSite, leaves: bool):
    with corp.rt.database.read(corp.acme.id) as session:
        ada = session.scalars(select(User.id)).one()
    jti = token_with(corp.world, corp.acme, ada, "helper")
    if leaves:
        corp.server.tree.put(f"cn=helpers,ou=groups,{BASE}", member=[f"uid=bob,ou=people,{BASE}"])
    desk = SyncDesk(corp.rt, CONNECTORS, corp.tenant, corp.corp, corp.world.ctx, ActorRef("operator", "test"))
    start_sync(desk)
    continue_sync(corp.rt, CONNECTORS, corp.tenant, corp.corp)
    assert fate_of(corp.world, corp.acme, jti) == ("role_lost" if leaves else "")
    assert losses(corp.world, corp.acme) == ([(ada, ["helper"])] if leaves else [])


@pytest.mark.parametrize("pushed", ["other", "support"])
def test_C05_a_pushed_person_who_turns_out_to_be_known(scene: Scene, pushed: str):
    okta = Provider(scene.world, scene.tenant, scene.okta)
    jti = token_with(scene.world, scene.tenant, scene.maya, "support.agent")
    person = okta.user("maya", externalId="nobody-yet").id
    okta.group(pushed, person)
    assert fate_of(scene.world, scene.tenant, jti) == ""
    # Only now the record says whom it means.
    okta.patch(f"Users/{person}", {"op": "replace", "path": "externalId", "value": "maya"})
    assert fate_of(scene.world, scene.tenant, jti) == ("" if pushed == "support" else "role_lost")


# -- while a change is under way ---------------------------------------------------------------------------


def leave_while(scene: Scene, others: Callable[[], None], *, told: tuple[str, ...] = ()) -> None:
    """Maya's groups change; before that is committed, ``others`` begins in a thread of its own."""
    rt, now = scene.world.rt, scene.world.now
    thread = threading.Thread(target=others)
    groups = [Group("name", name) for name in told]
    with (
        rt.database.core_write() as core,
        ending_lost_roles(core, rt, scene.tenant.id, [scene.maya], now),
    ):
        store_groups(core, scene.tenant.id, scene.okta.id, scene.maya, tell(groups, "complete", "scim", now))
        thread.start()
        # Long enough for whoever does not wait; whoever does is let go by the commit.
        thread.join(1.0)
    thread.join(20)
    assert not thread.is_alive()


def agree_and_redeem(scene: Scene, into: list[str]) -> Callable[[], None]:
    session = scene.session()
    scene.consent("cli_a", ["tickets:read", "tickets:write"])

    def run() -> None:
        onward = scene.authorize(session)
        code = parse_qs(urlsplit(onward.location).query)["code"][0]
        into.append(scene.redeem(code).token)

    return run


def carries_role(scene: Scene, token: str) -> bool:
    return bool(scene.introspect(token)["active"] and claims_of(token).get("roles"))


def test_C05_who_agrees_to_an_agent_while_a_push_is_under_way_gets_what_it_left(scene: Scene):
    got: list[str] = []
    leave_while(scene, agree_and_redeem(scene, got))
    assert not carries_role(scene, got[0])


def test_C05_who_mints_under_a_grant_while_a_push_is_under_way_gets_what_it_left(scene: Scene):
    got: list[str] = []
    code = scene.code()
    leave_while(scene, lambda: got.append(scene.redeem(code).token))
    assert not carries_role(scene, got[0])


def test_twin_who_loses_nothing_meanwhile_keeps_what_they_got(scene: Scene):
    got: list[str] = []
    code = scene.code()
    leave_while(scene, lambda: got.append(scene.redeem(code).token), told=("support", "more"))
    leave_while(scene, agree_and_redeem(scene, got), told=("support",))
    assert [carries_role(scene, one) for one in got] == [True, True]

"""The broker's password page and its walk at real directories: slapd, and Samba as a domain controller."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from broker.app import build_app
from broker.audit.log import ActorRef
from broker.directory.models import GroupSnapshot
from broker.directory.roles import live_roles
from broker.federation.directory_sync import SyncDesk, SyncStatus, continue_sync, start_sync, sync_status
from broker.kernel.clock import FixedClock
from idp_connectors.base import ConnectorError
from idp_connectors.registry import CONNECTORS
from tests.builders.corp_directory import CorpSite
from tests.builders.world import World, open_world
from tests.interop.servers.samba_ad import SambaAd
from tests.interop.servers.slapd import Slapd
from tests.interop.test_ldap_directories import CROWD, crowd, real_deps

pytestmark = pytest.mark.interop

PASSWORD = "Person-1-password"
Server = Slapd | SambaAd


@pytest.fixture(params=["slapd", "samba_ad"])
def server(request: pytest.FixtureRequest) -> Server:
    return request.getfixturevalue(f"{request.param}_process")


@pytest.fixture
def site(server: Server, sqlite_url: str, tmp_path: Path) -> Iterator[CorpSite]:
    """The broker with the way out that it has in development, and a connection to the server."""
    with open_world(sqlite_url, tmp_path) as opened:
        # Accounts have dates, so the broker's clock must be about right.
        clock = FixedClock(int(time.time()))
        site = CorpSite(World(replace(opened.rt, clock=clock), clock))
        site.app = build_app(site.world.rt, CONNECTORS)
        site.rt = site.world.rt
        site.corp = site.world.connection(
            site.acme, "corp", kind="ldap", config=server.config, secrets=server.secrets
        )
        yield site


def walk(site: CorpSite) -> SyncStatus:
    site.world.clock.advance(60)
    desk = SyncDesk(site.rt, CONNECTORS, site.tenant, site.corp, site.world.ctx, ActorRef("operator", "test"))
    start_sync(desk)
    continue_sync(site.rt, CONNECTORS, site.tenant, site.corp)
    found = sync_status(site.rt, site.acme.id, site.corp.id)
    assert found is not None
    return found


def groups_of(site: CorpSite, user_id: str) -> tuple[set[str], str, str]:
    with site.rt.database.read(site.acme.id) as rows:
        told = rows.scalars(select(GroupSnapshot).where(GroupSnapshot.user_id == user_id)).one()
        names = {one["value"] for one in told.groups if one["kind"] == "name"}
        return names - {"Users"}, told.state, told.source


def test_people_sign_in_and_a_walk_tells_the_same_groups(server: Server, site: CorpSite) -> None:
    user = f"walker{int(time.time() * 1000) % 10**8}"
    server.load(server.add_person(user, PASSWORD))
    inner = f"{user}-inner"
    server.load(server.add_group(inner, [server.person_dn(user)]))
    server.load(server.add_group(f"{user}-outer", [server.group_dn(inner)]))

    wrong = site.try_password(site.browser(), user, "guess")
    assert wrong.status_code == 400
    assert "is not right" in wrong.text
    signed_in = site.try_password(site.browser(), user, PASSWORD)
    assert signed_in.status_code == 303, signed_in.text
    user_id = str(site.events("sign_in.succeeded")[-1].subject_id)
    told, state, _ = groups_of(site, user_id)
    assert {inner, f"{user}-outer"} <= told

    found = walk(site)
    assert (found.state, found.problem) == ("done", "")
    assert found.people >= 3
    assert groups_of(site, user_id) == (told, state, "ldap:walk")

    server.change(f"dn: {server.person_dn(user)}\nchangetype: delete\n")
    assert site.try_password(site.browser(), user, PASSWORD).status_code == 400
    held = walk(site)
    assert (held.leaving, held.state) == (1, "done" if held.known >= 20 else "waiting")


@pytest.mark.proof
def test_fifteen_hundred_nested_groups_give_their_roles(server: Server, site: CorpSite) -> None:
    server.load(*crowd(server, "throng", "thr-"))
    rules = {"near": "thr-inner0", "far": f"thr-outer{CROWD - 1}", "never": f"thr-outer{CROWD}"}
    for role, group in rules.items():
        site.world.role(site.acme, role)
        site.world.mapping(site.acme, site.corp, group, role, kind="name")
    answer = site.try_password(site.browser(), "throng", PASSWORD)
    assert answer.status_code == 303, answer.text
    user_id = str(site.events("sign_in.succeeded")[-1].subject_id)
    told, state, _ = groups_of(site, user_id)
    # Samba counts the primary group of everybody besides.
    assert (sum(name.startswith("thr-") for name in told), state) == (3 * CROWD, "complete")
    with site.rt.database.read(site.acme.id) as session:
        found = live_roles(session.connection(), site.rt, site.acme.id, user_id, site.world.now)
    assert (found.roles, found.groups_state) == ({"near", "far"}, "complete")


def test_the_self_check_names_the_make_and_tries_the_in_chain_rule(server: Server, site: CorpSite) -> None:
    found = CONNECTORS["ldap"].check_itself(server.config, server.secrets, real_deps())
    findings = {one.check: one for one in found}
    assert {one.state for one in found} == {"passed"}, found
    make, rule = ("OpenLDAP", "not followed") if server.name == "slapd" else ("Samba", "tried and works")
    assert findings["directory"].received.startswith(make)
    assert rule in findings["nesting"].received


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        pytest.param({"userAccountControl": "514"}, "switched off", id="L11-disabled"),
        pytest.param({"accountExpires": "130000000000000000"}, "has expired", id="L11-expired"),
        pytest.param({"pwdLastSet": "0"}, "must be changed", id="L11-must-change"),
    ],
)
def test_samba_tells_the_state_of_an_account_to_its_password_only(
    samba_ad_process: SambaAd, flags: dict[str, str], words: str
) -> None:
    server = samba_ad_process
    user = f"state{int(time.time() * 1000) % 10**9}"
    server.load(server.add_person(user, PASSWORD))
    server.set_flags(user, **flags)
    login = CONNECTORS["ldap"].password_login(server.config, server.secrets)
    for password, told in ((PASSWORD, words), ("guess", "is not right")):
        with pytest.raises(ConnectorError) as caught:
            login.verify(user, password, real_deps())
        assert told in caught.value.public

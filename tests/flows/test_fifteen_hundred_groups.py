"""A person in 1,500 groups has the same roles however they come: overage, nested LDAP groups, pushes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from broker.directory.models import GroupSnapshot
from broker.directory.roles import LiveRoles, live_roles
from broker.kernel.ids import new_id
from broker.scim.models import ScimGroup, ScimMember
from broker.tenants.snapshot import ConnectionView
from idp_connectors.ldap import LdapConnector
from tests.builders.graph import PERSON, MicrosoftCloud, entra_claims, group_id, overage
from tests.builders.ldap_server import ldap_deps, serving
from tests.builders.ldap_trees import BASE, active_directory, add_group, sid
from tests.builders.oidc_op import CLIENT_SECRET
from tests.builders.provisioning import Provider
from tests.builders.refreshing import ENTRA
from tests.builders.site import Site, open_site

COUNT = 1_500
ROLES = {"first", "last", "many"}


@pytest.fixture
def site(sqlite_url: str, tmp_path: Path) -> Iterator[Site]:
    with open_site(sqlite_url, tmp_path, op=MicrosoftCloud()) as site:
        for role in (*ROLES, "never"):
            site.world.role(site.acme, role)
        yield site


def map_groups(site: Site, connection: ConnectionView, kind: str) -> None:
    """Give the roles by three rules, and a fourth for a group that the person is not in."""

    def spell(number: int) -> str:
        return group_id(number) if kind == "id" else f"Group {number:04}"

    for role, number in (("first", 0), ("last", COUNT - 1), ("never", COUNT)):
        site.world.mapping(site.acme, connection, spell(number), role, kind=kind)
    site.world.mapping(site.acme, connection, spell(1400)[:-2], "many", kind=kind, match="prefix")


def outcome(site: Site, connection: ConnectionView) -> tuple[LiveRoles, int]:
    """The roles of the connection's one person, and how many groups are stored."""
    with site.rt.database.read(site.acme.id) as session:
        stored = session.scalars(
            select(GroupSnapshot).where(GroupSnapshot.connection_id == connection.id)
        ).one()
        found = live_roles(session.connection(), site.rt, site.acme.id, stored.user_id, site.world.now)
    return found, len({group["display"] for group in stored.groups})


def test_through_overage_and_microsoft_graph(site: Site):
    entra = site.world.connection(site.acme, "entra", config=ENTRA, secrets={"client_secret": CLIENT_SECRET})
    map_groups(site, entra, "id")
    site.op.graph.members[PERSON] = list(range(COUNT))  # type: ignore[attr-defined]
    browser = site.browser()
    answer = site.op.sign_in(site.begin(browser, "entra"), **entra_claims(**overage()))
    assert browser.get("/t/acme/oidc/entra/callback", query_string=answer.query).status_code == 303
    found, count = outcome(site, entra)
    assert (found.roles, found.groups_state, found.source, count) == (ROLES, "complete", "graph", COUNT)


def test_through_nested_groups_of_a_directory(site: Site):
    directory = site.world.connection(site.acme, "corp", kind="ldap")
    map_groups(site, directory, "name")
    tree = active_directory(ada="ada-password")
    ada = f"uid=ada,ou=people,{BASE}"
    for number in range(COUNT):
        # Ten direct groups, each within 149 others.
        member = ada if number < 10 else f"cn=Group {number % 10:04},ou=groups,{BASE}"
        add_group(tree, f"Group {number:04}", member, objectSid=sid(2000 + number))
    add_group(tree, f"Group {COUNT:04}", f"uid=bob,ou=people,{BASE}", objectSid=sid(2000 + COUNT))
    with serving(tree) as server:
        lookup = LdapConnector().group_lookup(*server.settings(group_mode="in_chain"))
        answer = lookup.lookup("ada", ldap_deps(), by="username")
    assert answer.problem == ""
    site.world.user(
        site.acme,
        directory,
        "ada",
        groups=answer.groups,
        groups_state=answer.state,
        groups_source=answer.source,
    )
    found, count = outcome(site, directory)
    assert (found.roles, found.groups_state, found.source) == (ROLES, "complete", "ldap:in-chain")
    assert count == COUNT + 1, "and the primary group"


def test_through_provisioning(site: Site):
    map_groups(site, site.okta, "id")
    site.world.user(site.acme, site.okta, "00u-ada", groups=[], groups_state="absent")
    provider = Provider(site.world, site.acme, site.okta)
    ada = provider.user("ada", externalId="00u-ada").id
    seed_pushed_groups(site, ada, COUNT - 1)
    last = provider.group(f"Group {COUNT - 1:04}", ada, externalId=group_id(COUNT - 1))
    assert last.status == 201
    found, count = outcome(site, site.okta)
    assert (found.roles, found.groups_state, found.source, count) == (ROLES, "complete", "scim", COUNT)


def seed_pushed_groups(site: Site, person_id: str, count: int) -> None:
    """Store groups with the person in them, as so many pushes before would have."""
    groups, members = [], []
    for number in range(count):
        row_id = new_id("scg")
        groups.append(
            {
                "id": row_id,
                "tenant_id": site.acme.id,
                "connection_id": site.okta.id,
                "display_name": f"Group {number:04}",
                "display_key": f"group {number:04}",
                "external_id": group_id(number),
                "version": 1,
                "created_at": site.world.now,
                "changed_at": site.world.now,
            }
        )
        members.append({"tenant_id": site.acme.id, "group_id": row_id, "scim_user_id": person_id})
    with site.rt.database.core_write() as core:
        core.execute(insert(ScimGroup), groups)
        core.execute(insert(ScimMember), members)

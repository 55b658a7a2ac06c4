"""Groups from a second source of the tenant: whose key is asked about, and what cannot be borrowed so."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from broker.directory.models import GroupSnapshot
from broker.directory.roles import live_roles
from broker.federation.group_refresh import refresh_groups
from broker.kernel.versions import bump
from broker.tenants.models import Connection
from broker.tokens.models import Grant
from idp_connectors.registry import CONNECTORS
from tests.builders.corp_directory import open_corp
from tests.builders.graph import PERSON, MicrosoftCloud, group_id
from tests.builders.ldap_trees import BASE, add_group, openldap
from tests.builders.lookup_source import busy
from tests.builders.oidc_op import CLIENT_SECRET
from tests.builders.refreshing import ENTRA, HOUR
from tests.builders.site import Site, open_site

OTHER = "bbbbbbbb-0000-0000-0000-00000000000b"


class SecondSource:
    """People sign in by SAML; the OpenID connection ``entra`` of the same tenant tells their groups."""

    def __init__(self, site: Site, **config: Any) -> None:
        self.site = site
        if isinstance(site.op, MicrosoftCloud):
            self.graph = site.op.graph
            self.graph.members[OTHER] = [9]
        self.entra = site.world.connection(
            site.acme, "entra", config=ENTRA, secrets={"client_secret": CLIENT_SECRET}
        )
        self.set("adfs", config={**site.adfs.config, "groups_from": "entra", "groups_key": "oid", **config})
        site.world.role(site.acme, "support", ["tickets:read"])
        site.world.mapping(site.acme, site.adfs, group_id(1), "support", kind="id")

    def set(self, slug: str, **values: Any) -> None:
        with self.site.rt.database.core_write() as core:
            core.execute(
                update(Connection)
                .where(Connection.tenant_id == self.site.acme.id, Connection.slug == slug)
                .values(**values)
            )
            bump(core, self.site.acme.id)

    def sign_in(self, attributes: Mapping[str, Sequence[str]]) -> GroupSnapshot:
        """Sign Maya in by SAML and return what is stored of her groups."""
        browser = self.site.browser()
        begun = self.site.begin(browser, "adfs")
        form = self.site.saml.sign_in(begun, name_id="maya", attributes=attributes).form
        posted = browser.post_from_elsewhere("/t/acme/saml/adfs/acs", form, "https://idp.example")
        answer = browser.get(posted.location)
        assert answer.location == "/t/acme/me/agents", answer.text
        return self.stored()

    def stored(self) -> GroupSnapshot:
        with self.site.rt.database.read(self.site.acme.id) as session:
            return session.scalars(select(GroupSnapshot)).one()

    def roles(self) -> frozenset[str]:
        with self.site.rt.database.core_read() as core:
            user_id = self.stored().user_id
            return live_roles(core, self.site.rt, self.site.acme.id, user_id, self.site.world.now).roles


@pytest.fixture
def site(sqlite_url: str, tmp_path: Path) -> Iterator[Site]:
    with open_site(sqlite_url, tmp_path, op=MicrosoftCloud()) as site:
        yield site


def told(stored: GroupSnapshot) -> tuple[int, str, str]:
    return len(stored.groups), stored.state, stored.source


def test_groups_of_the_assertion_give_way_to_those_of_the_second_source(site: Site):
    scene = SecondSource(site)
    stored = scene.sign_in({"oid": [PERSON], "groups": [group_id(7)]})
    assert told(stored) == (3, "complete", "graph")
    assert (stored.connection_id, stored.lookup_key) == (site.adfs.id, PERSON)
    assert scene.roles() == {"support"}


def test_without_a_second_source_the_assertion_tells(site: Site):
    scene = SecondSource(site, groups_from="")
    stored = scene.sign_in({"oid": [PERSON], "groups": [group_id(7)]})
    assert (told(stored), stored.lookup_key) == ((1, "complete", "assertion"), None)
    assert scene.graph.requests == []


@pytest.mark.parametrize(
    "values",
    [[], [""], [PERSON, OTHER], [f"{PERSON}/../{OTHER}"], ["me"], ["x" * 600]],
    ids=["none", "empty", "two", "path", "me", "long"],
)
def test_a_key_that_is_not_one_persons_is_asked_about_nowhere(site: Site, values: list[str]):
    scene = SecondSource(site)
    stored = scene.sign_in({"oid": values} if values else {})
    assert told(stored)[:2] == (0, "error")
    assert stored.problem
    assert scene.graph.requests == []
    assert scene.sign_in({"oid": [PERSON]}).state == "complete"


def test_a_source_that_is_switched_off_or_gone_gives_no_groups(site: Site):
    scene = SecondSource(site)
    assert scene.sign_in({"oid": [PERSON]}).state == "complete"
    asked = len(scene.graph.requests)
    scene.set("entra", state="disabled")
    stored = scene.sign_in({"oid": [PERSON], "groups": [group_id(1)]})
    assert (told(stored)[:2], scene.roles()) == ((0, "absent"), frozenset())
    assert "'entra' is absent or switched off" in stored.problem
    assert len(scene.graph.requests) == asked


def test_another_tenants_connection_is_no_source(site: Site):
    scene = SecondSource(site, groups_from="theirs")
    globex = site.world.tenant("globex")
    site.world.connection(globex, "theirs", config=ENTRA, secrets={"client_secret": CLIENT_SECRET})
    assert told(scene.sign_in({"oid": [PERSON]}))[:2] == (0, "absent")
    assert scene.graph.requests == []


def test_a_connection_that_looks_nothing_up_is_no_source(site: Site):
    scene = SecondSource(site)
    scene.set("entra", config={**ENTRA, "group_lookup": "none"})
    assert told(scene.sign_in({"oid": [PERSON]}))[:2] == (0, "error")


def test_a_source_that_fails_keeps_the_sign_in_and_what_was_known(site: Site):
    scene = SecondSource(site)
    scene.graph.faults = [busy("600")]
    assert told(scene.sign_in({"oid": [PERSON]})) == (0, "error", "graph")
    assert scene.roles() == frozenset()
    site.world.clock.advance(HOUR)
    assert scene.sign_in({"oid": [PERSON]}).state == "complete"
    scene.graph.faults = [busy("600")]
    site.world.clock.advance(HOUR)
    stored = scene.sign_in({"oid": [PERSON]})
    assert (told(stored), scene.roles()) == ((3, "error", "graph"), {"support"})


def test_the_second_source_is_asked_between_sign_ins_too(site: Site):
    scene = SecondSource(site)
    user_id = scene.sign_in({"oid": [PERSON]}).user_id
    now = site.world.now
    grant = Grant(
        id="grt_1",
        user_id=user_id,
        client_id="c",
        resources=[],
        scopes=[],
        created_at=now,
        expires_at=now + 86_400,
    )
    site.world.add(site.acme, grant)
    scene.graph.members[PERSON] = [2]
    site.world.clock.advance(HOUR)
    assert refresh_groups(site.rt, CONNECTORS) == {"refreshed": 1}
    assert (told(scene.stored()), scene.roles()) == ((1, "complete", "graph"), frozenset())


@contextmanager
def corp_tells(sqlite_url: str, tmp_path: Path, **config: Any) -> Iterator[SecondSource]:
    """People sign in by SAML; the directory ``corp``, where ada is in the group Desk, tells their groups."""
    tree = openldap(ada="ada-password", bob="bob-password")
    add_group(tree, "Desk", f"uid=ada,ou=people,{BASE}")
    with open_corp(sqlite_url, tmp_path, tree) as site:
        scene = SecondSource(site, groups_from="corp", groups_key="login", groups_key_is="username", **config)
        site.world.mapping(site.acme, site.adfs, "Desk", "support", kind="name")
        yield scene


def test_a_directory_of_the_tenant_may_be_the_source(sqlite_url: str, tmp_path: Path):
    with corp_tells(sqlite_url, tmp_path) as scene:
        stored = scene.sign_in({"login": ["ada"]})
        assert told(stored) == (3, "complete", "ldap:member")
        assert scene.roles() == {"support"}
        scene.site.server.tree.entries.pop(f"uid=ada,ou=people,{BASE}")  # type: ignore[attr-defined]
        stored = scene.sign_in({"login": ["ada"]})
        assert (told(stored)[:2], scene.roles()) == ((0, "absent"), frozenset())


@pytest.mark.parametrize("name", ["*", "ada)(uid=*", "a*", "ada,ou=people"])
def test_a_name_is_not_a_filter_at_the_directory(sqlite_url: str, tmp_path: Path, name: str):
    with corp_tells(sqlite_url, tmp_path) as scene:
        assert told(scene.sign_in({"login": [name]}))[0] == 0
        assert told(scene.sign_in({"login": ["ada"]})) == (3, "complete", "ldap:member")

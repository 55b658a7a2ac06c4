"""Nested groups at a directory, by every way of asking; sessions that are shared and servers that fail."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from idp_connectors.base import Deps, GroupAnswer
from idp_connectors.ldap import LdapConnector, connector, directory, wire
from idp_connectors.ldap.config import LdapConfig
from idp_connectors.ldap.directory import Directory
from idp_connectors.ldap.ranges import read_all_values
from idp_connectors.ldap.wire import Deadline
from tests.builders.connector_deps import NOW
from tests.builders.ldap_server import LdapServer, ldap_deps, serving
from tests.builders.ldap_trees import BASE, READER, Tree, active_directory, add_group, openldap, sid

ADA = f"uid=ada,ou=people,{BASE}"


def nested(tree: Tree) -> Tree:
    """Give ada a group, a group of that, one of that, and a circle; and a stranger's group beside."""
    team = add_group(tree, "team", ADA, objectSid=sid(2001), objectGUID=b"a" * 16)
    unit = add_group(tree, "unit", team, objectSid=sid(2002), objectGUID=b"b" * 16)
    firm = add_group(tree, "firm", unit, objectSid=sid(2003), objectGUID=b"c" * 16)
    add_group(tree, "others", f"uid=bob,ou=people,{BASE}", objectSid=sid(2004))
    tree.put(team, member=[ADA, firm], memberOf=unit)
    tree.put(unit, memberOf=firm)
    tree.put(firm, memberOf=team)
    tree.put(ADA, memberOf=team, tokenGroups=[sid(each) for each in (2001, 2002, 2003, 513)])
    return tree


def lookup(server: LdapServer, deps: Deps | None = None, **settings: Any) -> GroupAnswer:
    look = LdapConnector().group_lookup(*server.settings(**settings))
    return look.lookup("ada", deps or ldap_deps(), by="username")


def values(answer: GroupAnswer, kind: str) -> list[str]:
    return sorted(group.value for group in answer.groups if group.kind == kind)


@pytest.fixture
def samba() -> Iterator[LdapServer]:
    with serving(nested(active_directory(ada="ada-password"))) as running:
        yield running


@pytest.fixture
def slapd() -> Iterator[LdapServer]:
    with serving(nested(openldap(ada="ada-password"))) as running:
        yield running


@pytest.mark.parametrize("mode", ["auto", "token_groups", "in_chain", "member", "member_of"])
def test_active_directory_tells_the_same_groups_each_way(samba: LdapServer, mode: str):
    found = lookup(samba, group_mode=mode)
    assert (found.state, found.person, found.fetched_at) == ("complete", "active", NOW)
    assert values(found, "name") == ["Domain Users", "firm", "team", "unit"]
    assert values(found, "id") == [f"S-1-5-21-1-2-3-{each}" for each in (2001, 2002, 2003, 513)]
    assert f"cn=team,ou=groups,{BASE}" in values(found, "dn")


@pytest.mark.parametrize("mode", ["auto", "member", "member_of"])
def test_openldap_tells_the_same_groups_each_way(slapd: LdapServer, mode: str):
    found = lookup(slapd, group_mode=mode)
    assert (found.state, values(found, "name")) == ("complete", ["firm", "team", "unit"])
    assert len(values(found, "id")) == 3


def test_a_server_that_does_not_know_the_rule_is_not_believed(slapd: LdapServer, samba: LdapServer):
    # slapd would answer "success" and nobody's groups.
    found = lookup(slapd, group_mode="in_chain")
    assert (found.state, found.groups) == ("error", ())
    assert "does not follow nested groups" in found.problem
    samba.tree.knows_in_chain = False
    assert lookup(samba, group_mode="in_chain").state == "error"
    assert lookup(samba).state == "complete"


def test_a_directory_without_any_group_proves_nothing_about_the_rule():
    with serving(active_directory(ada="ada-password")) as server:
        assert lookup(server, group_mode="in_chain").state == "error"
        add_group(server.tree, "team", ADA)
        assert lookup(server, group_mode="in_chain").state == "complete"


@pytest.mark.parametrize(
    ("wanted", "first"), [("auto", "S-1-5-21-1-2-3-2001"), ("guid", "61616161-6161-6161-6161-616161616161")]
)
def test_the_identifier_of_a_group_is_chosen(samba: LdapServer, wanted: str, first: str):
    assert first in values(lookup(samba, group_id=wanted), "id")


def test_filter_and_base_say_which_groups_count(samba: LdapServer):
    assert values(lookup(samba, group_filter="(cn=team)"), "name") == ["team"]
    other = f"cn=apart,ou=elsewhere,{BASE}"
    samba.tree.put(other, objectClass="group", cn="apart", member=ADA, sAMAccountName="apart")
    assert "apart" in values(lookup(samba, group_mode="member"), "name")
    within = lookup(samba, group_mode="member", group_base_dn=f"ou=groups,{BASE}")
    assert "apart" not in values(within, "name")


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a server that is written in Python and measured while it runs."""
    monkeypatch.setattr(connector, "TASK_SECONDS", 120.0)
    monkeypatch.setattr(wire, "STEP_SECONDS", 60.0)


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("mode", ["token_groups", "in_chain", "member_of"])
def test_more_groups_than_a_page_or_a_portion_are_all_found(samba: LdapServer, mode: str):
    samba.tree.portion = 100
    dns, sids = [], []
    for number in range(520):
        dns.append(add_group(samba.tree, f"g{number}", ADA, objectSid=sid(5000 + number)))
        sids.append(sid(5000 + number))
    samba.tree.put(ADA, memberOf=dns, tokenGroups=[*sids, sid(513)])
    found = lookup(samba, group_mode=mode)
    assert found.state == "complete"
    assert len([name for name in values(found, "name") if name.startswith("g")]) == 520


def test_portions_that_do_not_follow_each_other_are_an_error(samba: LdapServer):
    samba.tree.portion = 2
    add_group(samba.tree, "big", *[f"uid=u{number},{BASE}" for number in range(7)])
    held = Directory(LdapConfig.model_validate({**samba.settings()[0], **samba.settings()[1]}))
    deadline = Deadline(5)
    with held.session(ldap_deps(), deadline) as session:
        base = f"cn=big,ou=groups,{BASE}"
        entry = session.search(base, "(cn=big)", ("member",), deadline, is_base_only=True).entries[0]
        found, is_all = read_all_values(session, entry, "member", deadline)
        assert (len(found), is_all) == (7, True)
    samba.tree.portion = 0
    assert lookup(samba).state == "complete"
    samba.bend = lambda entries: [
        (dn, {**entry, "tokenGroups;range=4-9": [b"x"]}) if dn == ADA else (dn, entry)
        for dn, entry in entries
    ]
    samba.sends_as_told = True
    assert lookup(samba).state == "error"


def test_nobody_of_that_name_is_not_somebody_without_groups(samba: LdapServer):
    look = LdapConnector().group_lookup(*samba.settings())
    gone = look.lookup("eve", ldap_deps(), by="username")
    assert (gone.person, gone.state, gone.groups) == ("not_found", "absent", ())
    identity = LdapConnector().password_login(*samba.settings()).verify("ada", "ada-password", ldap_deps())
    again = look.lookup(identity.subject, ldap_deps())
    assert (again.person, again.groups) == ("active", identity.groups)
    for broken in ("", "*", "S-1-5-21-1-2-3-1001"):
        assert look.lookup(broken, ldap_deps()).state == "error"


def test_a_server_that_is_down_is_an_answer_with_the_reason():
    with serving(openldap(ada="ada-password")) as server:
        settings = server.settings()
    found = LdapConnector().group_lookup(*settings).lookup("ada", ldap_deps(), by="username")
    assert (found.state, found.person, found.groups) == ("error", "unknown", ())
    assert "could not be reached" in found.problem


def test_the_next_server_is_asked_when_one_fails(slapd: LdapServer):
    config, secrets = slapd.settings()
    with serving(openldap()) as gone:
        dead = gone.settings()[0]["urls"]
    dialled: list[str] = []
    look = LdapConnector().group_lookup({**config, "urls": [*dead, *config["urls"]]}, secrets)
    for _ in range(3):
        assert look.lookup("ada", ldap_deps(dialled=dialled), by="username").state == "complete"
    assert len(dialled) == 2
    slapd.close()
    assert look.lookup("ada", ldap_deps(), by="username").state == "error"


def test_a_session_is_shared_and_a_broken_one_is_not(slapd: LdapServer):
    ldap = LdapConnector()
    look = ldap.group_lookup(*slapd.settings())
    for _ in range(3):
        assert look.lookup("ada", ldap_deps(), by="username").state == "complete"
    assert slapd.connections == 1
    # A person's password is tried on a connection of its own, and the shared one stays the account's.
    ldap.password_login(*slapd.settings()).verify("ada", "ada-password", ldap_deps())
    assert slapd.connections == 2
    assert [name for name, _ in slapd.binds] == [READER, ADA]
    slapd.hang_up()
    assert look.lookup("ada", ldap_deps(), by="username").state == "complete"
    assert slapd.connections == 3


def test_many_threads_share_a_directory(slapd: LdapServer):
    look = LdapConnector().group_lookup(*slapd.settings())
    states: list[str] = []
    threads = [
        threading.Thread(target=lambda: states.append(look.lookup("ada", ldap_deps(), by="username").state))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert states == ["complete"] * 8
    assert slapd.connections <= 8


def test_a_changed_secret_is_another_directory(slapd: LdapServer):
    ldap = LdapConnector()
    config, secrets = slapd.settings()
    assert ldap.group_lookup(config, secrets).lookup("ada", ldap_deps(), by="username").groups
    wrong = ldap.group_lookup(config, {"bind_password": "old"})
    assert "bind account" in wrong.lookup("ada", ldap_deps(), by="username").problem
    assert ldap.group_lookup(config, secrets).lookup("ada", ldap_deps(), by="username").groups
    assert slapd.connections == 2


def test_directories_that_are_long_unused_are_closed(slapd: LdapServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connector, "MAX_DIRECTORIES", 2)
    ldap = LdapConnector()
    first, *others = [slapd.settings(group_mode=mode) for mode in ("auto", "member", "member_of")]
    for settings in (first, *others, first):
        assert ldap.group_lookup(*settings).lookup("ada", ldap_deps(), by="username").groups
    assert slapd.connections == 4


def test_what_a_directory_is_is_asked_once_an_hour(slapd: LdapServer):
    look = LdapConnector().group_lookup(*slapd.settings())
    look.lookup("ada", ldap_deps(NOW), by="username")
    first = len(slapd.requests)
    look.lookup("ada", ldap_deps(NOW + 10), by="username")
    second = len(slapd.requests) - first
    look.lookup("ada", ldap_deps(NOW + directory.TRAITS_SECONDS), by="username")
    assert len(slapd.requests) - first - second == second + 1

"""A directory that is looked at before anybody signs in: each fault of set-up has its own finding."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from idp_connectors.base import ChecksItself, Deps, Finding
from idp_connectors.ldap import LdapConnector
from tests.builders.connector_deps import make_deps
from tests.builders.ldap_server import HOST, LdapServer, ldap_deps, serving
from tests.builders.ldap_trees import BASE, READER, active_directory, add_group, openldap, sid
from tests.builders.tls_certificates import Authority

ADA = f"uid=ada,ou=people,{BASE}"
ALL = ["settings", "address", "tls", "bind", "directory", "nesting", "people", "groups"]


@pytest.fixture
def server() -> Iterator[LdapServer]:
    with serving(openldap(ada="ada-password")) as running:
        yield running


def look(server: LdapServer, deps: Deps | None = None, **settings: Any) -> dict[str, Finding]:
    connector = LdapConnector()
    assert isinstance(connector, ChecksItself)
    found = connector.check_itself(*server.settings(**settings), deps or ldap_deps())
    assert [one.check for one in found] == ALL[: len(found)]
    return {one.check: one for one in found}


def failure(found: dict[str, Finding]) -> Finding:
    """The one failure, which is the last thing that was looked at."""
    *before, last = found.values()
    assert last.state == "failed"
    assert all(one.state != "failed" for one in before)
    return last


def test_a_directory_in_order_passes_every_look(server: LdapServer):
    add_group(server.tree, "engineering", ADA)
    found = look(server)
    assert list(found) == ALL
    assert {one.state for one in found.values()} == {"passed"}
    assert found["directory"].received == f"OpenLDAP; {BASE}; answers page by page"
    assert "walks up the groups" in found["nesting"].received
    assert found["people"].received == f"For example {ADA}"
    assert found["groups"].received == f"1 of {ADA}, complete"


@pytest.mark.parametrize(
    ("knows", "mode", "words"),
    [
        (True, "auto", "was tried and works"),
        (False, "auto", "is not followed"),
        (True, "in_chain", "works"),
    ],
)
def test_active_directory_is_recognised_and_the_in_chain_rule_tried(knows: bool, mode: str, words: str):
    tree = active_directory(ada="ada-password")
    add_group(tree, "team", ADA, objectSid=sid(600))
    tree.knows_in_chain = knows
    with serving(tree) as server:
        found = look(server, group_mode=mode)
    assert list(found) == ALL
    assert found["directory"].received.startswith("Active Directory;")
    assert words in found["nesting"].received


def test_a_rule_that_the_server_does_not_follow_is_no_way_to_find_groups(server: LdapServer):
    found = failure(look(server, group_mode="in_chain"))
    assert found.check == "nesting"
    assert "self-test" in found.received


def test_a_server_that_is_not_there_and_one_that_the_broker_must_not_call(server: LdapServer):
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    gone = failure(look(server, urls=[f"ldaps://{HOST}:{port}"]))
    assert (gone.check, gone.problem) == ("address", "closed")
    half = look(server, urls=[f"ldaps://{HOST}:{port}", f"ldaps://{HOST}:{server.port}"])
    assert half["address"].state == "warning"
    assert half["groups"].state == "passed"

    def refuse(host: str, port: int, timeout: float) -> socket.socket:
        raise PermissionError(f"{host} is not a public address")

    blocked = failure(look(server, replace(make_deps(), dial=refuse)))
    assert (blocked.check, blocked.problem) == ("address", "")
    assert "not a public address" in blocked.received


def test_a_certificate_that_is_not_trusted_is_told_apart(server: LdapServer):
    foreign = Authority("somebody else's CA").certificate
    found = failure(look(server, ca_certificates=foreign))
    assert (found.check, found.problem) == ("tls", "untrusted")
    assert server.binds == []


def test_a_bind_account_that_is_not_let_in(server: LdapServer):
    server.tree.passwords[READER] = "changed"
    found = failure(look(server))
    assert found.check == "bind"
    assert "wrong password" in found.received


@pytest.mark.parametrize(
    "settings", [{"user_filter": "(objectClass=robot)"}, {"base_dn": f"ou=elsewhere,{BASE}"}], ids=str
)
def test_a_base_or_a_filter_that_leaves_everybody_out(server: LdapServer, settings: dict[str, Any]):
    assert failure(look(server, **settings)).check == "people"


def test_accounts_whose_state_or_identifier_cannot_be_read():
    tree = active_directory(ada="ada-password")
    with serving(tree) as server:
        tree.put(ADA, userAccountControl=[])
        assert "may not read the state" in failure(look(server)).received
        tree.put(ADA, userAccountControl=512, objectGUID=[b"short"])
        assert failure(look(server)).check == "people"
        tree.put(ADA, objectGUID=(1).to_bytes(16, "big"), tokenGroups=[])
        assert failure(look(server)).check == "groups"


def test_no_finding_holds_the_bind_password(server: LdapServer):
    server.tree.passwords[READER] = "changed"
    for settings in ({}, {"urls": ["ldaps://no.such.example"]}, {"base_dn": "dc=x"}):
        assert "reader-password" not in str(look(server, **settings))

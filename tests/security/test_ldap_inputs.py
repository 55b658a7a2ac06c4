"""What people type into a password sign-in at a directory: L01 to L04 and L09, beside their valid twins."""

from collections.abc import Iterator
from typing import Any

import pytest
from ldap3.operation.search import parse_filter

from idp_connectors.base import ConnectorError
from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.ldap import LdapConnector
from idp_connectors.ldap.config import LdapConfig
from idp_connectors.ldap.directory import Directory
from idp_connectors.ldap.filters import any_of, equals, in_chain
from idp_connectors.ldap.names import escape_dn_value, is_within, parse_dn
from idp_connectors.ldap.people import name_filter
from idp_connectors.ldap.traits import Traits
from idp_connectors.ldap.wire import Deadline
from tests.builders.ldap_server import LdapServer, ldap_deps, serving
from tests.builders.ldap_trees import BASE, READER_PASSWORD, active_directory, add_group, add_person, openldap

INJECTIONS = [
    *("*", "a*", "*a", "**", "a*b*c", "(", ")", "()", "a)", "(a", "&", "|", "!", "=", "~=", ">=", "<="),
    *("ada)(uid=*", "*)(uid=*))(|(uid=*", "ada)(|(objectClass=*", "ada))(&(1=1", "ada)(!(uid=x"),
    *(
        "admin*)((|userPassword=*)",
        "x)(userPassword=*",
        "*)(objectClass=*))%00",
        "ada))%00",
        "ada%29%28uid=*",
    ),
    *("\\", "\\\\", "\\2a", "\\5c2a", "\\28\\29", "ada\\", "\\0", "\\00", "\\zz", "\\2", "a\\29\\28b=c"),
    *("uid=ada,ou=people", "ada,dc=evil", "ada+cn=x", "ada;cn=x", "#6164", '"ada"', "<ada>", " ada", "ada "),
    *("ада", "ａｄａ", "ada＊", "（ada）", "\u2217", "ä", "é" * 100, "日本語", "\U0001f600"),
    *("memberOf:1.2.840.113556.1.4.1941:=x", ":dn:=x", "uid:caseExactMatch:=ada", "x" * 256),
]
ACTIVE_DIRECTORY = Traits("active_directory", BASE, is_paging=True, in_chain="works")
OPENLDAP = Traits("openldap", BASE, is_paging=True, in_chain="silent")


@pytest.fixture
def server() -> Iterator[LdapServer]:
    with serving(openldap(ada="ada-password", bob="bob-password")) as running:
        yield running


def refusal(server: LdapServer, username: str, password: str, **settings: Any) -> ConnectorError:
    login = LdapConnector().password_login(*server.settings(**settings))
    with pytest.raises(ConnectorError) as caught:
        login.verify(username, password, ldap_deps())
    return caught.value


def subject(server: LdapServer, username: str, password: str, **settings: Any) -> str:
    login = LdapConnector().password_login(*server.settings(**settings))
    return login.verify(username, password, ldap_deps()).raw_claims["dn"]


def shape(node: Any) -> Any:
    return node.tag, node.assertion.get("attr") if node.assertion else None, [shape(e) for e in node.elements]


def shape_of(text: str) -> Any:
    return shape(parse_filter(text, None, False, False, None, False))


def test_l01_sixty_strings():
    assert len(set(INJECTIONS)) >= 60


@pytest.mark.parametrize("typed", INJECTIONS, ids=[f"L01-{number}" for number in range(len(INJECTIONS))])
def test_l01_what_is_typed_never_changes_the_shape_of_a_filter(typed: str):
    config = LdapConfig(urls=("ldaps://dc",), base_dn=BASE, bind_dn="cn=r", bind_password="secret")
    for traits in (OPENLDAP, ACTIVE_DIRECTORY):
        twin = "ada@corp.example" if "@" in typed else "ada"
        assert shape_of(name_filter(config, traits, typed)) == shape_of(name_filter(config, traits, twin))
    for build in (lambda dn: any_of([equals("member", dn), equals("uniqueMember", dn)]),):
        assert shape_of(build(typed)) == shape_of(build("cn=group"))
    assert shape_of(in_chain("member", typed)) == shape_of(in_chain("member", "cn=group"))


@pytest.mark.parametrize("typed", ["*", "a*", "ada)(uid=*", "*)(objectClass=*", "ad\\61"])
def test_l01_an_injected_name_signs_nobody_in(server: LdapServer, typed: str):
    assert refusal(server, typed, "ada-password").detail == "no such user"
    assert subject(server, "ada", "ada-password") == f"uid=ada,ou=people,{BASE}"


def test_l01_a_group_whose_name_is_a_filter_gives_only_its_own_members_its_parents():
    tree = openldap(ada="ada-password")
    odd = add_group(tree, "x)(|(cn=*", f"uid=ada,ou=people,{BASE}")
    parent = add_group(tree, "parent", odd)
    add_group(tree, "admins", f"uid=bob,ou=people,{BASE}")
    with serving(tree) as server:
        found = LdapConnector().group_lookup(*server.settings()).lookup("ada", ldap_deps(), by="username")
    assert found.state == "complete"
    assert {group.value for group in found.groups if group.kind == "dn"} == {odd, parent}


@pytest.mark.parametrize("value", ["a,ou=admins", "a+cn=root", "a\\,b", " a ", "#a", "a\0b", 'a"<>;=b'])
def test_l02_a_value_in_a_name_stays_one_step(value: str):
    name = f"cn={escape_dn_value(value)},{BASE}"
    assert parse_dn(name) == ((("cn", value),), *parse_dn(BASE))
    assert is_within(name, BASE)
    assert not is_within(name, f"ou=admins,{BASE}")


def test_l02_a_person_whose_name_has_a_comma_signs_in_as_themselves(server: LdapServer):
    dn = f"cn=Smith\\, John,ou=people,{BASE}"
    add_person(server.tree, "smith", "unused")
    server.tree.entries[dn] = server.tree.entries.pop(f"uid=smith,ou=people,{BASE}")
    server.tree.passwords[dn] = "smith-password"
    assert subject(server, "smith", "smith-password") == dn


@pytest.mark.parametrize(
    "password",
    ["", " ", "\t\r\n", "\0", "\0\0", "ada-password\0", "\0ada-password", "x" * 1025],
    ids=[f"L03-{kind}" for kind in ("empty", "blank", "white", "nul", "nuls", "tail", "head", "long")],
)
def test_l03_a_password_that_is_none_is_refused_before_the_network(server: LdapServer, password: str):
    assert subject(server, "ada", "ada-password")
    seen = server.connections
    assert refusal(server, "ada", password).field == "password"
    assert server.connections == seen


@pytest.mark.parametrize("username", ["", " ", "ada\0", "a\u200bda", "a\nda", "x" * 257])
def test_l03_a_user_name_that_is_none_is_refused_before_the_network(server: LdapServer, username: str):
    assert refusal(server, username, "ada-password").field == "username"
    assert server.connections == 0
    assert subject(server, "ada", "ada-password")


def test_l03_the_directory_of_this_test_would_grant_an_empty_password(server: LdapServer):
    config, secrets = server.settings()
    directory = Directory(LdapConfig.model_validate({**config, **secrets}))
    deadline = Deadline(5)
    assert directory.try_password(f"uid=ada,{BASE}", "x", ldap_deps(), deadline).code == 49
    # Past every check above it, the last one stands where the bind is sent.
    for dn, password in [("", "x"), (" ", "x"), (f"uid=ada,{BASE}", ""), (f"uid=ada,{BASE}", " ")]:
        with pytest.raises(ConnectorError):
            directory.try_password(dn, password, ldap_deps(), deadline)
    assert [name for name, secret in server.binds if not name or not secret.strip()] == []


def test_l04_nothing_is_ever_searched_without_a_password(server: LdapServer):
    subject(server, "ada", "ada-password")
    assert server.binds[0] == (f"cn=reader,{BASE}", READER_PASSWORD)
    server.tree.passwords[f"cn=reader,{BASE}"] = "changed"
    refused = refusal(server, "ada", "ada-password")
    assert (refused.code, refused.field) == (Code.CONFIG_INVALID, "bind_password")


def test_l09_a_name_that_two_accounts_share_signs_in_neither(server: LdapServer):
    assert subject(server, "ada", "ada-password")
    twin = f"uid=ada,ou=contractors,{BASE}"
    server.tree.put(twin, objectClass="person", uid="ada", entryUUID="00000000-0000-4000-8000-00000000000a")
    server.tree.passwords[twin] = "twin-password"
    for password in ("ada-password", "twin-password"):
        refused = refusal(server, "ada", password)
        assert (refused.code, refused.field) == (Code.CLAIM_INVALID, "username")
    assert subject(server, "ada", "ada-password", base_dn=f"ou=people,{BASE}")


def test_l09_three_accounts_of_a_name_are_not_mistaken_for_one(server: LdapServer):
    for unit in ("x", "y"):
        server.tree.put(f"uid=ada,ou={unit},{BASE}", objectClass="person", uid="ada")
    assert refusal(server, "ada", "ada-password").code == Code.CLAIM_INVALID
    assert subject(server, "bob", "bob-password")


def test_every_wrong_guess_is_told_in_the_same_words(server: LdapServer):
    wrong_password = refusal(server, "ada", "guess")
    no_such_person = refusal(server, "eve", "guess")
    assert wrong_password.public == no_such_person.public
    assert wrong_password.field == no_such_person.field
    # The same exchanges too, so that their time does not tell either.
    names = [name for name, _ in server.binds]
    assert len(names) == 4
    assert names[3].startswith("cn=")


@pytest.mark.parametrize("flag", [514, 512], ids=["L11-disabled", "L11-in-use"])
def test_l11_a_wrong_password_does_not_tell_the_state_of_an_account(flag: int):
    tree = active_directory(ada="ada-password")
    tree.put(f"uid=ada,ou=people,{BASE}", userAccountControl=flag)
    with serving(tree) as server:
        assert refusal(server, "ada", "guess").public == "The user name or the password is not right."


def test_l06_a_connection_that_was_closed_is_not_opened_again_in_plain(server: LdapServer):
    config, secrets = server.settings()
    directory = Directory(LdapConfig.model_validate({**config, **secrets}))
    deadline = Deadline(5)
    with directory.session(ldap_deps(), deadline) as session:
        session.close()
        seen = server.connections
        with pytest.raises(ConnectorError):
            session.bind(f"uid=ada,ou=people,{BASE}", "ada-password", deadline)
        with pytest.raises(ConnectorError):
            session.search(BASE, "(objectClass=*)", ("cn",), deadline)
    assert server.connections == seen
    assert len(server.binds) == 1

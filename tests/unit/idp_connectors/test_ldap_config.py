"""Settings of an LDAP connection: what is refused, beside what is taken."""

from typing import Any

import pytest

from idp_connectors.base import ConnectorError, LooksUpGroups, SignsInByPassword
from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.ldap import LdapConnector
from tests.builders.ldap_server import authority

GOOD = {"urls": ["ldaps://dc1.corp.example"], "base_dn": "DC=corp,DC=example", "bind_dn": "CN=r,DC=corp"}
SECRETS = {"bind_password": "reader-password"}


def load(**changes: Any) -> None:
    LdapConnector().password_login({**GOOD, **changes}, SECRETS)


@pytest.mark.parametrize(
    ("field", "bad", "good"),
    [
        ("urls", [], ["ldaps://dc1", "ldap://dc2:10389"]),
        ("urls", ["https://dc1"], ["ldaps://dc1/"]),
        ("urls", ["ldapi:///var/run/slapd"], ["ldap://127.0.0.1"]),
        ("urls", ["ldaps://user@dc1"], ["ldaps://[::1]:636"]),
        ("urls", ["ldaps://dc1/dc=corp?uid"], ["ldaps://dc1"]),
        ("urls", ["ldaps://dc1:99999"], ["ldaps://dc1:65535"]),
        ("urls", ["ldaps://dc1:0"], ["ldaps://dc1:1"]),
        ("ca_certificates", "-----BEGIN CERTIFICATE-----", authority().certificate),
        ("base_dn", "not a name", "OU=People,DC=corp"),
        ("group_base_dn", "cn=a,", "OU=Groups,DC=corp"),
        ("bind_dn", "", "reader@corp.example"),
        ("bind_dn", "cn=r\u200b", "cn=r"),
        ("login_attribute", "uid)(cn", "employeeNumber"),
        ("login_attribute", "*", "uid"),
        ("user_filter", "(a=b", "(a=b)"),
        ("user_filter", "(a=b)(c=d)", "(&(a=b)(c=d))"),
        ("group_filter", "cn=x", "(cn=x*)"),
        pytest.param("subject_attribute", "mail", "entryUUID", id="L10-subject-that-people-write"),
        ("flavour", "novell", "389ds"),
        ("group_mode", "guess", "in_chain"),
        ("group_id", "cn", "guid"),
    ],
)
def test_a_faulty_setting_is_refused_by_name(field: str, bad: Any, good: Any):
    load(**{field: good})
    with pytest.raises(ConnectorError) as caught:
        load(**{field: bad})
    assert caught.value.code == Code.CONFIG_INVALID
    assert caught.value.field.startswith(field)


@pytest.mark.parametrize("secret", ["", " ", "\0", "a\0b"], ids=["empty", "blank", "nul", "nul-inside"])
def test_l04_a_bind_account_without_a_password_is_refused(secret: str):
    LdapConnector().password_login(GOOD, SECRETS)
    with pytest.raises(ConnectorError) as caught:
        LdapConnector().password_login(GOOD, {"bind_password": secret})
    assert (caught.value.code, caught.value.field) == (Code.CONFIG_INVALID, "bind_password")


@pytest.mark.parametrize("base", ["", " "])
def test_the_whole_tree_is_no_search_base(base: str):
    with pytest.raises(ConnectorError):
        load(base_dn=base)


def test_it_says_what_it_can_do_and_what_not():
    connector = LdapConnector()
    assert isinstance(connector, SignsInByPassword)
    assert isinstance(connector, LooksUpGroups)
    with pytest.raises(ConnectorError) as caught:
        connector.interactive(GOOD, SECRETS)
    assert caught.value.code == Code.CONFIG_INVALID

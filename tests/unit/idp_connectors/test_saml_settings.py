"""Settings of a SAML connection, what is read from an assertion, and the native libraries."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from lxml import etree

from idp_connectors.base import ConnectorError, LoginRequest
from idp_connectors.errors import ConnectorErrorCode
from idp_connectors.saml import SamlConnector
from idp_connectors.saml.config import SamlConfig
from idp_connectors.saml.engine import library_settings, require_native_libraries
from idp_connectors.saml.identity import GROUPS_LINK, MAX_GROUPS
from tests.builders.connector_deps import NOW, make_deps
from tests.builders.saml_idp import (
    ACS_URL,
    ENTITY_ID,
    SAML,
    SamlIdentityProvider,
    find,
    key_and_certificate,
    read_authn_request,
)

LOGIN = LoginRequest(
    base_url="https://broker.example", callback_url=ACS_URL, entity_id=ENTITY_ID, flow_id="flow-handle-1"
)


def sign_in(
    attributes: Mapping[str, Sequence[str]],
    *,
    idp: SamlIdentityProvider | None = None,
    name_id: str = "u-1",
    **settings: Any,
):
    idp = idp or SamlIdentityProvider()
    login, deps = SamlConnector().interactive(idp.config(**settings), {}), make_deps()
    return login.complete(idp.sign_in(login.begin(LOGIN, deps), name_id=name_id, attributes=attributes), deps)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sso_url", "http://idp.example/sso"),
        ("sso_url", "javascript:alert(1)"),
        ("sso_url", "https://user@idp.example/sso"),
        ("sso_url", "https://idp.example/sso#x"),
        ("certificates", []),
        ("certificates", ["not a certificate"]),
        ("subject", "email"),
        ("subject", "attribute:"),
        ("idp_entity_id", " "),
        ("confirmation_minutes", 0),
        ("confirmation_minutes", 76),
    ],
)
def test_unsafe_settings_are_refused_by_name(field: str, value: object):
    with pytest.raises(ConnectorError) as caught:
        SamlConnector().interactive(SamlIdentityProvider().config(**{field: value}), {})
    assert caught.value.code == ConnectorErrorCode.CONFIG_INVALID
    assert caught.value.field.split(".")[0] == field


def test_certificates_may_be_pasted_together_in_either_form():
    first, second = (key_and_certificate(name)[1].decode() for name in ("idp", "idp-next"))
    bare = "".join(second.splitlines()[1:-1])
    together = SamlConfig.model_validate(SamlIdentityProvider().config(certificates=[first + "\n" + second]))
    apart = SamlConfig.model_validate(SamlIdentityProvider().config(certificates=[first, bare, first]))
    assert together.certificates == apart.certificates
    assert len(together.certificates) == 2


def test_the_library_is_always_strict_and_never_asked_for_an_authentication_context():
    config = SamlConfig.model_validate(SamlIdentityProvider().config())
    settings = library_settings(config, entity_id=ENTITY_ID, callback_url=ACS_URL)
    security = settings["security"]
    assert (settings["strict"], settings["debug"]) == (True, False)
    assert (security["rejectDeprecatedAlgorithm"], security["requestedAuthnContext"]) == (True, False)
    assert (security["wantAssertionsSigned"], security["wantMessagesSigned"]) == (True, False)
    assert not {"x509cert", "certFingerprint"} & set(settings["idp"])


def test_the_request_asks_for_nothing_that_providers_stumble_over():
    login = SamlConnector().interactive(SamlIdentityProvider().config(), {})
    begun = login.begin(LOGIN, make_deps())
    request = read_authn_request(begun.redirect_url)
    assert request.get("ID") == begun.private["request_id"]
    assert request.get("ID", "").startswith("_")
    assert request.get("AssertionConsumerServiceURL") == ACS_URL
    assert request.get("IssueInstant") == "2027-01-15T08:00:00Z"
    assert [etree.QName(child).localname for child in request] == ["Issuer"]


def test_a_sign_in_address_with_a_query_keeps_it():
    config = SamlIdentityProvider().config(sso_url="https://accounts.example/sso?idpid=C0")
    begun = SamlConnector().interactive(config, {}).begin(LOGIN, make_deps())
    assert begun.redirect_url.startswith("https://accounts.example/sso?idpid=C0&SAMLRequest=")


def test_names_are_read_by_their_usual_and_by_configured_names():
    identity = sign_in(
        {
            "urn:oid:0.9.2342.19200300.100.1.3": ["ada@corp.example"],
            "displayName": ["Ada"],
            "urn:oid:2.5.4.42": ["Ada"],
            "sn": ["Lovelace"],
            "nick": ["Countess"],
        },
        name_attribute="nick",
        email_domains=["corp.example"],
    )
    assert (identity.email, identity.email_verified_by) == ("ada@corp.example", "idp_verified_domain")
    assert (identity.display_name, identity.given_name, identity.family_name) == (
        "Countess",
        "Ada",
        "Lovelace",
    )
    assert identity.auth_time == NOW - 5
    assert identity.session_index == "_session1"


def test_an_attribute_can_be_the_key():
    identity = sign_in({"user.id": ["00u1"]}, subject="attribute:user.id")
    assert (identity.subject_kind, identity.subject, identity.name_id) == ("attribute:user.id", "00u1", "u-1")


@pytest.mark.parametrize("values", [None, [], ["a", "b"], [""]], ids=["absent", "none", "two", "empty"])
def test_a_key_attribute_must_have_one_value(values: list[str] | None):
    attributes = {"other": ["x"]} if values is None else {"user.id": values}
    with pytest.raises(ConnectorError) as caught:
        sign_in(attributes, subject="attribute:user.id")
    assert caught.value.field == "user.id"


@pytest.mark.parametrize(
    ("name_format", "subject", "accepted"),
    [
        ("urn:oasis:names:tc:SAML:2.0:nameid-format:persistent", "nameid", True),
        ("urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress", "nameid", False),
        ("urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress", "nameid-any-format", True),
        ("urn:oasis:names:tc:SAML:2.0:nameid-format:transient", "nameid", False),
        ("urn:oasis:names:tc:SAML:2.0:nameid-format:transient", "nameid-any-format", False),
    ],
)
def test_the_format_of_the_name_must_be_stable(name_format: str, subject: str, accepted: bool):
    idp = SamlIdentityProvider()
    idp.bend = lambda root: find(root, "//saml:NameID").set("Format", name_format)
    if accepted:
        assert sign_in({}, idp=idp, subject=subject).subject_kind == "nameid"
    else:
        with pytest.raises(ConnectorError) as caught:
            sign_in({}, idp=idp, subject=subject)
        assert caught.value.field == "subject"


@pytest.mark.parametrize(
    ("attributes", "values", "state"),
    [
        pytest.param({"groups": ["a", "b", "a"]}, ["a", "b"], "complete", id="list"),
        pytest.param({"groups": []}, [], "complete", id="empty"),
        pytest.param({"other": ["a"]}, [], "absent", id="absent"),
        pytest.param({GROUPS_LINK: ["https://graph.example"]}, [], "overage", id="entra-overage"),
        pytest.param({" " + GROUPS_LINK: ["https://graph.example"]}, [], "overage", id="entra-overage-blank"),
        pytest.param({"groups": ["a", "b\u200b"]}, ["a"], "error", id="invisible"),
    ],
)
def test_groups_carry_the_state_that_says_whether_they_are_all(
    attributes: dict[str, list[str]], values: list[str], state: str
):
    identity = sign_in(attributes)
    assert ([group.value for group in identity.groups], identity.groups_state) == (values, state)


def test_more_groups_than_the_limit_are_truncated():
    identity = sign_in({"groups": [str(number) for number in range(MAX_GROUPS + 1)]})
    assert (len(identity.groups), identity.groups_state) == (MAX_GROUPS, "truncated")


@pytest.mark.parametrize(("count", "state"), [(74, "complete"), (75, "truncated"), (76, "truncated")])
def test_a_list_as_long_as_the_provider_ever_sends_is_not_known_to_be_all(count: int, state: str):
    names = {"groups": [str(number) for number in range(count)]}
    assert sign_in(names, groups_limit=75).groups_state == state
    assert sign_in(names).groups_state == "complete"


def test_a_group_that_is_not_plain_text_makes_the_list_unreliable():
    idp = SamlIdentityProvider()

    def nest(root: etree._Element) -> None:
        value = root.xpath("//*[local-name()='AttributeValue']")[0]
        value.attrib.clear()
        etree.SubElement(value, f"{{{SAML}}}NameID").text = "admins"

    idp.bend = nest
    identity = sign_in({"groups": ["a", "b"]}, idp=idp)
    assert ([group.value for group in identity.groups], identity.groups_state) == (["b"], "error")


def test_an_attribute_named_twice_is_refused():
    idp = SamlIdentityProvider()

    def double(root: etree._Element) -> None:
        statement = find(root, "//saml:AttributeStatement")
        attribute = etree.SubElement(statement, f"{{{SAML}}}Attribute", {"Name": "groups"})
        etree.SubElement(attribute, f"{{{SAML}}}AttributeValue").text = "admins"

    idp.bend = double
    with pytest.raises(ConnectorError) as caught:
        sign_in({"groups": ["a"]}, idp=idp)
    assert caught.value.field == "Attribute"


def test_the_installed_libraries_fit_together():
    require_native_libraries()


@pytest.mark.parametrize("fault", ["other-build", "not-loadable"])
def test_libraries_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch, fault: str):
    class OtherBuild:
        @staticmethod
        def get_libxml_version() -> tuple[int, int, int]:
            return (2, 9, 0)

    monkeypatch.setitem(sys.modules, "xmlsec", OtherBuild if fault == "other-build" else None)
    with pytest.raises(ConnectorError) as caught:
        require_native_libraries()
    assert caught.value.code == ConnectorErrorCode.LIBRARY_UNUSABLE

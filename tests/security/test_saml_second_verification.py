"""Two independent verifications: what they agree on signs somebody in, what one of them doubts does not."""

from types import SimpleNamespace

import pytest
from lxml import etree
from signxml.verifier import VerifyResult, XMLVerifier

from idp_connectors.base import ConnectorError, LoginRequest
from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.saml import SamlConnector
from tests.builders.connector_deps import make_deps
from tests.builders.saml_idp import ACS_URL, DS, ENTITY_ID, SamlIdentityProvider, find, key_and_certificate

LOGIN = LoginRequest(
    base_url="https://broker.example", callback_url=ACS_URL, entity_id=ENTITY_ID, flow_id="flow-handle-1"
)
SIGNED = {
    "assertion-signed": {"sign_assertion": True, "sign_response": False},
    "response-signed": {"sign_assertion": False, "sign_response": True},
    "both-signed": {"sign_assertion": True, "sign_response": True},
}


def sign_in(idp: SamlIdentityProvider, **settings: object):
    settings = {
        "assertion_signed": idp.sign_assertion,
        "response_signed": idp.sign_response and not idp.sign_assertion,
    } | settings
    login, deps = SamlConnector().interactive(idp.config(**settings), {}), make_deps()
    return login.complete(idp.sign_in(login.begin(LOGIN, deps)), deps)


def refusal(idp: SamlIdentityProvider, **settings: object) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        sign_in(idp, **settings)
    assert caught.value.code == Code.SIGNATURE_INVALID
    return caught.value


def forged(signed: str) -> SamlIdentityProvider:
    """An honest shape around a name that nobody signed."""
    idp = SamlIdentityProvider(**SIGNED[signed])
    idp.bend_signed = lambda root: setattr(find(root, "//saml:NameID"), "text", "victim")
    return idp


@pytest.mark.parametrize("signed", SIGNED)
def test_the_valid_twin_signs_in(signed: str):
    assert sign_in(SamlIdentityProvider(**SIGNED[signed])).subject == "u-1"


@pytest.mark.parametrize("signed", SIGNED)
def test_if_python3_saml_is_fooled_signxml_refuses(signed: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("idp_connectors.saml.connector.verify_signatures", lambda *args, **kwargs: None)
    assert "second verification: InvalidDigest" in refusal(forged(signed)).detail
    assert sign_in(SamlIdentityProvider(**SIGNED[signed])).subject == "u-1"


@pytest.mark.parametrize("signed", SIGNED)
def test_if_signxml_is_fooled_python3_saml_refuses(signed: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "idp_connectors.saml.connector.read_verified", lambda document, found, certificates: found.parent
    )
    assert "python3-saml" in refusal(forged(signed)).detail
    assert sign_in(SamlIdentityProvider(**SIGNED[signed])).subject == "u-1"


def test_claims_are_read_from_what_signxml_verified_and_from_nothing_else(monkeypatch: pytest.MonkeyPatch):
    """Its bytes are exchanged on their way to the reader: the reader follows them, not the document."""
    verify = XMLVerifier.verify

    def exchange(self: XMLVerifier, data: bytes, **options: object) -> VerifyResult:
        found = verify(self, data, **options)
        return VerifyResult(
            found.signed_data.replace(b">u-1<", b">u-2<"), None, found.signature_xml, found.signature_key
        )

    monkeypatch.setattr(XMLVerifier, "verify", exchange)
    assert sign_in(SamlIdentityProvider()).subject == "u-2"


@pytest.mark.parametrize(
    "told",
    [b"", b"<x/>", b'<a:Assertion xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion" ID="_other"/>'],
    ids=["S22-nothing", "another-element", "another-id"],
)
def test_other_bytes_than_the_screened_element_are_refused(told: bytes, monkeypatch: pytest.MonkeyPatch):
    result = VerifyResult(told, None, etree.Element("x"), b"")
    monkeypatch.setattr(XMLVerifier, "verify", lambda self, data, **options: result)
    assert "second verification" in refusal(SamlIdentityProvider()).detail


def test_more_than_one_verified_reference_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(XMLVerifier, "verify", lambda self, data, **options: [SimpleNamespace()] * 2)
    assert "more than one reference" in refusal(SamlIdentityProvider()).detail


def test_s11_the_second_verification_does_not_believe_key_info_either(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("idp_connectors.saml.connector.verify_signatures", lambda *args, **kwargs: None)
    idp = SamlIdentityProvider(sign_assertion=False)
    idp.bend = lambda root: idp.sign(find(root, "./saml:Assertion"), "attacker")
    assert "InvalidSignature" in refusal(idp, assertion_signed=True).detail


def test_a_key_value_that_contradicts_the_certificate_changes_nothing():
    """Some providers leave an old one there; nothing in KeyInfo is read."""
    idp = SamlIdentityProvider()

    def add(root: etree._Element) -> None:
        value = etree.SubElement(find(root, "//ds:KeyInfo"), f"{{{DS}}}KeyValue")
        key = etree.SubElement(value, f"{{{DS}}}RSAKeyValue")
        etree.SubElement(key, f"{{{DS}}}Modulus").text = "AQAB"
        etree.SubElement(key, f"{{{DS}}}Exponent").text = "AQAB"

    idp.bend_signed = add
    assert sign_in(idp).subject == "u-1"


@pytest.mark.parametrize("place", [0, 9])
def test_s48_any_of_the_connections_certificates_may_have_signed(place: int):
    others = [key_and_certificate(f"idp-{number}")[1].decode() for number in range(2)]
    others.insert(place, key_and_certificate("idp")[1].decode())
    assert sign_in(SamlIdentityProvider(), certificates=others).subject == "u-1"
    refusal(SamlIdentityProvider(key_name="idp-elsewhere"), certificates=others)


@pytest.mark.parametrize(("method", "digest"), [("RSA_SHA384", "SHA384"), ("RSA_SHA512", "SHA512")])
def test_both_understand_the_accepted_algorithms(method: str, digest: str):
    assert sign_in(SamlIdentityProvider(signature_method=method, digest_method=digest)).subject == "u-1"

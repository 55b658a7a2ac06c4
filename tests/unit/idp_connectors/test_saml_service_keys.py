"""What a provider gets from us: signed sign-in requests, and metadata with our certificates."""

import base64
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from lxml import etree

from idp_connectors.base import ConnectorError, LoginRequest, ServiceKey, ServiceKeys
from idp_connectors.errors import ConnectorErrorCode
from idp_connectors.saml import SamlConnector
from idp_connectors.saml.redirect import build_redirect_url
from tests.builders.connector_deps import make_deps
from tests.builders.saml_idp import ACS_URL, ENTITY_ID, NS, SamlIdentityProvider, read_authn_request
from tests.builders.service_keys import make_service_keys, service_key

LOGIN = LoginRequest(
    base_url="https://broker.example", callback_url=ACS_URL, entity_id=ENTITY_ID, flow_id="flow-handle-1"
)
MD = {**NS, "md": "urn:oasis:names:tc:SAML:2.0:metadata"}


def begin(keys: ServiceKeys | None, **settings: object) -> str:
    login = SamlConnector().interactive(SamlIdentityProvider().config(**settings), {})
    return login.begin(LOGIN, make_deps(keys=keys)).redirect_url


def verify(address: str, key: ServiceKey) -> None:
    """Check the signature as a provider does: over the octets of the query as they came."""
    signed, _, signature = urlsplit(address).query.rpartition("&Signature=")
    raw = base64.b64decode(parse_qs(f"s={signature}")["s"][0])
    key.private.public_key().verify(raw, signed.encode(), PKCS1v15(), SHA256())


def metadata(keys: ServiceKeys, **settings: object) -> etree._Element:
    config = SamlIdentityProvider().config(**settings)
    document = SamlConnector().service_metadata(config, entity_id=ENTITY_ID, callback_url=ACS_URL, keys=keys)
    return etree.fromstring(document)


def test_requests_are_signed_where_the_connection_says_so():
    address = begin(make_service_keys(), sign_requests=True)
    verify(address, service_key("sp-signing"))
    with pytest.raises(InvalidSignature):
        verify(address, service_key("sp-other"))
    with pytest.raises(InvalidSignature):
        verify(address.replace("flow-handle-1", "flow-handle-2"), service_key("sp-signing"))
    assert list(parse_qs(urlsplit(address).query)) == ["SAMLRequest", "RelayState", "SigAlg", "Signature"]
    assert read_authn_request(address).get("AssertionConsumerServiceURL") == ACS_URL


def test_requests_are_not_signed_otherwise():
    assert list(parse_qs(urlsplit(begin(None)).query)) == ["SAMLRequest", "RelayState"]


def test_a_request_cannot_be_signed_without_a_key():
    with pytest.raises(ConnectorError) as caught:
        begin(None, sign_requests=True)
    assert caught.value.code == ConnectorErrorCode.KEYS_INVALID


def test_other_messages_are_signed_in_the_same_way():
    key = service_key("sp-signing")
    address = build_redirect_url("https://idp.example/slo?a=b", b"<x/>", parameter="SAMLResponse", key=key)
    query = urlsplit(address).query
    assert query.startswith("a=b&SAMLResponse=")
    assert "RelayState" not in query
    verify(address.replace("a=b&", ""), key)


def test_during_a_change_requests_are_signed_by_the_key_in_use():
    keys = make_service_keys(signing=("sp-next", "sp-signing"))
    verify(begin(keys, sign_requests=True), service_key("sp-signing"))


def test_the_metadata_carries_every_published_signing_certificate():
    root = metadata(make_service_keys(signing=("sp-next", "sp-signing")))
    found = root.xpath("//md:KeyDescriptor[@use='signing']//ds:X509Certificate/text()", namespaces=MD)
    assert found == [service_key("sp-next").certificate, service_key("sp-signing").certificate]
    assert "PRIVATE" not in etree.tostring(root).decode()


@pytest.mark.parametrize(("setting", "told"), [(True, "true"), (False, "false")])
def test_the_metadata_says_whether_requests_are_signed(setting: bool, told: str):
    root = metadata(make_service_keys(), sign_requests=setting)
    assert root.xpath("//md:SPSSODescriptor/@AuthnRequestsSigned", namespaces=MD) == [told]


def test_the_metadata_offers_encryption_only_where_the_connection_takes_it():
    """Several providers encrypt as soon as they see a certificate, some by ciphers that are refused."""
    keys = make_service_keys(encryption=("sp-next", "sp-encryption"))
    path = "//md:KeyDescriptor[@use='encryption']"
    assert metadata(keys).xpath(path, namespaces=MD) == []
    for setting in ("accepted", "required"):
        found = metadata(keys, encryption=setting).xpath(path, namespaces=MD)
        certificates = [one.findtext(".//ds:X509Certificate", None, MD) for one in found]
        assert certificates == [service_key(name).certificate for name in ("sp-next", "sp-encryption")]
        methods = [method.get("Algorithm", "") for method in found[0].findall("md:EncryptionMethod", MD)]
        assert methods[0].endswith("aes256-gcm")
        assert not [method for method in methods if "cbc" in method or "rsa-1_5" in method]


def test_the_metadata_fits_the_schema_of_saml():
    import onelogin.saml2

    keys = make_service_keys(signing=("sp-next", "sp-signing"), encryption=("sp-next", "sp-encryption"))
    folder = Path(onelogin.saml2.__file__).parent / "schemas"
    schema = etree.XMLSchema(etree.parse(str(folder / "saml-schema-metadata-2.0.xsd")))
    schema.assertValid(metadata(keys, encryption="required", sign_requests=True))

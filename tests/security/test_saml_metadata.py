"""A provider's metadata comes from anybody: what is not one honest provider's own is refused, quickly."""

import time

import pytest

from idp_connectors.errors import ConnectorError
from idp_connectors.saml.config import SamlConfig
from idp_connectors.saml.provider_metadata import MAX_BYTES, read_metadata
from tests.builders.connector_deps import NOW
from tests.builders.saml_idp import IDP_ENTITY_ID, SSO_URL
from tests.builders.saml_metadata import POST, REDIRECT, document, entity, key, service

YEARS = 315_360_000


def test_twin_a_providers_metadata_gives_settings_that_the_model_accepts():
    found = read_metadata(document(entity(keys=key() + key("next") + key("enc", use="encryption"))), NOW)
    config = SamlConfig.model_validate(dict(found.settings))
    assert (config.idp_entity_id, config.sso_url) == (IDP_ENTITY_ID, SSO_URL)
    assert len(config.certificates) == 2
    assert [one.subject for one in found.certificates] == ["CN=idp", "CN=next"]
    assert all(len(one.fingerprint) == 64 and one.key == "RSA, 2048 bits" for one in found.certificates)
    assert ("NameID formats", "persistent") in found.facts
    assert found.warnings == ()


def test_twin_marks_before_the_document_and_a_wrapping_list_are_fine():
    service_only = entity("https://sp.example", role="SPSSODescriptor", services="")
    found = read_metadata(b"\xef\xbb\xbf" + document(entity(keys=key(use="")), service_only), NOW)
    assert found.settings["idp_entity_id"] == IDP_ENTITY_ID


def test_certificates_that_end_and_documents_that_have_ended_are_told():
    assert "expired" in read_metadata(document(), NOW + YEARS).warnings[0]
    soon = read_metadata(document(), 1_767_225_600 + YEARS - 86_400)
    assert "within 30 days" in soon.warnings[0]
    old = read_metadata(document(entity(attributes='validUntil="2020-01-01T00:00:00Z"')), NOW)
    assert "no longer valid" in old.warnings[0]


BOMB = b'<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;">]>'
ELEVEN = "".join(key(f"k{number}", bits=1024) for number in range(11))
BAD = {
    "dtd": (document().replace(b"<!-- made by a test -->", BOMB), "document type declaration"),
    "external-entity": (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "document type"),
    "too-long": (document() + b" " * MAX_BYTES, "longer than 256 KiB"),
    "too-many": (b"<a>" + b"<b/>" * 30_000 + b"</a>", "more elements"),
    "too-deep": (b"<a>" * 200 + b"</a>" * 200, "deeper or larger"),
    "html": (b"<html><body><p>Sign in</body></html>", "not well-formed"),
    "other-xml": (b"<rss/>", "not SAML metadata"),
    "json": (b'{"issuer": "https://id.example"}', "not XML"),
    "empty": (b"", "not XML"),
    "utf-16": (document().decode().encode("utf-16"), "not XML"),
    "latin-1": ("<a>é</a>".encode("latin-1"), "not UTF-8"),
    "service": (document(entity(role="SPSSODescriptor")), "no identity provider"),
    "saml-1": (document(entity(protocol="urn:oasis:names:tc:SAML:1.1:protocol")), "no identity provider"),
    "several": (document(entity(), entity("https://other.example")), "several identity providers"),
    "no-key": (document(entity(keys=key(use="encryption"))), "no signing certificate"),
    "broken-key": (document().replace(b"\nMII", b"\nAAAA"), "cannot be read"),
    "too-many-keys": (document(entity(keys=ELEVEN)), "more than 10"),
    "post-only": (document(entity(services=service("SingleSignOnService", POST, SSO_URL))), "HTTP-Redirect"),
    "script": (
        document(entity(services=service("SingleSignOnService", REDIRECT, "javascript:alert(1)"))),
        "HTTP-Redirect",
    ),
    "no-name": (document(entity("")), "names no entity ID"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_documents_that_are_not_one_providers_own_are_refused(kind: str):
    sent, words = BAD[kind]
    started = time.process_time()
    with pytest.raises(ConnectorError) as refused:
        read_metadata(sent, NOW)
    assert words in refused.value.public
    assert time.process_time() - started < 0.25

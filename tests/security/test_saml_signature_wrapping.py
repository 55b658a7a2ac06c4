"""Signature wrapping (XSW 1 to 8), foreign keys and odd signatures, each beside the answer that is right."""

from copy import deepcopy
from dataclasses import replace

import pytest
from lxml import etree

from idp_connectors.base import ConnectorError, LoginRequest
from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.saml import SamlConnector
from tests.builders.connector_deps import make_deps
from tests.builders.saml_idp import (
    ACS_URL,
    DS,
    ENTITY_ID,
    SAML,
    SAMLP,
    SamlIdentityProvider,
    find,
    key_and_certificate,
)
from tests.builders.saml_wrapping import (
    evil_copy,
    xsw1,
    xsw2,
    xsw3,
    xsw4,
    xsw5,
    xsw6,
    xsw7,
    xsw8,
)

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
    login = SamlConnector().interactive(idp.config(**settings), {})
    deps = make_deps()
    return login.complete(idp.sign_in(login.begin(LOGIN, deps), name_id="u-1"), deps)


def assert_refused(idp: SamlIdentityProvider, *codes: Code, **settings: object) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        sign_in(idp, **settings)
    assert caught.value.code in codes, caught.value
    return caught.value


@pytest.mark.parametrize("signed", SIGNED)
def test_the_valid_twin_signs_in(signed: str):
    assert sign_in(SamlIdentityProvider(**SIGNED[signed])).subject == "u-1"


@pytest.mark.parametrize("signed", SIGNED)
@pytest.mark.parametrize(
    "wrap",
    [xsw1, xsw2, xsw3, xsw4, xsw5, xsw6, xsw7, xsw8],
    ids=[f"S0{number}-XSW{number}" for number in range(1, 9)],
)
def test_wrapped_signatures_are_refused(wrap, signed: str):
    idp = SamlIdentityProvider(**SIGNED[signed])
    idp.bend_signed = wrap
    assert_refused(idp, Code.DOCUMENT_REFUSED)


@pytest.mark.parametrize("order", ["before", "after"])
def test_s09_a_second_assertion_is_refused(order: str):
    idp = SamlIdentityProvider()

    def add(root: etree._Element) -> None:
        assertion = find(root, "./saml:Assertion")
        root.insert(root.index(assertion) + (order == "after"), evil_copy(assertion))

    idp.bend_signed = add
    assert_refused(idp, Code.DOCUMENT_REFUSED)


@pytest.mark.parametrize("holder", ["Advice", "AttributeValue"])
def test_s18_the_signed_assertion_cannot_hide_inside_a_forged_one(holder: str):
    """The shape of CVE-2025-47949: the verifier finds the signed one wherever it is, the reader the first."""
    idp = SamlIdentityProvider()

    def wrap(root: etree._Element) -> None:
        signed = find(root, "./saml:Assertion")
        evil = evil_copy(signed)
        root.replace(signed, evil)
        etree.SubElement(evil, f"{{{SAML}}}{holder}").append(signed)

    idp.bend_signed = wrap
    assert_refused(idp, Code.DOCUMENT_REFUSED)


@pytest.mark.parametrize("namespace", [SAML, SAMLP, "urn:other", ""], ids=["saml", "samlp", "other", "none"])
def test_s20_a_signature_in_another_namespace_is_refused(namespace: str):
    """The shape of CVE-2025-25292: one reader takes the element for a signature, another does not."""
    idp = SamlIdentityProvider()

    def add(root: etree._Element) -> None:
        fake = etree.Element(f"{{{namespace}}}Signature" if namespace else "Signature")
        fake.extend(deepcopy(list(find(root, "//ds:Signature"))))
        find(root, "./saml:Assertion").insert(1, fake)

    idp.bend_signed = add
    assert_refused(idp, Code.DOCUMENT_REFUSED)


def test_s10_an_unsigned_answer_is_refused():
    idp = SamlIdentityProvider(sign_assertion=False)
    assert_refused(idp, Code.SIGNATURE_INVALID, assertion_signed=True)


def test_s10_a_stripped_signature_is_refused():
    idp = SamlIdentityProvider()
    idp.bend_signed = lambda root: find(root, "./saml:Assertion").remove(find(root, "//ds:Signature"))
    assert_refused(idp, Code.SIGNATURE_INVALID)


def test_s10_an_empty_signature_is_refused():
    idp = SamlIdentityProvider()

    def empty(root: etree._Element) -> None:
        for child in list(signature := find(root, "//ds:Signature")):
            signature.remove(child)

    idp.bend_signed = empty
    assert_refused(idp, Code.DOCUMENT_REFUSED)


@pytest.mark.parametrize("place", ["Extensions", "Advice"])
def test_s10_a_signature_elsewhere_is_refused(place: str):
    idp = SamlIdentityProvider()

    def move(root: etree._Element) -> None:
        if place == "Extensions":
            holder = etree.Element(f"{{{SAMLP}}}Extensions")
            root.insert(1, holder)
        else:
            holder = etree.Element(f"{{{SAML}}}Advice")
            find(root, "./saml:Assertion").insert(4, holder)
        holder.append(find(root, "//ds:Signature"))

    idp.bend_signed = move
    assert_refused(idp, Code.DOCUMENT_REFUSED)


def test_s10_a_signature_of_something_else_is_refused():
    """Shaped as it should be, but on an element that nobody reads."""
    idp = SamlIdentityProvider()

    def move(root: etree._Element) -> None:
        holder = etree.Element(f"{{{SAMLP}}}Extensions", {"ID": "_extensions"})
        root.insert(1, holder)
        holder.append(find(root, "//ds:Signature"))
        find(root, "//ds:Reference").set("URI", "#_extensions")

    idp.bend_signed = move
    assert "elsewhere" in assert_refused(idp, Code.DOCUMENT_REFUSED).detail


def test_s11_a_key_inside_the_message_is_not_trusted():
    idp = SamlIdentityProvider(sign_assertion=False)
    idp.bend = lambda root: idp.sign(find(root, "./saml:Assertion"), "attacker")
    assert_refused(idp, Code.SIGNATURE_INVALID, assertion_signed=True)


def test_s12_there_is_no_fingerprint_mode():
    with pytest.raises(ConnectorError) as caught:
        SamlConnector().interactive(SamlIdentityProvider().config(cert_fingerprint="ab"), {})
    assert (caught.value.code, caught.value.field) == (Code.CONFIG_INVALID, "cert_fingerprint")


@pytest.mark.parametrize("method", ["hmac-sha1", "hmac-sha256"])
def test_s13_a_certificate_is_no_hmac_secret(method: str):
    idp = SamlIdentityProvider()
    address = DS + method if method == "hmac-sha1" else f"http://www.w3.org/2001/04/xmldsig-more#{method}"
    idp.bend_signed = lambda root: find(root, "//ds:SignatureMethod").set("Algorithm", address)
    assert_refused(idp, Code.ALGORITHM_REFUSED)


@pytest.mark.parametrize("order", [0, 1])
def test_s14_two_signed_infos_are_refused(order: int):
    idp = SamlIdentityProvider()

    def double(root: etree._Element) -> None:
        info = find(root, "//ds:SignedInfo")
        copy = deepcopy(info)
        find(copy, ".//ds:DigestValue").text = "AAAA"
        info.getparent().insert(order, copy)

    idp.bend_signed = double
    assert_refused(idp, Code.DOCUMENT_REFUSED)


@pytest.mark.parametrize("changed", ["NameID", "Audience", "Issuer"])
@pytest.mark.parametrize("signed", SIGNED)
def test_s16_a_signed_value_cannot_be_changed(changed: str, signed: str):
    idp = SamlIdentityProvider(**SIGNED[signed])

    def change(root: etree._Element) -> None:
        node = find(root, f"./saml:Assertion//saml:{changed}")
        node.text = f"{node.text}x"

    idp.bend_signed = change
    named = {"Audience": Code.AUDIENCE_MISMATCH, "Issuer": Code.ISSUER_MISMATCH}
    assert_refused(idp, named.get(changed, Code.SIGNATURE_INVALID))


def test_s16_identity_comes_from_the_signed_bytes_alone(monkeypatch: pytest.MonkeyPatch):
    """Even if the library is fooled, an element that is not what was digested is not read."""
    idp = SamlIdentityProvider()
    idp.bend_signed = lambda root: setattr(find(root, "//saml:NameID"), "text", "victim")
    monkeypatch.setattr("idp_connectors.saml.connector.verify_signatures", lambda *args, **kwargs: None)
    error = assert_refused(idp, Code.SIGNATURE_INVALID)
    assert "InvalidDigest" in error.detail


def test_s17_a_digest_value_elsewhere_is_not_used():
    idp = SamlIdentityProvider()

    def smuggle(root: etree._Element) -> None:
        digest = find(root, "//ds:DigestValue")
        detail = etree.SubElement(find(root, "./samlp:Status"), f"{{{SAMLP}}}StatusDetail")
        detail.append(deepcopy(digest))
        digest.text = "AAAA"

    idp.bend_signed = smuggle
    assert_refused(idp, Code.SIGNATURE_INVALID)


@pytest.mark.parametrize(
    "uri", ["", None, "#_response1", "#other", "http://attacker.example/x", "#xpointer(/)"]
)
def test_s25_a_reference_elsewhere_is_refused(uri: str | None):
    idp = SamlIdentityProvider()

    def refer(root: etree._Element) -> None:
        reference = find(root, "//ds:Reference")
        reference.attrib.pop("URI")
        if uri is not None:
            reference.set("URI", uri)

    idp.bend_signed = refer
    assert_refused(idp, Code.DOCUMENT_REFUSED)


def test_s25_two_references_are_refused():
    idp = SamlIdentityProvider()

    def double(root: etree._Element) -> None:
        reference = find(root, "//ds:Reference")
        reference.addnext(deepcopy(reference))

    idp.bend_signed = double
    assert_refused(idp, Code.DOCUMENT_REFUSED)


@pytest.mark.parametrize("name", ["ID", "Id", "id"])
def test_s25_a_repeated_id_is_refused(name: str):
    idp = SamlIdentityProvider()
    idp.bend_signed = lambda root: find(root, "./samlp:Status").set(name, "_assertion1")
    assert_refused(idp, Code.DOCUMENT_REFUSED)


def test_s25_an_xml_id_is_refused():
    idp = SamlIdentityProvider()
    name = "{http://www.w3.org/XML/1998/namespace}id"
    idp.bend_signed = lambda root: find(root, "./samlp:Status").set(name, "fresh")
    assert_refused(idp, Code.DOCUMENT_REFUSED)


def test_two_signatures_on_one_element_are_refused():
    idp = SamlIdentityProvider()
    idp.bend_signed = lambda root: find(root, "./saml:Assertion").insert(
        1, deepcopy(find(root, "//ds:Signature"))
    )
    assert_refused(idp, Code.DOCUMENT_REFUSED)


@pytest.mark.parametrize("where", ["signature", "digest"])
def test_s42_sha1_is_refused(where: str):
    idp = SamlIdentityProvider()
    if where == "signature":
        idp.signature_method = "RSA_SHA1"
    else:
        idp.digest_method = "SHA1"
    assert_refused(idp, Code.ALGORITHM_REFUSED)


def test_s42_sha512_is_accepted():
    assert (
        sign_in(SamlIdentityProvider(signature_method="RSA_SHA512", digest_method="SHA512")).subject == "u-1"
    )


def test_s42_a_weak_certificate_is_refused_when_it_is_set():
    assert SamlConnector().interactive(SamlIdentityProvider().config(), {})
    weak = key_and_certificate("weak", 1024)[1].decode()
    with pytest.raises(ConnectorError) as caught:
        SamlConnector().interactive({**SamlIdentityProvider().config(), "certificates": [weak]}, {})
    assert (caught.value.code, caught.value.field) == (Code.CONFIG_INVALID, "certificates")


def test_s48_both_certificates_work_during_a_change_and_the_old_one_stops_after_it():
    old, new = SamlIdentityProvider(key_name="idp"), SamlIdentityProvider(key_name="idp-next")
    both = [key_and_certificate("idp")[1].decode() + key_and_certificate("idp-next")[1].decode()]
    assert sign_in(old, certificates=both).subject == sign_in(new, certificates=both).subject == "u-1"
    assert_refused(old, Code.SIGNATURE_INVALID, certificates=[key_and_certificate("idp-next")[1].decode()])


@pytest.mark.parametrize("required", ["assertion_signed", "response_signed"])
def test_the_signature_that_the_connection_requires_must_be_there(required: str):
    other = {"assertion_signed": "response-signed", "response_signed": "assertion-signed"}[required]
    settings = {"assertion_signed": False, "response_signed": False, required: True}
    refusal = assert_refused(SamlIdentityProvider(**SIGNED[other]), Code.SIGNATURE_INVALID, **settings)
    assert "lacks a signature" in refusal.public
    assert sign_in(SamlIdentityProvider(**SIGNED["both-signed"]), **settings).subject == "u-1"


def test_a_connection_without_any_required_signature_cannot_be_configured():
    with pytest.raises(ConnectorError) as caught:
        sign_in(SamlIdentityProvider(), assertion_signed=False, response_signed=False)
    assert caught.value.code == Code.CONFIG_INVALID


@pytest.mark.parametrize("bad", ["RetrievalMethod", "EncryptedKey", "Object"])
def test_s45_a_key_info_that_points_away_is_refused(bad: str):
    idp = SamlIdentityProvider()

    def point(root: etree._Element) -> None:
        etree.SubElement(find(root, "//ds:KeyInfo"), f"{{{DS}}}{bad}", {"URI": "http://attacker.example/key"})

    idp.bend_signed = point
    assert_refused(idp, Code.DOCUMENT_REFUSED)


def test_an_answer_must_come_by_post():
    idp, deps = SamlIdentityProvider(), make_deps()
    login = SamlConnector().interactive(idp.config(), {})
    callback = idp.sign_in(login.begin(LOGIN, deps))
    with pytest.raises(ConnectorError) as caught:
        login.complete(replace(callback, method="GET"), deps)
    assert caught.value.code == Code.CALLBACK_MALFORMED
    assert login.complete(callback, deps).subject == "u-1"


def test_the_request_state_is_compared():
    idp, deps = SamlIdentityProvider(), make_deps()
    login = SamlConnector().interactive(idp.config(), {})
    callback = idp.sign_in(login.begin(LOGIN, deps))
    with pytest.raises(ConnectorError) as caught:
        login.complete(replace(callback, form={**callback.form, "RelayState": "other"}), deps)
    assert caught.value.code == Code.STATE_MISMATCH
    assert login.complete(callback, deps).subject == "u-1"

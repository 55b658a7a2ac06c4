"""Encrypted assertions: what is opened, what is refused, and that a refusal tells nothing of the content."""

import statistics
import time
from copy import deepcopy

import pytest
from lxml import etree

from idp_connectors.base import ConnectorError, LoginRequest, VerifiedIdentity
from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.saml import SamlConnector
from tests.builders.connector_deps import make_deps
from tests.builders.saml_encryption import (
    CBC,
    GCM,
    XENC,
    XENC11,
    Encryption,
    encrypt_with_libxmlsec,
)
from tests.builders.saml_idp import ACS_URL, DS, ENTITY_ID, NS, SAML, SamlIdentityProvider, find
from tests.builders.saml_wrapping import evil_copy
from tests.builders.service_keys import make_service_keys

LOGIN = LoginRequest(
    base_url="https://broker.example", callback_url=ACS_URL, entity_id=ENTITY_ID, flow_id="flow-handle-1"
)
SIGNED = {
    "assertion-signed": {"sign_assertion": True, "sign_response": False},
    "response-signed": {"sign_assertion": False, "sign_response": True},
    "both-signed": {"sign_assertion": True, "sign_response": True},
}
SHA256 = XENC + "sha256"
XENC_NS = {**NS, "xenc": XENC}


def sign_in(idp: SamlIdentityProvider, *, keys: tuple[str, ...] = ("sp-encryption",), **settings: object):
    return answer(idp, keys=keys, **settings)()


def answer(idp: SamlIdentityProvider, *, keys: tuple[str, ...] = ("sp-encryption",), **settings: object):
    """Return what looks at the provider's answer, as often as it is called."""
    settings = {
        "encryption": "accepted",
        "assertion_signed": idp.sign_assertion,
        "response_signed": idp.sign_response and not idp.sign_assertion,
    } | settings
    login = SamlConnector().interactive(idp.config(**settings), {})
    deps = make_deps(keys=make_service_keys(encryption=keys))
    callback = idp.sign_in(login.begin(LOGIN, deps), attributes={"groups": ["eng"]})
    return lambda: login.complete(callback, deps)


def refusal(idp: SamlIdentityProvider, **settings: object) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        sign_in(idp, **settings)
    return caught.value


def encrypting(signed: str = "assertion-signed", **how: object) -> SamlIdentityProvider:
    return SamlIdentityProvider(encrypt=Encryption(**how), **SIGNED[signed])


def assert_whole(identity: VerifiedIdentity) -> None:
    assert identity.subject == "u-1"
    assert [group.value for group in identity.groups] == ["eng"]


@pytest.mark.parametrize("signed", SIGNED)
@pytest.mark.parametrize("cipher", GCM)
def test_the_valid_twin_signs_in(cipher: str, signed: str):
    assert_whole(sign_in(encrypting(signed, cipher=cipher)))


@pytest.mark.parametrize(
    "how",
    [
        {"transport": XENC11 + "rsa-oaep", "digest": SHA256, "mask": XENC11 + "mgf1sha256"},
        {"transport": XENC11 + "rsa-oaep", "digest": SHA256},
        {"digest": SHA256},
        {"is_beside": True},
    ],
    ids=["oaep-sha256", "oaep-sha256-mgf-sha1", "mgf1p-sha256", "key-beside"],
)
def test_the_usual_ways_of_wrapping_the_key_are_understood(how: dict[str, object]):
    assert_whole(sign_in(encrypting(**how)))


@pytest.mark.parametrize("signed", SIGNED)
def test_what_libxmlsec_encrypts_is_opened(signed: str):
    """Also in its way of leaving out the namespaces that are declared further up."""
    assert_whole(sign_in(SamlIdentityProvider(encrypt=encrypt_with_libxmlsec, **SIGNED[signed])))


def test_a_former_key_still_opens_and_a_dropped_one_does_not():
    idp = encrypting(key_name="sp-former")
    assert_whole(sign_in(idp, keys=("sp-encryption", "sp-former")))
    assert refusal(idp).code == Code.DECRYPTION_FAILED


@pytest.mark.parametrize("cipher", CBC)
def test_s44_cbc_is_refused(cipher: str):
    error = refusal(encrypting(cipher=cipher))
    assert error.code == Code.ALGORITHM_REFUSED
    assert "AES-GCM" in error.public


def test_s44_pkcs1_key_transport_is_refused():
    error = refusal(encrypting(transport=XENC + "rsa-1_5"))
    assert error.code == Code.ALGORITHM_REFUSED
    assert "RSA-OAEP" in error.public


def damage(path: str):
    def change(root: etree._Element) -> None:
        value = root.xpath(path, namespaces=XENC_NS)[0]
        text = value.text or ""
        value.text = ("B" if text[20] == "A" else "A").join((text[:20], text[21:]))

    return change


def damaged() -> tuple[SamlIdentityProvider, SamlIdentityProvider]:
    """Return one that spoils the wrapped key, and one that spoils the content."""
    wrapped, content = encrypting(), encrypting()
    wrapped.bend_signed = damage("//xenc:EncryptedKey//xenc:CipherValue")
    content.bend_signed = damage("//xenc:EncryptedData/xenc:CipherData/xenc:CipherValue")
    return wrapped, content


@pytest.mark.proof
def test_s44_a_damaged_key_takes_as_long_as_a_damaged_content():
    """Two thousand answers in turns: who measures them learns less than a millisecond of where it failed."""
    looks = [answer(idp) for idp in damaged()]
    times: list[list[float]] = [[], []]
    for _ in range(1_000):
        for look, spent in zip(looks, times, strict=True):
            started = time.thread_time()
            with pytest.raises(ConnectorError):
                look()
            spent.append(time.thread_time() - started)
    assert abs(statistics.median(times[0]) - statistics.median(times[1])) < 0.001


def test_s44_every_failed_decryption_looks_the_same():
    """A wrong key, a damaged key, a damaged content and a key of another length: one answer, one detail."""
    other, (wrapped, content) = encrypting(key_name="sp-other"), damaged()
    short = encrypting(cipher=XENC11 + "aes128-gcm")
    short.bend_signed = lambda root: root.xpath(
        "//xenc:EncryptedData/xenc:EncryptionMethod", namespaces=XENC_NS
    )[0].set("Algorithm", XENC11 + "aes256-gcm")
    found = [refusal(idp) for idp in (other, wrapped, content, short)]
    assert {error.code for error in found} == {Code.DECRYPTION_FAILED}
    assert len({(error.public, error.detail, error.field) for error in found}) == 1


@pytest.mark.parametrize("sign_response", [False, True], ids=["unsigned-response", "signed-response"])
def test_s43_ciphertext_proves_nothing_about_who_made_it(sign_response: bool):
    """Anybody can encrypt with a public key: an assertion that nobody signed is refused all the same."""
    idp = SamlIdentityProvider(encrypt=Encryption(), sign_assertion=False, sign_response=sign_response)
    assert refusal(idp, assertion_signed=True, response_signed=False).code == Code.SIGNATURE_INVALID


@pytest.mark.parametrize("signed", ["response-signed", "both-signed"])
def test_s43_ciphertext_that_a_signed_response_does_not_cover_is_not_even_opened(
    signed: str, monkeypatch: pytest.MonkeyPatch
):
    idp = encrypting(signed)

    def inject(root: etree._Element) -> None:
        forged = SamlIdentityProvider(sign_assertion=False)
        evil = evil_copy(
            find(etree.fromstring(forged.respond(request_id="_x", attributes={})), "./saml:Assertion")
        )
        root.replace(find(root, "./saml:EncryptedAssertion"), Encryption().seal(etree.tostring(evil)))

    assert_whole(sign_in(encrypting(signed)))
    idp.bend_signed = inject
    monkeypatch.setattr("idp_connectors.saml.connector.decrypt_assertion", _must_not_run)
    assert refusal(idp).code == Code.SIGNATURE_INVALID


def _must_not_run(*args: object) -> bytes:
    raise AssertionError("a stranger's ciphertext was opened")


@pytest.mark.parametrize("changed", ["victim", "other-key"])
def test_s43_a_changed_or_foreign_assertion_inside_is_refused(changed: str):
    idp = SamlIdentityProvider(sign_assertion=False)

    def forge(root: etree._Element) -> None:
        assertion = find(root, "./saml:Assertion")
        idp.sign(assertion, "attacker" if changed == "other-key" else "idp")
        if changed == "victim":
            find(assertion, ".//saml:NameID").text = "victim"
        Encryption()(root)

    idp.encrypt = forge
    assert refusal(idp, assertion_signed=True).code == Code.SIGNATURE_INVALID


@pytest.mark.parametrize(
    "plain",
    [
        pytest.param(lambda a: a + a, id="two-elements"),
        pytest.param(lambda a: a + b"text", id="text-behind"),
        pytest.param(lambda a: b"</opened>" + a + b"<opened>", id="out-of-the-frame"),
        pytest.param(lambda a: b"<!DOCTYPE x>" + a, id="S19-doctype"),
        pytest.param(lambda a: a.replace(b">u-1<", b">u-<!--x-->1<"), id="S27-comment"),
        pytest.param(lambda a: b"<x>" + a + b"</x>", id="nested"),
        pytest.param(lambda a: b"text", id="text"),
        pytest.param(lambda a: b"\xff\xfe", id="bytes"),
    ],
)
def test_what_comes_out_is_screened_like_what_comes_in(plain):
    idp = SamlIdentityProvider()

    def seal(root: etree._Element) -> None:
        assertion = find(root, "./saml:Assertion")
        root.replace(assertion, Encryption().seal(plain(etree.tostring(assertion))))

    idp.encrypt = seal
    assert refusal(idp).code == Code.DOCUMENT_REFUSED


def test_xsw_around_an_encrypted_assertion_is_refused():
    idp = encrypting()
    idp.bend_signed = lambda root: root.append(
        evil_copy(
            find(
                etree.fromstring(SamlIdentityProvider().respond(request_id="_x", attributes={})),
                "./saml:Assertion",
            )
        )
    )
    assert refusal(idp).code == Code.DOCUMENT_REFUSED
    twice = encrypting()
    twice.bend_signed = lambda root: root.append(deepcopy(find(root, "./saml:EncryptedAssertion")))
    assert refusal(twice).code == Code.DOCUMENT_REFUSED


def _retrieve(uri: str):
    def change(root: etree._Element) -> None:
        info = root.xpath("//xenc:EncryptedData/ds:KeyInfo", namespaces=XENC_NS)[0]
        etree.SubElement(info, f"{{{DS}}}RetrievalMethod", {"URI": uri, "Type": XENC + "EncryptedKey"})

    return change


def _nest(root: etree._Element) -> None:
    wrapped = root.xpath("//xenc:EncryptedKey", namespaces=XENC_NS)[0]
    inner = deepcopy(wrapped)
    inner.set("Id", "key2")
    etree.SubElement(wrapped, f"{{{DS}}}KeyInfo").append(inner)


def _refer(root: etree._Element) -> None:
    value = root.xpath("//xenc:EncryptedData/xenc:CipherData/xenc:CipherValue", namespaces=XENC_NS)[0]
    reference = etree.Element(f"{{{XENC}}}CipherReference", {"URI": "http://attacker.example/"})
    value.getparent().replace(value, reference)


def _label(root: etree._Element) -> None:
    method = root.xpath("//xenc:EncryptedKey/xenc:EncryptionMethod", namespaces=XENC_NS)[0]
    etree.SubElement(method, f"{{{XENC}}}OAEPparams").text = "AAAA"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_retrieve("http://attacker.example/key"), id="S45-remote-key"),
        pytest.param(_retrieve("#key1"), id="S45-key-loop"),
        pytest.param(_nest, id="S45-key-in-key"),
        pytest.param(_refer, id="S45-cipher-reference"),
        pytest.param(_label, id="oaep-label"),
        pytest.param(lambda root: find(root, "./saml:EncryptedAssertion").clear(), id="empty"),
    ],
)
def test_s45_frames_that_order_work_or_point_away_are_refused(change):
    idp = encrypting()
    idp.bend_signed = change
    assert refusal(idp).code in (Code.DOCUMENT_REFUSED, Code.ALGORITHM_REFUSED)


def test_encrypted_names_and_attributes_are_not_taken():
    idp = SamlIdentityProvider()
    idp.bend = lambda root: etree.SubElement(find(root, "//saml:Subject"), f"{{{SAML}}}EncryptedID")
    assert refusal(idp).code == Code.DOCUMENT_REFUSED


def test_a_connection_says_whether_assertions_are_encrypted():
    assert refusal(encrypting(), encryption="off").code == Code.DOCUMENT_REFUSED
    assert refusal(SamlIdentityProvider(), encryption="required").code == Code.DECRYPTION_FAILED
    assert_whole(sign_in(encrypting(), encryption="required"))
    assert_whole(sign_in(SamlIdentityProvider(), encryption="accepted"))

"""Attacks on SAML single logout (S31, S51): each ends nothing, and its honest twin says who is meant."""

import base64
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

import pytest

from idp_connectors.base import ConnectorError, SignOutMessage, SignOutOrder, SignOutRequest
from idp_connectors.saml import SamlConnector
from tests.builders.connector_deps import NOW, make_deps
from tests.builders.cost import cpu_seconds
from tests.builders.saml_idp import IDP_ENTITY_ID, SamlIdentityProvider, instant, key_and_certificate
from tests.builders.saml_logout import (
    RSA_SHA256,
    SLO_URL,
    logout_request,
    logout_response,
    pack,
    read_message,
    signed_query,
)
from tests.builders.service_keys import make_service_keys

OURS = "https://broker.example/t/acme/saml/adfs/slo"
ENTITY_ID = "https://broker.example/t/acme/saml/adfs/metadata"


def logout(**settings: Any) -> Any:
    return SamlConnector().upstream_logout(SamlIdentityProvider().config(slo_url=SLO_URL, **settings), {})


def read(query: str, **settings: Any) -> SignOutOrder:
    message = SignOutMessage(our_url=OURS, entity_id=ENTITY_ID, query_string=query)
    return logout(**settings).read_order(message, make_deps())


def assert_refused(query: str, reason: str) -> None:
    with pytest.raises(ConnectorError) as caught:
        read(query)
    assert caught.value.code == reason, caught.value
    twin = read(signed_query(pack(logout_request(OURS, sessions=["_s1"]))))
    assert (twin.issuer, twin.person, twin.sessions) == (IDP_ENTITY_ID, "u-1", ("_s1",))


# --- the signature -----------------------------------------------------------------------------------


def honest() -> str:
    return signed_query(pack(logout_request(OURS, sessions=["_s1"])))


def without(name: str) -> str:
    return "&".join(pair for pair in honest().split("&") if not pair.startswith(f"{name}="))


def replaced(name: str, value: str) -> str:
    return "&".join(
        f"{name}={quote_plus(value)}" if pair.startswith(f"{name}=") else pair for pair in honest().split("&")
    )


def another_person() -> str:
    return replaced("SAMLRequest", pack(logout_request(OURS, name_id="u-2")))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda: without("Signature"), "signature_invalid", id="S51-no-signature"),
        pytest.param(lambda: without("SigAlg"), "signature_invalid", id="S51-no-algorithm"),
        pytest.param(lambda: replaced("Signature", ""), "signature_invalid", id="S51-empty-signature"),
        pytest.param(lambda: replaced("Signature", "AAAA"), "signature_invalid", id="S51-short-signature"),
        pytest.param(lambda: replaced("Signature", "!"), "document_refused", id="S51-signature-not-base64"),
        pytest.param(another_person, "signature_invalid", id="S51-another-message"),
        pytest.param(lambda: replaced("RelayState", "x"), "signature_invalid", id="S51-another-relay-state"),
        pytest.param(lambda: without("RelayState"), "signature_invalid", id="S51-relay-state-taken-out"),
        pytest.param(
            lambda: signed_query(pack(logout_request(OURS)), key_name="attacker"),
            "signature_invalid",
            id="S51-another-key",
        ),
        pytest.param(
            lambda: signed_query(
                pack(logout_request(OURS)), algorithm="http://www.w3.org/2000/09/xmldsig#rsa-sha1"
            ),
            "algorithm_refused",
            id="S51-sha1",
        ),
        pytest.param(
            lambda: replaced("SigAlg", "http://www.w3.org/2000/09/xmldsig#hmac-sha1"),
            "algorithm_refused",
            id="S51-hmac",
        ),
        pytest.param(
            lambda: replaced("SigAlg", RSA_SHA256.replace("rsa-sha256", "ecdsa-sha256")),
            "signature_invalid",
            id="S51-algorithm-of-another-key-type",
        ),
        pytest.param(lambda: f"{honest()}&SAMLRequest=x", "callback_malformed", id="S51-message-twice"),
        pytest.param(lambda: f"{honest()}&SAMLResponse=x", "callback_malformed", id="S51-both-messages"),
        pytest.param(lambda: without("SAMLRequest"), "callback_malformed", id="S51-no-message"),
        pytest.param(lambda: "", "callback_malformed", id="S51-nothing"),
    ],
)
def test_S51_a_message_that_the_provider_did_not_sign_ends_nothing(
    make: Callable[[], str], reason: str
) -> None:
    assert_refused(make(), reason)


def test_twin_the_octets_are_verified_as_they_were_sent() -> None:
    document = pack(logout_request(OURS))
    assert read(signed_query(document, lower_case=True)).person == "u-1"
    assert read(signed_query(document, relay_state="")).person == "u-1"
    # What the binding does not know is not signed, and not looked at.
    assert read("utm=1&" + signed_query(document)).person == "u-1"


def test_twin_any_certificate_of_the_connection_verifies() -> None:
    certificates = [key_and_certificate(name)[1].decode() for name in ("new", "idp")]
    assert read(honest(), certificates=certificates).person == "u-1"


# --- what it says ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"issuer": "https://evil.example"}, "issuer_mismatch", id="S51-issuer"),
        pytest.param({"issuer": None}, "issuer_mismatch", id="S51-no-issuer"),
        pytest.param({"issuer": IDP_ENTITY_ID + "/"}, "issuer_mismatch", id="S51-longer-issuer"),
        pytest.param({"Destination": OURS + "/x"}, "recipient_mismatch", id="S51-longer-destination"),
        pytest.param(
            {"Destination": OURS.replace("/acme/", "/beta/")}, "recipient_mismatch", id="S51-other-tenant"
        ),
        pytest.param({"Destination": None}, "recipient_mismatch", id="S51-no-destination"),
        pytest.param({"IssueInstant": None}, "claim_missing", id="S51-no-time"),
        pytest.param({"IssueInstant": "today"}, "claim_invalid", id="S51-time-unreadable"),
        pytest.param({"IssueInstant": instant(NOW - 661)}, "expired", id="S51-old"),
        pytest.param({"IssueInstant": instant(NOW + 61)}, "not_yet_valid", id="S51-future"),
        pytest.param({"NotOnOrAfter": instant(NOW - 61)}, "expired", id="S51-not-on-or-after"),
        pytest.param({"NotOnOrAfter": "never"}, "claim_invalid", id="S51-not-on-or-after-unreadable"),
        pytest.param({"Version": "1.1"}, "claim_invalid", id="S51-version"),
        pytest.param({"ID": None}, "claim_invalid", id="S51-no-id"),
        pytest.param({"ID": "_" * 300}, "claim_invalid", id="S51-long-id"),
        pytest.param({"name_id": None}, "claim_missing", id="S51-nobody-named"),
        pytest.param({"name_id": ""}, "claim_invalid", id="S51-empty-name"),
        pytest.param({"name_id": "u-1\u202e"}, "claim_invalid", id="S51-invisible-name"),
        pytest.param({"sessions": [""]}, "claim_invalid", id="S51-empty-session"),
        pytest.param({"sessions": ["_s"] * 51}, "claim_invalid", id="S51-many-sessions"),
    ],
)
def test_S51_a_signed_message_that_says_something_else_ends_nothing(
    changes: dict[str, Any], reason: str
) -> None:
    assert_refused(signed_query(pack(logout_request(OURS, **changes))), reason)


def with_two_names(document: bytes) -> bytes:
    name = document[document.index(b"<saml:NameID") : document.index(b"</saml:NameID>") + 14]
    return document.replace(name, name + name.replace(b"u-1", b"u-2"))


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        pytest.param(with_two_names, "claim_missing", id="S51-two-names"),
        pytest.param(
            lambda one: one.replace(b"u-1<", b"u-<saml:x/>1<"), "claim_invalid", id="S51-name-with-element"
        ),
        pytest.param(
            lambda one: one.replace(b">u-1<", b">u-1<!-- x -->.evil<"), "document_refused", id="S24-comment"
        ),
        pytest.param(lambda one: b"<!DOCTYPE x>" + one, "document_refused", id="S51-dtd"),
        pytest.param(lambda one: one[:-5], "document_refused", id="S51-cut-off"),
        pytest.param(
            lambda one: one.replace(b"NameID", b"EncryptedID"), "claim_missing", id="S51-encrypted-name"
        ),
        pytest.param(
            lambda one: one.replace(b"LogoutRequest", b"LogoutResponse"), "claim_invalid", id="S51-other-kind"
        ),
    ],
)
def test_S51_a_signed_message_of_another_shape_ends_nothing(
    bend: Callable[[bytes], bytes], reason: str
) -> None:
    assert_refused(signed_query(pack(bend(logout_request(OURS)))), reason)


@pytest.mark.parametrize("is_signed", [True, False])
def test_S31_a_deflate_bomb_is_refused_at_once(is_signed: bool) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = b" " * (1 << 20)
    bomb = b"".join([*(packer.compress(block) for _ in range(30)), packer.flush()])
    query = signed_query(
        base64.b64encode(bomb).decode(), key_name="idp" if is_signed else "attacker", relay_state=""
    )

    def refuse() -> None:
        with pytest.raises(ConnectorError) as caught:
            read(query)
        assert caught.value.code == ("document_refused" if is_signed else "signature_invalid")

    assert cpu_seconds(refuse) < 0.05


@pytest.mark.parametrize("tail", [b"x", zlib.compress(b"<x/>", wbits=-15)])
def test_S31_something_behind_the_message_is_refused(tail: bytes) -> None:
    packed = zlib.compress(logout_request(OURS), wbits=-15) + tail
    assert_refused(signed_query(base64.b64encode(packed).decode()), "document_refused")


def test_S51_the_mark_outlives_every_moment_at_which_the_request_is_accepted() -> None:
    order = read(signed_query(pack(logout_request(OURS, ID="_once", IssueInstant=instant(NOW + 60)))))
    assert order.mark.key == f"{IDP_ENTITY_ID}|_once"
    assert order.mark.expires_at >= NOW + 60 + 600 + 60


# --- what we send ------------------------------------------------------------------------------------

UPSTREAM = {
    "name_id": "u-1",
    "name_id_format": "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
    "sp_name_qualifier": ENTITY_ID,
    "session_index": "_s1",
}


def begin() -> tuple[str, dict[str, str]]:
    request = SignOutRequest(return_url=OURS, flow_id="flow-1", upstream=UPSTREAM, entity_id=ENTITY_ID)
    begun = logout().begin_sign_out(request, make_deps(keys=make_service_keys()))
    return begun.redirect_url, dict(begun.private)


def complete(query: str, private: dict[str, str], **settings: Any) -> None:
    message = SignOutMessage(our_url=OURS, entity_id=ENTITY_ID, query_string=query)
    logout(**settings).complete_sign_out(message, private, make_deps())


def answer(in_response_to: str, relay_state: str = "flow-1", **changes: Any) -> str:
    document = logout_response(OURS, in_response_to, **changes)
    return signed_query(pack(document), parameter="SAMLResponse", relay_state=relay_state)


def test_our_request_names_person_and_session_and_is_signed() -> None:
    url, private = begin()
    assert url.startswith(SLO_URL + "?SAMLRequest=")
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert (query["RelayState"], query["SigAlg"]) == ("flow-1", RSA_SHA256)
    assert query["Signature"]
    root = read_message(url)
    assert (root.get("ID"), root.get("Destination")) == (private["request_id"], SLO_URL)
    assert [child.text for child in root] == [ENTITY_ID, "u-1", "_s1"]
    assert dict(root[1].attrib) == {
        "Format": UPSTREAM["name_id_format"],
        "SPNameQualifier": ENTITY_ID,
    }


def test_nothing_is_sent_to_a_provider_that_takes_no_message() -> None:
    request = SignOutRequest(return_url=OURS, flow_id="flow-1", upstream=UPSTREAM, entity_id=ENTITY_ID)
    deps = make_deps(keys=make_service_keys())
    silent = SamlConnector().upstream_logout(SamlIdentityProvider().config(), {})
    assert silent.begin_sign_out(request, deps) is None
    order = silent.read_order(SignOutMessage(our_url=OURS, query_string=honest()), deps)
    assert silent.answer_order(order, SignOutMessage(our_url=OURS, query_string=honest()), deps) == ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"in_response_to": "_other"}, "request_mismatch", id="S51-answer-to-another-request"),
        pytest.param({"relay_state": "flow-2"}, "state_mismatch", id="S51-answer-of-another-flow"),
        pytest.param({"issuer": "https://evil.example"}, "issuer_mismatch", id="S51-answers-issuer"),
        pytest.param({"Destination": "https://other.example"}, "recipient_mismatch", id="S51-destination"),
        pytest.param({"status": "urn:x:Responder"}, "upstream_refused", id="S51-status"),
        pytest.param({"now": NOW - 661}, "expired", id="S51-old-answer"),
    ],
)
def test_S51_an_answer_that_does_not_fit_is_not_believed(changes: dict[str, Any], reason: str) -> None:
    _, private = begin()
    with pytest.raises(ConnectorError) as caught:
        complete(answer(**{"in_response_to": private["request_id"], **changes}), private)
    assert caught.value.code == reason, caught.value
    complete(answer(private["request_id"]), private)


def test_S51_an_unsigned_answer_is_not_believed() -> None:
    _, private = begin()
    query = answer(private["request_id"])
    with pytest.raises(ConnectorError, match="signature_invalid"):
        complete(query.partition("&SigAlg")[0], private)
    complete(query, private)


def test_entra_answers_in_its_other_name_of_the_same_directory_only() -> None:
    tenants = [f"{digit * 8}-1111-1111-1111-111111111111" for digit in "12"]
    settings = {"idp_entity_id": f"https://sts.windows.net/{tenants[0]}/"}
    _, private = begin()
    for tenant, is_ours in ((tenants[1], False), (tenants[0], True)):
        issuer = f"https://login.microsoftonline.com/{tenant}/"
        if is_ours:
            complete(answer(private["request_id"], issuer=issuer), private, **settings)
        else:
            with pytest.raises(ConnectorError, match="issuer_mismatch"):
                complete(answer(private["request_id"], issuer=issuer), private, **settings)

"""What a well-signed answer must still say: every condition that python3-saml leaves open, and replay."""

import threading
from dataclasses import replace

import pytest
from lxml import etree

from idp_connectors.base import ConnectorError, LoginRequest
from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.saml import SamlConnector
from tests.builders.connector_deps import NOW, SpentKeys, make_deps
from tests.builders.saml_idp import (
    ACS_URL,
    ENTITY_ID,
    IDP_ENTITY_ID,
    SAML,
    SAMLP,
    SamlIdentityProvider,
    find,
    instant,
)

LOGIN = LoginRequest(
    base_url="https://broker.example", callback_url=ACS_URL, entity_id=ENTITY_ID, flow_id="flow-handle-1"
)
CONFIRMATION = "//saml:SubjectConfirmationData"
CONDITIONS = "//saml:Conditions"
STATEMENT = "//saml:AuthnStatement"
FOREIGN_URLS = [
    ACS_URL + "/",
    ACS_URL + ".evil.example",
    ACS_URL[:-1],
    ACS_URL.upper(),
    ACS_URL.replace("https", "http"),
    ACS_URL.replace("broker.example", "broker.example:443"),
    ACS_URL.replace("broker.example", "broker.example."),
    f"https://evil.example/?u={ACS_URL}",
    f" {ACS_URL}",
    "",
]


def sign_in(idp: SamlIdentityProvider, **settings: object):
    response_only = idp.sign_response and not idp.sign_assertion
    settings = {"assertion_signed": not response_only, "response_signed": response_only} | settings
    login, deps = SamlConnector().interactive(idp.config(**settings), {}), make_deps()
    return login.complete(idp.sign_in(login.begin(LOGIN, deps)), deps)


def assert_refused(idp: SamlIdentityProvider, *codes: Code, **settings: object) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        sign_in(idp, **settings)
    assert caught.value.code in codes, caught.value
    return caught.value


def bent(path: str, name: str, value: str | None, **kwargs: bool) -> SamlIdentityProvider:
    """A provider that signs an answer in which one attribute has another value (None: is absent)."""
    idp = SamlIdentityProvider(**kwargs)

    def change(root: etree._Element) -> None:
        node = find(root, path)
        node.attrib.pop(name, None)
        if value is not None:
            node.set(name, value)

    idp.bend = change
    return idp


def without(path: str) -> SamlIdentityProvider:
    idp = SamlIdentityProvider()

    def remove(root: etree._Element) -> None:
        node = find(root, path)
        node.getparent().remove(node)

    idp.bend = remove
    return idp


def with_text(path: str, text: str) -> SamlIdentityProvider:
    idp = SamlIdentityProvider()
    idp.bend = lambda root: setattr(find(root, path), "text", text)
    return idp


def test_the_valid_twin_signs_in():
    identity = sign_in(SamlIdentityProvider())
    assert (identity.issuer, identity.subject_kind, identity.subject) == (IDP_ENTITY_ID, "nameid", "u-1")


@pytest.mark.parametrize("url", [None, *FOREIGN_URLS])
def test_s35_another_recipient_is_refused(url: str | None):
    assert_refused(bent(CONFIRMATION, "Recipient", url), Code.RECIPIENT_MISMATCH)


@pytest.mark.parametrize("url", FOREIGN_URLS)
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned-response", "signed-response"])
def test_s35_another_destination_is_refused(url: str, signed: bool):
    assert_refused(bent("/samlp:Response", "Destination", url, sign_response=signed), Code.RECIPIENT_MISMATCH)


def test_s35_a_signed_response_must_name_its_destination():
    assert_refused(bent("/samlp:Response", "Destination", None, sign_response=True), Code.RECIPIENT_MISMATCH)
    # Without a signature the attribute proves nothing; the signed Recipient does the work.
    assert sign_in(bent("/samlp:Response", "Destination", None)).subject == "u-1"


@pytest.mark.parametrize("value", [None, "", "_other"], ids=["missing", "empty", "foreign"])
def test_s33_the_signed_confirmation_must_answer_the_pending_request(value: str | None):
    idp = bent(CONFIRMATION, "InResponseTo", value)
    assert_refused(idp, Code.REQUEST_MISMATCH)


def test_s33_neither_side_answering_a_request_is_refused():
    idp = SamlIdentityProvider()

    def change(root: etree._Element) -> None:
        root.attrib.pop("InResponseTo")
        find(root, CONFIRMATION).attrib.pop("InResponseTo")

    idp.bend = change
    assert_refused(idp, Code.REQUEST_MISMATCH)


def test_s33_a_foreign_request_on_the_response_is_refused():
    assert_refused(bent("/samlp:Response", "InResponseTo", "_other"), Code.REQUEST_MISMATCH)
    # The unsigned attribute may be absent: it would prove nothing.
    assert sign_in(bent("/samlp:Response", "InResponseTo", None)).subject == "u-1"


def test_s33_s34_an_answer_without_a_pending_request_is_refused():
    idp, deps = SamlIdentityProvider(), make_deps()
    login = SamlConnector().interactive(idp.config(), {})
    callback = idp.sign_in(login.begin(LOGIN, deps))
    with pytest.raises(ConnectorError) as caught:
        login.complete(replace(callback, private={"relay_state": LOGIN.flow_id}), deps)
    assert caught.value.code == Code.REQUEST_MISMATCH


def test_s33_an_answer_for_another_browsers_request_is_refused():
    idp, deps = SamlIdentityProvider(), make_deps()
    login = SamlConnector().interactive(idp.config(), {})
    mine, theirs = login.begin(LOGIN, deps), login.begin(LOGIN, deps)
    with pytest.raises(ConnectorError) as caught:
        login.complete(replace(idp.sign_in(theirs), private=mine.private), deps)
    assert caught.value.code == Code.REQUEST_MISMATCH


@pytest.mark.parametrize(
    "idp",
    [
        pytest.param(without("//saml:AudienceRestriction"), id="S36-missing"),
        pytest.param(with_text("//saml:Audience", "https://other.example"), id="S36-other"),
        pytest.param(with_text("//saml:Audience", ENTITY_ID.replace("con_1", "con_2")), id="S36-sibling"),
        pytest.param(with_text("//saml:Audience", ENTITY_ID + "/"), id="S36-suffix"),
        pytest.param(with_text("//saml:Audience", ENTITY_ID.upper()), id="S36-case"),
    ],
)
def test_s36_another_audience_is_refused(idp: SamlIdentityProvider):
    assert_refused(idp, Code.AUDIENCE_MISMATCH)


@pytest.mark.parametrize("second", [ENTITY_ID, "https://other.example"], ids=["ours", "other"])
def test_s36_two_restrictions_are_refused(second: str):
    idp = SamlIdentityProvider()

    def add(root: etree._Element) -> None:
        restriction = etree.SubElement(find(root, CONDITIONS), f"{{{SAML}}}AudienceRestriction")
        etree.SubElement(restriction, f"{{{SAML}}}Audience").text = second

    idp.bend = add
    assert_refused(idp, Code.AUDIENCE_MISMATCH)


@pytest.mark.parametrize(
    ("path", "name", "value", "code"),
    [
        pytest.param(CONDITIONS, "NotOnOrAfter", None, Code.CLAIM_MISSING, id="S37-conditions-endless"),
        pytest.param(CONFIRMATION, "NotOnOrAfter", None, Code.CLAIM_MISSING, id="S37-confirmation-endless"),
        pytest.param(CONDITIONS, "NotOnOrAfter", instant(NOW - 60), Code.EXPIRED, id="S37-conditions-past"),
        pytest.param(
            CONFIRMATION, "NotOnOrAfter", instant(NOW - 60), Code.EXPIRED, id="S37-confirmation-past"
        ),
        pytest.param(
            CONDITIONS, "NotOnOrAfter", instant(NOW + 4561), Code.NOT_YET_VALID, id="S37-76-minutes"
        ),
        pytest.param(
            CONFIRMATION, "NotOnOrAfter", instant(NOW + 661), Code.NOT_YET_VALID, id="S37-11-minutes"
        ),
        pytest.param(
            CONDITIONS, "NotBefore", instant(NOW + 61), Code.NOT_YET_VALID, id="S37-conditions-future"
        ),
        pytest.param(CONFIRMATION, "NotBefore", instant(NOW + 61), Code.NOT_YET_VALID, id="S37-conf-future"),
        pytest.param(CONDITIONS, "NotOnOrAfter", "2027-01-15T08:05:00", Code.CLAIM_INVALID, id="S37-no-zone"),
        pytest.param(
            CONDITIONS, "NotOnOrAfter", "2027-01-15T10:05:00+02:00", Code.CLAIM_INVALID, id="S37-zone"
        ),
        pytest.param(CONDITIONS, "NotOnOrAfter", "tomorrow", Code.CLAIM_INVALID, id="S37-words"),
        pytest.param(
            STATEMENT, "SessionNotOnOrAfter", instant(NOW - 60), Code.EXPIRED, id="S37-session-past"
        ),
        pytest.param(
            STATEMENT, "AuthnInstant", instant(NOW + 61), Code.NOT_YET_VALID, id="S37-instant-future"
        ),
    ],
)
def test_s37_times_that_do_not_fit_are_refused(path: str, name: str, value: str | None, code: Code):
    assert_refused(bent(path, name, value), code)


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        pytest.param(CONDITIONS, "NotOnOrAfter", instant(NOW - 59), id="conditions-within-skew"),
        pytest.param(CONFIRMATION, "NotOnOrAfter", instant(NOW - 59), id="confirmation-within-skew"),
        pytest.param(CONDITIONS, "NotBefore", instant(NOW + 60), id="future-within-skew"),
        pytest.param(CONDITIONS, "NotOnOrAfter", instant(NOW + 70 * 60), id="70-minutes"),
        pytest.param(CONDITIONS, "NotOnOrAfter", instant(NOW + 60)[:-1] + ".123Z", id="milliseconds"),
        pytest.param(STATEMENT, "SessionNotOnOrAfter", instant(NOW + 3600), id="session-ahead"),
    ],
)
def test_s37_times_within_the_rules_are_accepted(path: str, name: str, value: str):
    assert sign_in(bent(path, name, value)).subject == "u-1"


def test_a_longer_confirmation_is_a_setting_of_the_connection():
    idp = bent(CONFIRMATION, "NotOnOrAfter", instant(NOW + 3600))
    assert_refused(idp, Code.NOT_YET_VALID)
    assert sign_in(idp, confirmation_minutes=60).subject == "u-1"


@pytest.mark.parametrize("path", [CONDITIONS, "//saml:Subject", "//saml:SubjectConfirmation", CONFIRMATION])
def test_s38_an_element_that_must_be_there_is_missed(path: str):
    assert_refused(without(path), Code.CLAIM_MISSING, Code.CLAIM_INVALID)


def test_a_second_confirmation_is_refused():
    idp = SamlIdentityProvider()

    def add(root: etree._Element) -> None:
        method = "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"
        etree.SubElement(find(root, "//saml:Subject"), f"{{{SAML}}}SubjectConfirmation", {"Method": method})

    idp.bend = add
    assert_refused(idp, Code.CLAIM_INVALID)


def test_a_holder_of_key_confirmation_is_refused():
    method = "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"
    idp = bent("//saml:SubjectConfirmation", "Method", method)
    assert_refused(idp, Code.CLAIM_INVALID)


@pytest.mark.parametrize(
    "issuer", [IDP_ENTITY_ID + "/", IDP_ENTITY_ID.upper(), "https://other.example", ""], ids=str
)
@pytest.mark.parametrize("path", ["/samlp:Response/saml:Issuer", "//saml:Assertion/saml:Issuer"])
def test_s39_another_issuer_is_refused(path: str, issuer: str):
    assert_refused(with_text(path, issuer), Code.ISSUER_MISMATCH)


def test_s39_an_issuer_of_another_format_is_refused():
    idp = bent(
        "//saml:Assertion/saml:Issuer", "Format", "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
    )
    assert_refused(idp, Code.ISSUER_MISMATCH)
    entity = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
    assert sign_in(bent("//saml:Assertion/saml:Issuer", "Format", entity)).subject == "u-1"


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned-response", "signed-response"])
def test_s41_any_status_but_success_is_refused(signed: bool):
    failed = "urn:oasis:names:tc:SAML:2.0:status:Responder"
    assert_refused(bent("//samlp:StatusCode", "Value", failed, sign_response=signed), Code.UPSTREAM_REFUSED)


def test_s41_a_nested_status_is_refused():
    idp = SamlIdentityProvider()
    value = "urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"
    idp.bend = lambda root: etree.SubElement(
        find(root, "//samlp:StatusCode"), f"{{{SAMLP}}}StatusCode", {"Value": value}
    )
    assert_refused(idp, Code.UPSTREAM_REFUSED)


def test_s41_a_missing_status_is_refused():
    assert_refused(without("//samlp:Status"), Code.UPSTREAM_REFUSED)


def test_s32_an_assertion_works_once():
    idp, spend = SamlIdentityProvider(), SpentKeys()
    login, deps = SamlConnector().interactive(idp.config(), {}), make_deps(spend=spend)
    callback = idp.sign_in(login.begin(LOGIN, deps))
    assert login.complete(callback, deps).subject == "u-1"
    with pytest.raises(ConnectorError) as caught:
        login.complete(callback, deps)
    assert caught.value.code == Code.REPLAYED
    key = f"{ENTITY_ID}|{IDP_ENTITY_ID}|_assertion1"
    assert spend.until == {("saml_assertion", key): NOW + 300 + 60}


def test_s32_of_many_at_once_exactly_one_signs_in():
    idp, lock, spent = SamlIdentityProvider(), threading.Lock(), SpentKeys()

    def spend(kind: str, key: str, expires_at: int) -> bool:
        with lock:
            return spent(kind, key, expires_at)

    login, deps = SamlConnector().interactive(idp.config(), {}), make_deps(spend=spend)
    callback, results = idp.sign_in(login.begin(LOGIN, deps)), []

    def attempt() -> None:
        try:
            results.append(login.complete(callback, deps).subject)
        except ConnectorError as error:
            results.append(error.code)

    threads = [threading.Thread(target=attempt) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(results) == sorted(["u-1"] + [Code.REPLAYED] * 15)


def test_s32_the_memory_lasts_as_long_as_the_assertion_could():
    idp, spend = bent(CONDITIONS, "NotOnOrAfter", instant(NOW + 4000)), SpentKeys()
    login, deps = SamlConnector().interactive(idp.config(), {}), make_deps(spend=spend)
    login.complete(idp.sign_in(login.begin(LOGIN, deps)), deps)
    assert list(spend.until.values()) == [NOW + 4060]


def test_a_refused_assertion_is_not_used_up():
    idp, spend = bent(CONFIRMATION, "Recipient", ACS_URL + "/x"), SpentKeys()
    login, deps = SamlConnector().interactive(idp.config(), {}), make_deps(spend=spend)
    with pytest.raises(ConnectorError):
        login.complete(idp.sign_in(login.begin(LOGIN, deps)), deps)
    assert spend.until == {}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("u\u200b-1", id="S28-zero-width"),
        pytest.param("u\u202e-1", id="S28-right-to-left"),
        pytest.param("u\n-1", id="S28-newline"),
        pytest.param(" ", id="S28-blank"),
        pytest.param("", id="S28-empty"),
        pytest.param("u" * 256, id="S28-long"),
    ],
)
def test_s28_unclean_names_are_refused(name: str):
    assert_refused(with_text("//saml:NameID", name), Code.CLAIM_INVALID)


def test_s28_two_spellings_are_two_people():
    composed, decomposed = "\u00e9va", "e\u0301va"
    assert sign_in(with_text("//saml:NameID", composed)).subject == composed
    assert sign_in(with_text("//saml:NameID", decomposed)).subject == decomposed


def test_unknown_conditions_are_refused():
    idp = SamlIdentityProvider()

    def add(root: etree._Element) -> None:
        name = "{http://www.w3.org/2001/XMLSchema-instance}type"
        condition = etree.SubElement(find(root, CONDITIONS), f"{{{SAML}}}Condition", nsmap={"x": "urn:x"})
        condition.set(name, "x:Whatever")

    idp.bend = add
    assert_refused(idp, Code.CLAIM_INVALID)
    once = SamlIdentityProvider()
    once.bend = lambda root: etree.SubElement(find(root, CONDITIONS), f"{{{SAML}}}OneTimeUse")
    assert sign_in(once).subject == "u-1"


def test_a_refusal_without_an_assertion_is_told_as_one():
    message = "AADSTS50105: The signed in user is not assigned to a role for the application."

    def refuse(root):
        status = find(root, "samlp:Status")
        etree.SubElement(status, f"{{{SAMLP}}}StatusMessage").text = message
        find(root, "samlp:Status/samlp:StatusCode").set(
            "Value", "urn:oasis:names:tc:SAML:2.0:status:Requester"
        )
        root.remove(find(root, "saml:Assertion"))

    def only_without(root):
        root.remove(find(root, "saml:Assertion"))

    refused = SamlIdentityProvider(sign_assertion=False, bend=refuse)
    assert message in assert_refused(refused, Code.UPSTREAM_REFUSED).detail
    # The twin that claims success and brings nobody is no refusal, but no answer either.
    assert_refused(SamlIdentityProvider(sign_assertion=False, bend=only_without), Code.DOCUMENT_REFUSED)

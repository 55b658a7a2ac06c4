"""Which claim fills which field, which texts are usable, and who vouches for an address."""

import pytest

from idp_connectors.claim_mapping import pick
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.identity_rules import email_verified_by, is_clean_text, require_subject


@pytest.mark.parametrize(
    ("claims", "preferred", "found"),
    [
        ({"mail": ["a@x.example", "b@x.example"]}, "", "a@x.example"),
        ({"email": " a@x.example "}, "", "a@x.example"),
        ({"email": "", "mail": "b@x.example"}, "", "b@x.example"),
        ({"email": "a@x.example", "contact": "c@x.example"}, "contact", "c@x.example"),
        ({"email": 5, "urn:oid:0.9.2342.19200300.100.1.3": ["d@x.example"]}, "", "d@x.example"),
        ({"email": []}, "", ""),
        ({}, "missing", ""),
    ],
)
def test_the_first_usable_name_wins(claims: dict[str, object], preferred: str, found: str):
    assert pick("email", claims, preferred) == found


@pytest.mark.parametrize("text", ["Ada Lovelace", "\u00c9va", "\u674e", "a+b@x.example", ""])
def test_ordinary_text_is_clean(text: str):
    assert is_clean_text(text)


@pytest.mark.parametrize("text", ["a\x00", "a\n", "a\u200b", "a\u202e", "a\ud800", "a\u2028", "\ufeffa"])
def test_invisible_text_is_not(text: str):
    assert not is_clean_text(text)


def test_a_subject_is_taken_as_it_is():
    assert require_subject("AdA", "sub") == "AdA"
    assert require_subject("u" * 255, "sub")


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, ConnectorErrorCode.CLAIM_MISSING),
        ("", ConnectorErrorCode.CLAIM_INVALID),
        ("\u00a0", ConnectorErrorCode.CLAIM_INVALID),
        ("u" * 256, ConnectorErrorCode.CLAIM_INVALID),
        (7, ConnectorErrorCode.CLAIM_INVALID),
        (["u"], ConnectorErrorCode.CLAIM_INVALID),
    ],
)
def test_other_subjects_are_refused(value: object, code: ConnectorErrorCode):
    with pytest.raises(ConnectorError) as caught:
        require_subject(value, "sub")
    assert (caught.value.code, caught.value.field) == (code, "sub")


@pytest.mark.parametrize(
    ("email", "asserted", "voucher"),
    [
        ("a@corp.example", None, "idp_verified_domain"),
        ("a@CORP.example", True, "idp_verified_domain"),
        ("a@corp.example", False, "none"),
        ("a@corp.example.evil.example", True, "idp_asserted"),
        ("a@evilcorp.example", None, "none"),
        ('"a@corp.example"@evil.example', None, "none"),
        ("", True, "none"),
    ],
)
def test_who_vouches_for_an_address(email: str, asserted: bool | None, voucher: str):
    assert email_verified_by(email, ["Corp.example"], asserted=asserted) == voucher

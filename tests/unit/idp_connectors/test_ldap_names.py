"""Distinguished names, filters and identifiers of directories."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap3.operation.search import parse_filter

from idp_connectors.ldap.filters import all_of, any_of, equals, escape_value, in_chain, is_filter
from idp_connectors.ldap.identifiers import (
    check_subject,
    guid_text,
    primary_group_sid,
    read_subject,
    sid_octets,
    sid_text,
    subject_value,
)
from idp_connectors.ldap.names import canonical_dn, escape_dn_value, is_within, parse_dn


@given(st.text())
def test_a_value_in_a_name_is_read_back_as_it_was(value: str):
    assert parse_dn(f"cn={escape_dn_value(value)},dc=corp") == ((("cn", value),), (("dc", "corp"),))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ('James "Jim" Smith, III', r"James \"Jim\" Smith\, III"),
        ("#1 group ", r"\#1 group\ "),
        ("Before\rAfter\0", "Before\rAfter\\00"),
        ("Lučić", "Lučić"),
    ],
)
def test_values_are_written_as_rfc_4514_shows(value: str, written: str):
    assert escape_dn_value(value) == written


def test_escapes_and_several_pairs_in_one_step_are_read():
    assert parse_dn(r"OU=Sales+CN=J.  Smith, DC=ex\2Cample,DC=Lu\C4\8Di\C4\87") == (
        (("cn", "J.  Smith"), ("ou", "Sales")),
        (("dc", "ex,ample"),),
        (("dc", "Lučić"),),
    )
    assert parse_dn("  ") == ()


@pytest.mark.parametrize(
    "text", ["cn", "=x", "cn=a,", "cn=a\\", r"cn=a\xx", 'cn="a"', "cn=a,,dc=b", "cn=a\0"]
)
def test_names_that_are_none_are_refused(text: str):
    with pytest.raises(ValueError):
        parse_dn(text)


def test_spellings_of_one_name_compare_equal():
    spellings = ["CN=Ada  Lovelace, DC=Corp", r"cn=ada lovelace,dc=\63orp", "cn = ADA LOVELACE ,dc=corp"]
    assert len({canonical_dn(text) for text in spellings}) == 1
    assert canonical_dn("cn=ada,dc=corp") != canonical_dn(r"cn=ada\,dc=corp")


def test_within_is_about_steps_not_about_letters():
    assert is_within("cn=a,OU=People,dc=corp", "ou=people,DC=corp")
    assert is_within("dc=corp", "dc=corp")
    assert is_within("cn=anything", "")
    assert not is_within("cn=a,ou=morepeople,dc=corp", "ou=people,dc=corp")
    assert not is_within(r"cn=a\,ou=people,dc=corp", "ou=people,dc=corp")
    assert not is_within("dc=corp", "ou=people,dc=corp")
    assert not is_within("not a name", "dc=corp")


@given(st.text() | st.binary())
def test_an_escaped_value_is_one_equality_whatever_it_holds(value: str | bytes):
    root = parse_filter(equals("uid", value), None, False, False, None, False)
    (leaf,) = root.elements
    assert leaf.elements == []
    assert leaf.assertion["attr"] == "uid"
    octets = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    sent = leaf.assertion["value"]
    sent = sent.decode() if isinstance(sent, bytes) else sent
    assert escape_value(value) == sent
    plain = [ord(c) if len(c) == 1 else int(c, 16) for c in split_escapes(sent)]
    assert bytes(plain) == octets


def split_escapes(text: str) -> list[str]:
    parts = text.split("\\")
    return [*parts[0], *(piece for part in parts[1:] for piece in (part[:2], *part[2:]))]


def test_filters_are_joined_and_known():
    joined = all_of("(objectClass=group)", any_of([equals("cn", "a"), equals("cn", "b")]))
    assert joined == "(&(objectClass=group)(|(cn=a)(cn=b)))"
    assert in_chain("member", "cn=a") == r"(member:1.2.840.113556.1.4.1941:=cn\3da)"
    assert is_filter(joined)
    assert is_filter("(!(cn=a*))")


@pytest.mark.parametrize(
    "text", ["", "cn=a", "(cn=a", "(cn=a)(cn=b)", "(cn=a))((cn=b)", "(&)", "()", "((cn=a))x"]
)
def test_texts_that_are_no_filter_are_known(text: str):
    assert not is_filter(text)


def test_guids_and_sids_have_the_text_that_windows_shows():
    octets = bytes.fromhex("33221100554477668899aabbccddeeff")
    assert guid_text(octets) == "00112233-4455-6677-8899-aabbccddeeff"
    assert read_subject("objectGUID", octets) == "00112233-4455-6677-8899-aabbccddeeff"
    assert subject_value("objectGUID", "00112233-4455-6677-8899-aabbccddeeff") == octets
    text = "S-1-5-21-2646630852-2943665670-3805103447-1105"
    assert sid_text(sid_octets(text)) == text
    assert sid_text(primary_group_sid(sid_octets(text), 513)) == text[:-4] + "513"
    assert read_subject("entryUUID", b"AF000EDC-7C39-1041-9EB1-CB26FA12F4EA").islower()
    assert check_subject("nsUniqueId", "66446001-1dd211b2-66f5d0b2-c5e27a00")


@pytest.mark.parametrize("octets", [b"", b"\1\2" + b"\0" * 6, b"\2\0" + b"\0" * 6, b"\1\1" + b"\0" * 9])
def test_octets_that_are_no_sid_are_refused(octets: bytes):
    with pytest.raises(ValueError):
        sid_text(octets)


@pytest.mark.parametrize("text", ["S-1-5", "S-1-5-", "S-2-5-1", "S-1-5-4294967296", "s-1-5-21", "S-1-5-1x"])
def test_texts_that_are_no_sid_are_refused(text: str):
    with pytest.raises(ValueError):
        sid_octets(text)


@pytest.mark.parametrize(
    ("attribute", "text"),
    [
        ("entryUUID", "*"),
        ("entryUUID", "AF000EDC-7C39-1041-9EB1-CB26FA12F4EA"),
        ("entryUUID", "{af000edc-7c39-1041-9eb1-cb26fa12f4ea}"),
        ("objectGUID", ""),
        ("nsUniqueId", "66446001-1dd211b2-66f5d0b2"),
    ],
)
def test_subjects_in_another_spelling_are_refused(attribute: str, text: str):
    with pytest.raises(ValueError):
        check_subject(attribute, text)

"""Sealed values open only where they belong, unaltered, under a key that is still there."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.kernel.sealing import SealBroken, Sealer, _create_once, decode_key, read_key

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
CONTEXT = "ten_a/signing_keys/sealed_private/key_1"


@given(st.binary(max_size=2_000), st.text(max_size=80))
def test_what_was_sealed_opens_for_its_context(plaintext: bytes, context: str):
    sealer = Sealer([NEW])
    blob = sealer.seal(plaintext, context)
    assert sealer.open(blob, context) == plaintext
    assert plaintext == b"" or len(plaintext) < 8 or plaintext not in blob


def test_the_same_value_never_looks_the_same():
    sealer = Sealer([NEW])
    assert sealer.seal(b"x", CONTEXT) != sealer.seal(b"x", CONTEXT)


@pytest.mark.parametrize(
    "context",
    [
        pytest.param("ten_b/signing_keys/sealed_private/key_1", id="another-tenant"),
        pytest.param("ten_a/signing_keys/sealed_private/key_2", id="another-row"),
        pytest.param("ten_a/connections/sealed_secrets/key_1", id="another-column"),
        pytest.param("", id="none"),
    ],
)
def test_a_value_that_was_moved_does_not_open(context: str):
    sealer = Sealer([NEW])
    blob = sealer.seal(b"secret", CONTEXT)
    with pytest.raises(SealBroken):
        sealer.open(blob, context)
    assert sealer.open(blob, CONTEXT) == b"secret"


def test_no_altered_byte_and_no_cut_goes_unseen():
    sealer = Sealer([NEW])
    blob = sealer.seal(b"secret", CONTEXT)
    altered = [blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :] for at in range(len(blob))]
    cut = [blob[:size] for size in range(len(blob))]
    for broken in (*altered, *cut, blob + b"\0"):
        with pytest.raises(SealBroken):
            sealer.open(broken, CONTEXT)


def test_parts_of_two_values_do_not_make_a_third():
    sealer = Sealer([NEW])
    one, two = sealer.seal(b"one", CONTEXT), sealer.seal(b"two", CONTEXT)
    head = 1 + 8 + 12 + 32 + 16
    with pytest.raises(SealBroken):
        sealer.open(one[:head] + two[head:], CONTEXT)


def test_a_retired_key_still_opens_and_the_new_one_seals():
    before = Sealer([OLD]).seal(b"secret", CONTEXT)
    both = Sealer([NEW, OLD])
    assert both.open(before, CONTEXT) == b"secret"
    after = both.seal(b"secret", CONTEXT)
    assert Sealer([NEW]).open(after, CONTEXT) == b"secret"
    with pytest.raises(SealBroken):
        Sealer([NEW]).open(before, CONTEXT)


def test_fingerprints_survive_a_change_of_key_and_are_kept_apart_by_purpose():
    assert Sealer([NEW, OLD]).fingerprint("client", "s") == Sealer([OLD]).fingerprint("client", "s")
    assert Sealer([OLD]).fingerprint("client", "s") != Sealer([OLD]).fingerprint("link", "s")
    assert Sealer([OLD]).fingerprint("client", "s") != Sealer([NEW]).fingerprint("client", "s")


@pytest.mark.parametrize("keys", [[], [b"short"], [OLD, b"x" * 31]])
def test_a_key_has_32_bytes(keys: list[bytes]):
    with pytest.raises(ValueError):
        Sealer(keys)


def test_the_key_file_is_made_once_for_its_owner_only(tmp_path: Path):
    path = tmp_path / "data" / "kek"
    made = read_key(path)
    assert read_key(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["kek"]


def test_two_first_starts_agree_on_one_key(tmp_path: Path):
    path = tmp_path / "kek"
    _create_once(path, OLD)
    _create_once(path, NEW)
    assert read_key(path) == OLD
    assert os.listdir(tmp_path) == ["kek"]


def test_a_key_that_others_may_read_is_not_used(tmp_path: Path):
    path = tmp_path / "kek"
    read_key(path)
    path.chmod(0o640)
    with pytest.raises(PermissionError):
        read_key(path)
    path.chmod(0o600)
    assert len(read_key(path)) == 32


@pytest.mark.parametrize("text", ["", "AAAA", "A" * 42, "A" * 44, "*" * 43])
def test_a_text_that_is_no_key_is_refused(text: str):
    with pytest.raises(ValueError):
        decode_key(text)
    assert decode_key("A" * 43) == bytes(32)

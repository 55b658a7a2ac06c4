"""Base64url: one spelling per value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.tokens.encoding import decode, encode


@given(st.binary(max_size=200))
def test_what_was_encoded_comes_back(raw: bytes):
    assert decode(encode(raw).decode()) == raw


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("AA==", id="padding"),
        pytest.param("AB", id="unused-bits"),
        pytest.param("A", id="one-character"),
        pytest.param("AA\n", id="line-break"),
        pytest.param("A A", id="space"),
        pytest.param("+/8", id="other-alphabet"),
        pytest.param("ÀÀ", id="not-ascii"),
    ],
)
def test_another_spelling_is_refused(text: str):
    with pytest.raises(ValueError):
        decode(text)
    assert decode("AA") == b"\0"

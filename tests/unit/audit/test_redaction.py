"""No secret gets into an event, by name or by value, and none grows without bound (T13, T14, A17)."""

import pytest

from broker.audit.redaction import (
    MAX_DATA_BYTES,
    REDACTED,
    SecretInAudit,
    canonical,
    clean_data,
    clean_text,
    is_secret_name,
)

# A value with the shape of a JWT; put together so that scanners of this repository stay calm.
JWT = ".".join(("eyJ" + "hbGciOiJFUzI1NiJ9", "eyJzdWIiOiJ1c3IifQ", "c2lnbmF0dXJl"))


@pytest.mark.parametrize(
    "name",
    [*("token", "access_token", "tokens", "code", "client_secret", "clientSecret", "password", "Cookie"),
     *("set-cookie", "assertion", "client_assertion", "SAMLAssertion", "code_verifier", "id_token_hint"),
     *("Authorization", "private_key", "privateJWK", "user_password", "refreshToken", "authorization_code")],
)  # fmt: skip
def test_a_name_that_holds_a_secret_is_refused_at_any_depth(name: str) -> None:
    assert is_secret_name(name)
    for data in ({name: "x"}, {"outer": {name: "x"}}, {"list": [{name: "x"}]}):
        with pytest.raises(SecretInAudit):
            clean_data(data)


@pytest.mark.parametrize(
    "name",
    [*("token_type", "token_id", "subjectTokenType", "code_id", "secret_count", "grant", "scope", "reason"),
     *("jti", "client_id", "encoded", "tokenized", "secretary", "", "-", "changed_at")],
)  # fmt: skip
def test_a_name_that_describes_is_kept(name: str) -> None:
    assert not is_secret_name(name)
    assert clean_data({name: "x"}) == {name: "x"}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(JWT, id="T14-jwt"),
        pytest.param(f"https://agent.example/cb?x={JWT}", id="T14-jwt-in-address"),
        pytest.param("Bearer 0123456789abcdef", id="T14-bearer"),
        pytest.param("basic Y2xpZW50OnNlY3JldA==", id="T14-basic"),
        pytest.param("-----BEGIN EC PRIVATE KEY-----\nMHc", id="T14-pem"),
    ],
)
def test_a_secret_in_a_value_is_replaced(value: str) -> None:
    assert clean_text(value) == REDACTED
    assert clean_data({"client": value, "list": [value]}) == {"client": REDACTED, "list": [REDACTED]}


def test_an_honest_value_is_kept() -> None:
    text = "https://mcp.tickets.example/mcp, bearer of news"
    assert clean_text(text) == text


def test_text_is_cut_and_made_storable() -> None:
    assert clean_text("x" * 20, 10) == "x" * 9 + "…"
    assert clean_text("a\x00b\ud800c") == "a\ufffdb?c"


def test_a_flood_is_counted_and_not_kept() -> None:
    """T13: a request with thousands of scopes leaves a small event."""
    small, flood = {"scopes": ["a"] * 10}, {"scopes": ["scope"] * 10_000}
    assert clean_data(small) == small
    kept = clean_data(flood)
    assert kept == {"omitted_bytes": len(canonical(flood))}
    assert len(canonical(kept)) < MAX_DATA_BYTES


def test_the_encoding_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical({"b": 1, "a": [True, None, "ü"]}) == '{"a":[true,null,"ü"],"b":1}'.encode()
    assert canonical({"a": [True, None, "ü"], "b": 1}) == canonical({"b": 1, "a": [True, None, "ü"]})

"""Which published keys may verify an ID token, and how often the broker asks for them."""

import threading
from typing import Any

import pytest

from idp_connectors.base import ConnectorError, MemoryCache
from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.oidc.discovery import get_provider_metadata
from idp_connectors.oidc.key_admission import admit_keys
from idp_connectors.oidc.key_source import get_key
from tests.builders.connector_deps import NOW, make_deps
from tests.builders.oidc_op import ISSUER, OpenIdProvider, ec_key, rsa_key
from tests.builders.oidc_rp import sign_in


def public(key: Any, **extra: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), **extra}


def test_the_valid_twins_are_admitted():
    kids = [key.kid for key in admit_keys({"keys": [public(rsa_key()), public(ec_key())]}).keys]
    assert kids == ["rsa-1", "ec-1"]


@pytest.mark.parametrize(
    "unfit",
    [
        pytest.param({"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQ", "kid": "s"}, id="O40-symmetric"),
        pytest.param(rsa_key("leaked").as_dict(private=True), id="O40-private-rsa"),
        pytest.param(ec_key("leaked-ec").as_dict(private=True), id="O40-private-ec"),
        pytest.param(public(ec_key("rsa-1")), id="O05-duplicate-kid"),
        pytest.param("text", id="not-an-object"),
    ],
)
def test_one_such_key_refuses_the_whole_set(unfit: Any):
    with pytest.raises(ConnectorError) as caught:
        admit_keys({"keys": [public(rsa_key()), unfit]})
    assert caught.value.code == Code.KEYS_INVALID


@pytest.mark.parametrize(
    "unused",
    [
        pytest.param(public(rsa_key("small", 1024)), id="O40-rsa-1024"),
        pytest.param(public(rsa_key("other"), use="enc"), id="O40-use-enc"),
        pytest.param(public(rsa_key("other"), key_ops=["encrypt"]), id="O40-key-ops"),
        pytest.param(public(ec_key("k1", "secp256k1")), id="O40-unknown-curve"),
        pytest.param(public(rsa_key("other"), alg="HS256"), id="O40-alg-hmac"),
        pytest.param(public(rsa_key("other"), e="AQ"), id="O40-exponent-one"),
        pytest.param(public(rsa_key("other"), kid=["x"]), id="kid-not-text"),
        pytest.param({"kty": "AKP", "kid": "future"}, id="unknown-type"),
        pytest.param({"kty": "RSA", "kid": "broken", "n": "AQAB"}, id="broken"),
    ],
)
def test_such_keys_are_left_out_and_never_verify(unused: dict[str, Any]):
    assert [key.kid for key in admit_keys({"keys": [unused, public(rsa_key())]}).keys] == ["rsa-1"]
    with pytest.raises(ConnectorError):
        admit_keys({"keys": [unused]})


@pytest.mark.parametrize("keys", [None, {}, [], [{}] * 101], ids=["none", "object", "empty", "101"])
def test_sets_of_a_wrong_size_or_shape_are_refused(keys: Any):
    with pytest.raises(ConnectorError) as caught:
        admit_keys({"keys": keys})
    assert caught.value.code == Code.KEYS_INVALID


def test_a_key_set_of_megabytes_is_refused():
    provider = OpenIdProvider()
    provider.published.append({"kty": "AKP", "padding": "x" * 300_000})
    with pytest.raises(ConnectorError):
        _find(provider, "rsa-1", MemoryCache(), NOW)


def _find(provider: OpenIdProvider, kid: str, cache: MemoryCache, now: int):
    deps = make_deps(provider, now=now, cache=cache)
    return get_key(get_provider_metadata(ISSUER, deps), kid, "RS256", deps)


def _fetches(provider: OpenIdProvider, path: str = "/jwks") -> int:
    return sum(url.endswith(path) for url in provider.requests)


def test_o38_a_cold_cache_is_filled_once_for_many_callers():
    provider, cache, found = OpenIdProvider(), MemoryCache(), []
    threads = [
        threading.Thread(target=lambda: found.append(_find(provider, "rsa-1", cache, NOW))) for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 40
    assert _fetches(provider) == 1
    assert _fetches(provider, "openid-configuration") == 1


def test_o39_unknown_key_ids_cause_one_refresh_in_thirty_seconds():
    provider, cache = OpenIdProvider(), MemoryCache()
    _find(provider, "rsa-1", cache, NOW)
    for number in range(200):
        with pytest.raises(ConnectorError):
            _find(provider, f"invented-{number}", cache, NOW + 30 + number % 30)
    assert _fetches(provider) == 2
    assert _find(provider, "rsa-1", cache, NOW + 59).kid == "rsa-1"


def test_a_new_key_is_found_by_the_refresh():
    provider, cache = OpenIdProvider(), MemoryCache()
    _find(provider, "rsa-1", cache, NOW)
    provider.published = [public(rsa_key("rsa-2"))]
    assert _find(provider, "rsa-2", cache, NOW + 31).kid == "rsa-2"
    with pytest.raises(ConnectorError):
        _find(provider, "rsa-1", cache, NOW + 31)


def test_keys_change_twice_while_people_sign_in() -> None:
    _sign_in_while_keys_change(30, seconds_apart=12)


@pytest.mark.proof
def test_keys_change_twice_during_a_thousand_sign_ins() -> None:
    _sign_in_while_keys_change(1_000, seconds_apart=1)


def _sign_in_while_keys_change(people: int, seconds_apart: int) -> None:
    """A new key signs from the moment in which it is published, and the old one goes; nobody is sent away."""
    provider, cache = OpenIdProvider(), MemoryCache()
    for number in range(people):
        if number in (people // 3, 2 * people // 3):
            provider.key = rsa_key(f"rotated-{number}")
            provider.published = [public(provider.key)]
        now = provider.now = NOW + number * seconds_apart
        identity = sign_in(provider, now=now, cache=cache, sub=f"u-{number}")
        assert identity.subject == f"u-{number}"
    assert _fetches(provider) == 3


def test_o41_the_last_good_set_serves_through_an_outage_of_a_day():
    provider, cache = OpenIdProvider(), MemoryCache()
    _find(provider, "rsa-1", cache, NOW)
    provider.down = {"/jwks", "/.well-known/openid-configuration"}
    assert _find(provider, "rsa-1", cache, NOW + 86_399).kid == "rsa-1"
    with pytest.raises(ConnectorError) as caught:
        _find(provider, "rsa-1", cache, NOW + 86_400)
    assert caught.value.code == Code.UPSTREAM_UNREACHABLE


def test_an_unreachable_provider_is_asked_again_after_five_seconds():
    provider, cache = OpenIdProvider(), MemoryCache()
    provider.down = {"/.well-known/openid-configuration"}
    for moment in (NOW, NOW + 1, NOW + 4):
        with pytest.raises(ConnectorError):
            _find(provider, "rsa-1", cache, moment)
    assert _fetches(provider, "openid-configuration") == 1
    provider.down = set()
    assert _find(provider, "rsa-1", cache, NOW + 5).kid == "rsa-1"


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"issuer": ISSUER + "/"}, id="O42-slash"),
        pytest.param({"issuer": "https://evil.example"}, id="O42-other"),
        pytest.param({"issuer": None}, id="O42-absent"),
        pytest.param({"token_endpoint": "http://op.example/token"}, id="plain-http"),
        pytest.param({"authorization_endpoint": "javascript:alert(1)"}, id="script"),
        pytest.param({"jwks_uri": "https://user@op.example/jwks"}, id="user-name"),
        pytest.param({"jwks_uri": 5}, id="not-text"),
    ],
)
def test_a_discovery_document_that_does_not_fit_is_refused(extra: dict[str, Any]):
    provider = OpenIdProvider()
    assert get_provider_metadata(ISSUER, make_deps(provider)).issuer == ISSUER
    provider.metadata_extra = extra
    with pytest.raises(ConnectorError) as caught:
        get_provider_metadata(ISSUER, make_deps(provider))
    assert caught.value.code == Code.DISCOVERY_INVALID

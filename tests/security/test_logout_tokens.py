"""Attacks on logout tokens (O64), at the connector: each is refused, its twin says who is meant."""

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest

from idp_connectors.base import ConnectorError, SignOutMessage, SignOutOrder
from idp_connectors.oidc import OidcConnector
from tests.builders.connector_deps import NOW, make_deps
from tests.builders.logout import LOGOUT_EVENT, logout_token, rs256
from tests.builders.oidc_op import (
    CLIENT_ID,
    CLIENT_SECRET,
    ISSUER,
    OpenIdProvider,
    compact,
    ec_key,
    rsa_key,
    segment,
)

MAYA = {"sub": "maya", "sid": "sid-1"}
URL = "https://broker.example/t/acme/oidc/okta/backchannel-logout"


def read(provider: OpenIdProvider, token: object, **settings: Any) -> SignOutOrder:
    config = {"issuer": ISSUER, "client_id": CLIENT_ID, **settings}
    logout = OidcConnector().upstream_logout(config, {"client_secret": CLIENT_SECRET})
    form = {"logout_token": token} if isinstance(token, str) else {}
    return logout.read_order(SignOutMessage(our_url=URL, form=form), make_deps(provider))


def assert_refused(provider: OpenIdProvider, token: object, reason: str) -> None:
    with pytest.raises(ConnectorError) as caught:
        read(provider, token)
    assert caught.value.code == reason, caught.value
    # The twin, from the same provider.
    order = read(provider, logout_token(provider, **MAYA))
    assert (order.issuer, order.person, order.sessions) == (ISSUER, "maya", ("sid-1",))


def unsigned(header: dict[str, Any], claims: dict[str, Any], _key: object) -> str:
    return f"{segment({**header, 'alg': 'none'})}.{segment(claims)}."


def signed_with_the_public_key(header: dict[str, Any], claims: dict[str, Any], key: Any) -> str:
    message = f"{segment({**header, 'alg': 'HS256'})}.{segment(claims)}"
    mac = hmac.new(key.as_pem(private=False), message.encode(), hashlib.sha256)
    return f"{message}.{segment(mac.digest())}"


def signed_by_another_key(header: dict[str, Any], claims: dict[str, Any], _key: object) -> str:
    return rs256(header, claims, rsa_key("attacker"))


def signed_by_an_embedded_key(header: dict[str, Any], claims: dict[str, Any], _key: object) -> str:
    own = ec_key("mine")
    return compact({"alg": "ES256", "typ": "logout+jwt", "jwk": own.as_dict(private=False)}, claims, own)


def with_a_repeated_claim(header: dict[str, Any], claims: dict[str, Any], key: Any) -> str:
    return rs256(header, b'{"sub":"noor",' + json.dumps(claims).encode()[1:], key)


def after_signing(header: dict[str, Any], claims: dict[str, Any], key: Any) -> str:
    head, _, signature = rs256(header, {**claims, "sub": "noor"}, key).split(".")
    return f"{head}.{segment(claims)}.{signature}"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"events": None}, "claim_missing", id="O64-no-events"),
        pytest.param({"events": {}}, "claim_missing", id="O64-no-logout-event"),
        pytest.param({"events": {"https://other.example/event": {}}}, "claim_missing", id="O64-other-event"),
        pytest.param({"events": [LOGOUT_EVENT]}, "claim_missing", id="O64-events-a-list"),
        pytest.param({"events": {LOGOUT_EVENT: "x"}}, "claim_missing", id="O64-event-not-an-object"),
        pytest.param({"nonce": "n-1"}, "document_refused", id="O64-nonce"),
        pytest.param({"nonce": ""}, "document_refused", id="O64-empty-nonce"),
        pytest.param({"aud": "another-client"}, "audience_mismatch", id="O64-wrong-aud"),
        pytest.param({"aud": [CLIENT_ID, "another-client"]}, "audience_mismatch", id="O64-shared-aud"),
        pytest.param({"aud": None}, "audience_mismatch", id="O64-no-aud"),
        pytest.param({"iss": "https://evil.example"}, "issuer_mismatch", id="O64-wrong-iss"),
        pytest.param({"iss": "https://op.example/"}, "issuer_mismatch", id="O64-longer-iss"),
        pytest.param({"iss": None}, "issuer_mismatch", id="O64-no-iss"),
        pytest.param({"iat": None}, "claim_missing", id="O64-no-iat"),
        pytest.param({"iat": "now"}, "claim_invalid", id="O64-iat-not-a-time"),
        pytest.param({"jti": None}, "claim_missing", id="O64-no-jti"),
        pytest.param({"jti": 7}, "claim_invalid", id="O64-jti-not-text"),
        pytest.param({"sub": None, "sid": None}, "claim_missing", id="O64-nobody-named"),
        pytest.param({"sub": None, "sid": ""}, "claim_invalid", id="O64-empty-sid"),
        pytest.param({"sid": ["sid-1"]}, "claim_invalid", id="O64-sid-a-list"),
        pytest.param({"sub": "maya\u202e"}, "claim_invalid", id="O64-invisible-sub"),
        pytest.param({"sid": "s" * 513}, "claim_invalid", id="O64-long-sid"),
    ],
)
def test_O64_a_token_that_says_something_else_ends_nothing(changes: dict[str, Any], reason: str) -> None:
    provider = OpenIdProvider()
    assert_refused(provider, logout_token(provider, **{**MAYA, **changes}), reason)


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [
        pytest.param({"exp": -61}, "expired", id="O64-expired"),
        pytest.param({"iat": 61, "exp": 300}, "not_yet_valid", id="O64-from-the-future"),
        pytest.param({"nbf": 61}, "not_yet_valid", id="O64-not-yet"),
        pytest.param({"iat": -661, "exp": 3600}, "expired", id="O64-old-although-not-expired"),
    ],
)
def test_O64_a_token_of_another_time_ends_nothing(seconds: dict[str, int], reason: str) -> None:
    provider = OpenIdProvider()
    moved = {name: NOW + offset for name, offset in seconds.items()}
    assert_refused(provider, logout_token(provider, **MAYA, **moved), reason)


@pytest.mark.parametrize(
    ("sign", "reason"),
    [
        pytest.param(unsigned, "algorithm_refused", id="O01-none"),
        pytest.param(signed_with_the_public_key, "algorithm_refused", id="O02-hs256"),
        pytest.param(signed_by_another_key, "signature_invalid", id="O03-other-key"),
        pytest.param(signed_by_an_embedded_key, "signature_invalid", id="O03-embedded-key"),
        pytest.param(after_signing, "signature_invalid", id="O64-changed-after-signing"),
        pytest.param(with_a_repeated_claim, "document_refused", id="O64-repeated-claim"),
    ],
)
def test_O64_a_token_that_the_provider_did_not_sign_ends_nothing(
    sign: Callable[..., str], reason: str
) -> None:
    provider = OpenIdProvider()
    assert_refused(provider, logout_token(provider, sign=sign, **MAYA), reason)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"typ": "at+jwt"}, id="O35-access-token"),
        pytest.param({"typ": "secevent+jwt"}, id="O35-security-event"),
        pytest.param({"typ": 1}, id="O35-typ-not-text"),
        pytest.param({"crit": ["x"], "x": 1}, id="O06-crit"),
    ],
)
def test_O64_a_token_of_another_kind_ends_nothing(header: dict[str, Any]) -> None:
    provider = OpenIdProvider()
    assert_refused(provider, logout_token(provider, header=header, **MAYA), "document_refused")


@pytest.mark.parametrize(
    "token",
    [None, "", "a.b", "a.b.c.d", "x" * 20_000, pytest.param("e30.e30." + "A" * 17_000, id="O07-large")],
)
def test_O64_something_else_than_a_token_ends_nothing(token: object) -> None:
    assert_refused(OpenIdProvider(), token, "document_refused")


def test_O35_an_id_token_ends_nothing() -> None:
    provider = OpenIdProvider()
    claims = provider.claims_for({"client_id": CLIENT_ID, "nonce": "n-1"}, MAYA)
    assert_refused(provider, provider.id_token(claims), "claim_missing")


@pytest.mark.parametrize("typ", ["logout+jwt", "application/logout+jwt", "LOGOUT+JWT", "JWT", None])
def test_twin_the_spellings_of_typ_that_providers_use_are_accepted(typ: str | None) -> None:
    provider = OpenIdProvider()
    assert read(provider, logout_token(provider, header={"typ": typ}, **MAYA)).sessions == ("sid-1",)


@pytest.mark.parametrize(
    ("changes", "person", "sessions"),
    [
        pytest.param({"sub": "maya"}, "maya", (), id="person"),
        pytest.param({"sid": "sid-1"}, "", ("sid-1",), id="session"),
        pytest.param({**MAYA, "aud": [CLIENT_ID]}, "maya", ("sid-1",), id="audience-in-a-list"),
        pytest.param({**MAYA, "exp": None, "iat": NOW - 600}, "maya", ("sid-1",), id="young-without-exp"),
        pytest.param(
            {**MAYA, "events": {LOGOUT_EVENT: {}, "urn:x": {}}}, "maya", ("sid-1",), id="two-events"
        ),
    ],
)
def test_twin_honest_tokens_say_who_is_meant(
    changes: dict[str, Any], person: str, sessions: tuple[str, ...]
) -> None:
    provider = OpenIdProvider()
    order = read(provider, logout_token(provider, **changes))
    assert (order.person, order.sessions) == (person, sessions)


def test_O64_the_mark_outlives_every_moment_at_which_the_token_is_accepted() -> None:
    provider = OpenIdProvider()
    token = logout_token(provider, jti="once", **MAYA, exp=None, iat=NOW + 60)
    mark = read(provider, token).mark
    assert mark.key == f"{ISSUER}|{CLIENT_ID}|once"
    assert mark.expires_at >= NOW + 60 + 600 + 60


def test_O64_a_token_of_a_foreign_directory_ends_nothing() -> None:
    ours, theirs = (f"{digit * 8}-1111-1111-1111-111111111111" for digit in "12")
    template = "https://login.example/{tenantid}/v2.0"
    provider = OpenIdProvider(template)
    provider.metadata_extra = {"jwks_uri": f"{ISSUER}/jwks"}
    provider.published[0]["issuer"] = template
    settings = {
        "issuer": template,
        "tenant_ids": [ours],
        "discovery_url": f"{ISSUER}/.well-known/openid-configuration",
    }
    for tenant, is_ours in ((theirs, False), (ours, True)):
        token = logout_token(provider, iss=template.replace("{tenantid}", tenant), tid=tenant, **MAYA)
        if is_ours:
            assert read(provider, token, **settings).person == "maya"
        else:
            with pytest.raises(ConnectorError, match="issuer_mismatch"):
                read(provider, token, **settings)

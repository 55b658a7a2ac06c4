"""Attacks on the ID token and the code flow of the relying party, each beside the token that is right."""

import json
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from joserfc.jwk import RSAKey

from idp_connectors.base import ConnectorError, MemoryCache
from idp_connectors.errors import ConnectorErrorCode as Code
from tests.builders.connector_deps import NOW, make_deps
from tests.builders.oidc_op import (
    CLIENT_ID,
    CLIENT_SECRET,
    ISSUER,
    OpenIdProvider,
    compact,
    ec_key,
    oct_key,
    rsa_key,
    segment,
)
from tests.builders.oidc_rp import LOGIN, assert_refused, make_login, sign_in


def test_the_valid_twin_signs_in():
    identity = sign_in(OpenIdProvider(), sub="u-7", groups=["eng"])
    assert (identity.issuer, identity.subject_kind, identity.subject) == (ISSUER, "sub", "u-7")
    assert identity.groups_state == "complete"


@pytest.mark.parametrize("spelling", ["none", "None", "NONE", "nOnE", "noNe", "NonE", "nonE", "NoNe"])
def test_o01_an_unsigned_token_is_refused(spelling: str):
    provider = OpenIdProvider()
    provider.bend_token = lambda header, claims: (
        f"{segment({**header, 'alg': spelling})}.{segment(claims)}.{segment(b'x')}"
    )
    assert_refused(provider, Code.ALGORITHM_REFUSED)


def test_o01_an_empty_signature_is_refused():
    provider = OpenIdProvider()
    provider.bend_token = lambda header, claims: f"{segment({**header, 'alg': 'none'})}.{segment(claims)}."
    assert_refused(provider, Code.ALGORITHM_REFUSED)
    provider.bend_token = lambda header, claims: f"{segment(header)}.{segment(claims)}."
    assert_refused(provider, Code.SIGNATURE_INVALID)


@pytest.mark.parametrize("form", ["pem", "der", "jwk", "jwks"])
def test_o02_the_public_key_is_no_hmac_secret(form: str):
    provider = OpenIdProvider()
    public = provider.key.as_dict(private=False)
    secret = {
        "pem": provider.key.as_pem(private=False),
        "der": provider.key.as_der(private=False),
        "jwk": json.dumps(public).encode(),
        "jwks": json.dumps({"keys": [public]}).encode(),
    }[form]

    def forge(header: dict[str, Any], claims: dict[str, Any]) -> str:
        from hashlib import sha256
        from hmac import digest

        signed = f"{segment({**header, 'alg': 'HS256'})}.{segment(claims)}"
        return f"{signed}.{segment(digest(secret, signed.encode(), sha256))}"

    provider.bend_token = forge
    assert_refused(provider, Code.ALGORITHM_REFUSED)


@pytest.mark.parametrize("kid", ["known", "absent", "foreign"])
def test_o03_a_key_inside_the_header_is_not_trusted(kid: str):
    provider, own = OpenIdProvider(), rsa_key("attacker")

    def forge(header: dict[str, Any], claims: dict[str, Any]) -> str:
        header = {**header, "jwk": own.as_dict(private=False)}
        if kid == "absent":
            del header["kid"]
        elif kid == "foreign":
            header["kid"] = "attacker"
        return compact(header, claims, own)

    provider.bend_token = forge
    assert_refused(provider, Code.SIGNATURE_INVALID)


@pytest.mark.parametrize("member", ["jku", "x5u"])
def test_o04_addresses_in_the_header_are_never_fetched(member: str):
    provider, own = OpenIdProvider(), rsa_key("attacker")
    address = "https://attacker.example/keys"
    provider.bend_token = lambda header, claims: compact({**header, member: address}, claims, own)
    assert_refused(provider, Code.SIGNATURE_INVALID)
    assert not [url for url in provider.requests if "attacker" in url]


@pytest.mark.parametrize(
    ("kid", "code"),
    [
        pytest.param("../../etc/passwd", Code.SIGNATURE_INVALID, id="O05-path"),
        pytest.param("' OR 1=1 --", Code.SIGNATURE_INVALID, id="O05-sql"),
        pytest.param("k" * 300, Code.DOCUMENT_REFUSED, id="O05-long"),
        pytest.param(7, Code.DOCUMENT_REFUSED, id="O05-number"),
        pytest.param(["rsa-1"], Code.DOCUMENT_REFUSED, id="O05-list"),
        pytest.param("", Code.DOCUMENT_REFUSED, id="O05-empty"),
    ],
)
def test_o05_odd_key_ids_are_refused(kid: object, code: Code):
    provider = OpenIdProvider()

    def forge(header: dict[str, Any], claims: dict[str, Any]) -> str:
        # The signature is right for a reader that ignores the key id.
        signed = compact({"alg": "RS256"}, claims, provider.key).split(".")
        return f"{segment({**header, 'kid': kid})}.{signed[1]}.{signed[2]}"

    provider.bend_token = forge
    assert_refused(provider, code)


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"crit": ["exp"], "exp": 1}, id="O06-crit"),
        pytest.param({"crit": []}, id="O06-empty-crit"),
        pytest.param({"b64": False, "crit": ["b64"]}, id="O06-b64"),
    ],
)
def test_o06_extensions_are_refused(extra: dict[str, Any]):
    provider = OpenIdProvider()
    provider.bend_token = lambda header, claims: (
        f"{segment({**header, **extra})}.{'.'.join(compact(header, claims, provider.key).split('.')[1:])}"
    )
    assert_refused(provider, Code.DOCUMENT_REFUSED)


def test_o07_an_oversized_token_is_refused_before_it_is_decoded():
    assert_refused(OpenIdProvider(), Code.DOCUMENT_REFUSED, padding="x" * 17_000)
    assert sign_in(OpenIdProvider(), padding="x" * 8_000).subject == "u-1"


def test_o08_an_encrypted_token_is_refused():
    provider = OpenIdProvider()
    provider.bend_token = lambda header, claims: ".".join(["e30"] * 5)
    assert_refused(provider, Code.DOCUMENT_REFUSED)


@pytest.mark.parametrize(
    "typ", ["at+jwt", "logout+jwt", "dpop+jwt", "oauth-id-jag+jwt", "secevent+jwt", 7], ids=str
)
def test_o35_a_token_of_another_kind_is_refused(typ: object):
    provider = OpenIdProvider()

    def forge(header: dict[str, Any], claims: dict[str, Any]) -> str:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        signed = f"{segment({**header, 'typ': typ})}.{segment(claims)}"
        assert isinstance(provider.key, RSAKey)
        return f"{signed}.{segment(provider.key.private_key.sign(signed.encode(), PKCS1v15(), SHA256()))}"

    provider.bend_token = forge
    assert_refused(provider, Code.DOCUMENT_REFUSED)
    typ = "JWT"
    assert sign_in(provider).subject == "u-1"


def test_o10_an_access_token_that_the_id_token_does_not_name_is_refused():
    assert_refused(OpenIdProvider(), Code.CLAIM_INVALID, at_hash="AAAAAAAAAAAAAAAAAAAAAA")
    import hashlib

    assert sign_in(OpenIdProvider(), at_hash=segment(hashlib.sha256(b"at-1").digest()[:16]))


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        pytest.param({"nonce": None}, Code.NONCE_MISMATCH, "nonce", id="O11-nonce-missing"),
        pytest.param({"nonce": "other"}, Code.NONCE_MISMATCH, "nonce", id="O11-nonce-wrong"),
        pytest.param({"nonce": ""}, Code.NONCE_MISMATCH, "nonce", id="O11-nonce-empty"),
        pytest.param({"nonce": 5}, Code.NONCE_MISMATCH, "nonce", id="O11-nonce-number"),
        pytest.param({"iss": ISSUER + "/"}, Code.ISSUER_MISMATCH, "iss", id="O12-iss-slash"),
        pytest.param({"iss": "https://evil.example"}, Code.ISSUER_MISMATCH, "iss", id="O12-iss-other"),
        pytest.param({"iss": None}, Code.ISSUER_MISMATCH, "iss", id="O12-iss-missing"),
        pytest.param({"aud": None}, Code.AUDIENCE_MISMATCH, "aud", id="O13-aud-missing"),
        pytest.param({"aud": "other"}, Code.AUDIENCE_MISMATCH, "aud", id="O13-aud-wrong"),
        pytest.param({"aud": []}, Code.AUDIENCE_MISMATCH, "aud", id="O13-aud-empty"),
        pytest.param({"aud": [CLIENT_ID, "x"]}, Code.AUDIENCE_MISMATCH, "aud", id="O13-aud-foreign"),
        pytest.param({"azp": "other"}, Code.AUDIENCE_MISMATCH, "azp", id="O13-azp-wrong"),
        pytest.param({"sub": None}, Code.CLAIM_MISSING, "sub", id="O14-sub-missing"),
        pytest.param({"sub": ""}, Code.CLAIM_INVALID, "sub", id="O14-sub-empty"),
        pytest.param({"sub": 42}, Code.CLAIM_INVALID, "sub", id="O14-sub-number"),
        pytest.param({"sub": "u\u0000-1"}, Code.CLAIM_INVALID, "sub", id="O14-sub-nul"),
        pytest.param({"sub": "u\u200b-1"}, Code.CLAIM_INVALID, "sub", id="O14-sub-zero-width"),
        pytest.param({"iat": None}, Code.CLAIM_MISSING, "iat", id="O14-iat-missing"),
        pytest.param({"iat": NOW + 61}, Code.NOT_YET_VALID, "iat", id="O14-iat-future"),
        pytest.param({"iat": True}, Code.CLAIM_INVALID, "iat", id="O14-iat-boolean"),
        pytest.param({"exp": None}, Code.CLAIM_MISSING, "exp", id="exp-missing"),
        pytest.param({"exp": NOW - 60}, Code.EXPIRED, "", id="exp-past"),
        pytest.param({"exp": str(NOW + 300)}, Code.CLAIM_INVALID, "exp", id="exp-text"),
        pytest.param({"exp": float("inf")}, Code.CLAIM_INVALID, "exp", id="exp-infinite"),
        pytest.param({"nbf": NOW + 61}, Code.NOT_YET_VALID, "nbf", id="nbf-future"),
    ],
)
def test_claims_that_do_not_match_are_refused(change: dict[str, Any], code: Code, field: str):
    provider = OpenIdProvider()

    def bend(claims: dict[str, Any]) -> None:
        claims.update(change)
        for name in [name for name, value in change.items() if value is None]:
            del claims[name]

    provider.bend_claims = bend
    assert assert_refused(provider, code).field == field


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"aud": [CLIENT_ID]}, id="aud-list-of-one"),
        pytest.param({"aud": [CLIENT_ID], "azp": CLIENT_ID}, id="azp-right"),
        pytest.param({"exp": NOW - 59}, id="exp-within-skew"),
        pytest.param({"iat": NOW + 60, "nbf": NOW + 60}, id="future-within-skew"),
        pytest.param({"exp": NOW + 0.5}, id="exp-fraction"),
    ],
)
def test_claims_within_the_rules_are_accepted(change: dict[str, Any]):
    provider = OpenIdProvider()
    provider.bend_claims = lambda claims: claims.update(change)
    assert sign_in(provider).subject == "u-1"


def test_a_claim_that_occurs_twice_is_refused():
    provider = OpenIdProvider()

    def forge(header: dict[str, Any], claims: dict[str, Any]) -> str:
        text = json.dumps(claims)
        return compact(header, (text[:-1] + ', "sub": "victim"}').encode(), provider.key)

    provider.bend_token = forge
    assert_refused(provider, Code.DOCUMENT_REFUSED)


def test_o15_without_kid_exactly_one_key_may_fit():
    provider = OpenIdProvider()
    provider.bend_token = lambda header, claims: compact({"alg": "RS256"}, claims, provider.key)
    assert sign_in(provider).subject == "u-1"
    provider.published.append(rsa_key("rsa-2").as_dict(private=False))
    assert_refused(provider, Code.SIGNATURE_INVALID)


@pytest.mark.parametrize("iss", [None, "https://other.example", ISSUER + "/"])
def test_o16_an_answer_of_another_provider_is_refused_before_the_code_is_sent(iss: str | None):
    provider = OpenIdProvider()
    provider.metadata_extra = {"authorization_response_iss_parameter_supported": True}
    login, deps = make_login(), make_deps(provider)
    callback = provider.sign_in(login.begin(LOGIN, deps))
    query = {name: value for name, value in callback.query.items() if name != "iss"}
    bent = replace(callback, query=query | ({"iss": iss} if iss else {}))
    with pytest.raises(ConnectorError) as caught:
        login.complete(bent, deps)
    assert caught.value.code == Code.ISSUER_MISMATCH
    assert not [url for url in provider.requests if url.endswith("/token")]
    assert login.complete(callback, deps).subject == "u-1"


def test_o16_a_wrong_iss_is_refused_even_when_the_provider_does_not_announce_it():
    provider = OpenIdProvider()
    login, deps = make_login(), make_deps(provider)
    callback = provider.sign_in(login.begin(LOGIN, deps))
    with pytest.raises(ConnectorError) as caught:
        login.complete(replace(callback, query={**callback.query, "iss": "https://evil.example"}), deps)
    assert caught.value.code == Code.ISSUER_MISMATCH


@pytest.mark.parametrize("state", ["", "other", "flow-handle-1x"])
def test_o17_an_answer_for_another_sign_in_is_refused(state: str):
    provider = OpenIdProvider()
    login, deps = make_login(), make_deps(provider)
    callback = provider.sign_in(login.begin(LOGIN, deps))
    with pytest.raises(ConnectorError) as caught:
        login.complete(replace(callback, query={**callback.query, "state": state}), deps)
    assert caught.value.code == Code.STATE_MISMATCH


def test_o18_a_code_of_another_sign_in_cannot_be_injected():
    provider = OpenIdProvider()
    login, deps = make_login(), make_deps(provider)
    victim, attacker = login.begin(LOGIN, deps), login.begin(LOGIN, deps)
    stolen = provider.sign_in(victim)
    with pytest.raises(ConnectorError) as caught:
        login.complete(replace(stolen, private=attacker.private), deps)
    assert caught.value.code == Code.UPSTREAM_REFUSED


def test_o18_the_nonce_stops_an_injected_code_where_the_provider_ignores_pkce():
    provider = OpenIdProvider()
    login, deps = make_login(), make_deps(provider)
    victim, attacker = login.begin(LOGIN, deps), login.begin(LOGIN, deps)
    stolen = provider.sign_in(victim)
    mixed = {**attacker.private, "code_verifier": victim.private["code_verifier"]}
    with pytest.raises(ConnectorError) as caught:
        login.complete(replace(stolen, private=mixed), deps)
    assert caught.value.code == Code.NONCE_MISMATCH


def test_o60_email_is_never_the_key_and_is_vouched_for_by_domain_only():
    settings = {"email_domains": ["corp.example"]}
    own = sign_in(OpenIdProvider(), settings=settings, email="a@corp.example")
    foreign = sign_in(OpenIdProvider(), settings=settings, email="a@other.example", email_verified=True)
    sub_domain = sign_in(OpenIdProvider(), settings=settings, email="a@x.corp.example")
    unverified = sign_in(OpenIdProvider(), settings=settings, email="a@corp.example", email_verified=False)
    assert [i.email_verified_by for i in (own, foreign, sub_domain, unverified)] == [
        "idp_verified_domain",
        "idp_asserted",
        "none",
        "none",
    ]
    assert {i.subject for i in (own, foreign, sub_domain, unverified)} == {"u-1"}


def test_o62_an_answer_works_once():
    provider = OpenIdProvider()
    login, deps = make_login(), make_deps(provider)
    callback = provider.sign_in(login.begin(LOGIN, deps))
    assert login.complete(callback, deps).subject == "u-1"
    with pytest.raises(ConnectorError) as caught:
        login.complete(callback, deps)
    assert caught.value.code == Code.UPSTREAM_REFUSED


def test_userinfo_about_another_person_is_refused():
    provider = OpenIdProvider()
    provider.userinfo = {"sub": "u-2", "groups": ["admins"]}
    assert_refused(provider, Code.CLAIM_INVALID, settings={"use_userinfo": True})
    provider.userinfo = {"sub": "u-1", "groups": ["staff"], "email": "ada@corp.example"}
    identity = sign_in(provider, settings={"use_userinfo": True})
    assert [group.value for group in identity.groups] == ["staff"]


def test_an_algorithm_outside_the_connections_list_is_refused():
    provider = OpenIdProvider(key=ec_key())
    provider.alg = "ES256"
    assert sign_in(provider).subject == "u-1"
    assert_refused(provider, Code.ALGORITHM_REFUSED, settings={"allowed_algorithms": ["RS256"]})


def test_a_key_verifies_only_with_the_algorithm_that_it_names():
    provider = OpenIdProvider()
    provider.published = [{**provider.key.as_dict(private=False), "alg": "PS256"}]
    assert_refused(provider, Code.SIGNATURE_INVALID)
    provider.alg = "PS256"
    assert sign_in(provider, cache=MemoryCache()).subject == "u-1"


def test_no_secret_leaves_in_what_a_refusal_says():
    provider = OpenIdProvider()
    provider.bend_claims = lambda claims: claims.update(aud="other")
    error = assert_refused(provider, Code.AUDIENCE_MISMATCH)
    assert CLIENT_SECRET not in f"{error} {error.public} {error.detail}"
    assert CLIENT_SECRET not in repr(make_login()._config)


def test_an_error_answer_is_not_repeated_to_the_person():
    provider = OpenIdProvider()
    login, deps = make_login(), make_deps(provider)
    callback = provider.sign_in(login.begin(LOGIN, deps))
    query = {
        "state": callback.query["state"],
        "error": "access_denied",
        "error_description": "<b>call 555</b>",
    }
    with pytest.raises(ConnectorError) as caught:
        login.complete(replace(callback, query=query), deps)
    assert caught.value.code == Code.UPSTREAM_REFUSED
    assert "555" not in caught.value.public


def test_a_broken_token_endpoint_is_one_sentence():
    provider = OpenIdProvider()
    provider.down = {"/token"}
    error = assert_refused(provider, Code.UPSTREAM_UNREACHABLE)
    assert "html" not in error.public
    assert isinstance(error.__cause__, httpx2.HTTPError)


def test_an_hmac_key_is_never_admitted():
    provider = OpenIdProvider()
    provider.published.append({**oct_key(b"x" * 32).as_dict(), "kid": "oct"})
    assert_refused(provider, Code.KEYS_INVALID)

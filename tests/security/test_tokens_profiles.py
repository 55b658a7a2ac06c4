"""JWTs that others sign: each attack of O01 to O07 and O35 beside the token that passes."""

import base64
import json
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from broker.kernel.errors import ErrorCode, Refusal
from broker.tokens.profiles import MAX_TOKEN_CHARS, JwtProfile, admit_keys, verify_jwt

NOW = 1_795_503_600
SKEW = 30
US = "https://broker.example/t/acme"
EC = ECKey.generate_key("P-256", {"kid": "ec"}, private=True)
RSA = RSAKey.generate_key(2048, {"kid": "rsa"}, private=True)
OKP = OKPKey.generate_key("Ed25519", {"kid": "okp"}, private=True)
STRANGER = ECKey.generate_key("P-256", {"kid": "ec"}, private=True)
KEYS = admit_keys({"keys": [key.as_dict(private=False) for key in (EC, RSA, OKP)]})
PROFILE = JwtProfile(
    typ=frozenset({"client-authentication+jwt", "JWT", ""}),
    algorithms=frozenset({"ES256", "RS256", "PS256", "Ed25519"}),
    issuer="cli_planner",
    audience=frozenset({US, f"{US}/token"}),
    max_age_seconds=300,
    required=frozenset({"sub", "jti"}),
)
CLAIMS: dict[str, Any] = {
    "iss": "cli_planner",
    "sub": "cli_planner",
    "aud": US,
    "jti": "a-1",
    "iat": NOW,
    "exp": NOW + 60,
}


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def spell(header: dict[str, Any], claims: Any = None, signature: bytes = b"x" * 64) -> str:
    """A compact token from parts, signed by nobody."""
    body = CLAIMS if claims is None else claims
    return ".".join([b64(json.dumps(header).encode()), b64(json.dumps(body).encode()), b64(signature)])


def sign(claims: dict[str, Any] | None = None, key: Any = EC, **header: Any) -> str:
    alg = {"EC": "ES256", "RSA": "RS256", "OKP": "Ed25519", "oct": "HS256"}[key.key_type]
    full = {"alg": alg, "kid": key.kid, "typ": "JWT", **header}
    chosen = {name: value for name, value in full.items() if value is not None}
    registry = jws.JWSRegistry(algorithms=[chosen["alg"]], strict_check_header=False)
    registry.max_header_length = 10**6
    return jws.serialize_compact(
        chosen, json.dumps(CLAIMS if claims is None else claims), key, registry=registry
    )


def verify(token: str, profile: JwtProfile = PROFILE, keys: Any = KEYS) -> dict[str, Any]:
    return verify_jwt(token, profile, keys, now=NOW, skew=SKEW)


def reason(token: str, profile: JwtProfile = PROFILE, keys: Any = KEYS) -> str:
    with pytest.raises(Refusal) as refused:
        verify(token, profile, keys)
    assert refused.value.code == ErrorCode.INVALID_TOKEN
    return refused.value.reason


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(sign(), id="ES256"),
        pytest.param(sign(key=RSA), id="RS256"),
        pytest.param(sign(key=RSA, alg="PS256"), id="PS256"),
        pytest.param(sign(key=OKP), id="Ed25519"),
        pytest.param(sign(typ=None), id="untyped"),
        pytest.param(sign({**CLAIMS, "aud": [US]}), id="audience-as-a-list-of-one"),
        pytest.param(sign({**CLAIMS, "exp": NOW - SKEW + 1}), id="within-the-skew"),
    ],
)
def test_an_honest_token_passes(token: str):
    assert verify(token)["sub"] == "cli_planner"


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", "NoNe", "none ", "noné"])
@pytest.mark.parametrize("signature", [b"", b"x" * 64], ids=["empty", "some"])
def test_o01_no_algorithm_is_no_algorithm(alg: str, signature: bytes):
    assert reason(spell({"alg": alg, "kid": "ec", "typ": "JWT"}, signature=signature)) in {
        "wrong_alg",
        "not_a_jwt",
    }


@pytest.mark.parametrize("key", [EC, RSA], ids=["ec", "rsa"])
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(lambda key: key.as_pem(private=False), id="pem"),
        pytest.param(lambda key: key.as_der(private=False), id="der"),
        pytest.param(lambda key: json.dumps(key.as_dict(private=False)).encode(), id="jwk"),
        pytest.param(lambda key: json.dumps({"keys": [key.as_dict(private=False)]}).encode(), id="jwks"),
        pytest.param(
            lambda key: key.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            id="spki",
        ),
    ],
)
def test_o02_a_public_key_is_no_secret(key: Any, text: Callable[[Any], bytes]):
    secret = OctKey.import_key(b64(text(key)), {"kid": key.kid})
    token = sign(key=secret)
    assert reason(token) == "wrong_alg"
    # Even a profile that allows the algorithm does not make a public key a secret.
    assert reason(token, replace(PROFILE, algorithms=frozenset({"HS256"}))) == "wrong_alg"


def test_o02_an_algorithm_is_bound_to_its_key():
    assert reason(sign(key=RSA, kid="ec")) == "wrong_alg"
    assert reason(sign(key=EC, kid="rsa")) == "wrong_alg"


def test_o03_a_key_in_the_header_is_not_looked_at():
    jwk = STRANGER.as_dict(private=False)
    assert reason(sign(key=STRANGER, jwk=jwk)) == "bad_signature"
    assert reason(sign(key=STRANGER, kid=None, jwk=jwk)) == "unknown_key"
    # The twin: an honest token that carries its own key as well.
    assert verify(sign(jwk=EC.as_dict(private=False)))


@pytest.mark.parametrize("member", ["jku", "x5u"])
def test_o04_an_address_in_the_header_is_not_called(member: str, closed_port: str):
    assert reason(sign(key=STRANGER, **{member: closed_port})) == "bad_signature"
    assert verify(sign(**{member: closed_port}))


@pytest.fixture
def closed_port(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address that fails the test when anything connects anywhere."""

    def refuse(*_: Any) -> None:
        raise AssertionError("something was called")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return "http://127.0.0.1:9/keys"


def test_o04_a_certificate_in_the_header_is_not_trusted():
    assert reason(sign(key=STRANGER, x5c=["MIIB"])) == "bad_signature"
    assert verify(sign(x5c=["MIIB"]))


@pytest.mark.parametrize(
    "kid",
    [
        pytest.param("../../../../dev/null", id="path"),
        pytest.param("' OR 1=1 --", id="sql"),
        pytest.param("k" * 5_000, id="very-long"),
        pytest.param("", id="empty"),
        pytest.param("EC", id="case"),
        pytest.param("ec ", id="trailing-space"),
    ],
)
def test_o05_an_odd_key_id_finds_nothing(kid: str):
    assert reason(sign(kid=kid)) == "unknown_key"


@pytest.mark.parametrize("kid", [["ec"], {"ec": 1}, 7, True], ids=["list", "object", "number", "boolean"])
def test_o05_a_key_id_that_is_no_text_finds_nothing(kid: Any):
    assert reason(spell({"alg": "ES256", "kid": kid, "typ": "JWT"})) == "unknown_key"


def test_o05_a_missing_key_id_will_do_only_when_there_is_one_key():
    one = admit_keys({"keys": [EC.as_dict(private=False)]})
    assert verify(sign(kid=None), keys=one)
    assert reason(sign(kid=None)) == "unknown_key"


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"crit": ["exp"], "exp": 1}, id="unknown-crit"),
        pytest.param({"crit": []}, id="empty-crit"),
        pytest.param({"b64": False, "crit": ["b64"]}, id="b64-false"),
        pytest.param({"b64": False}, id="b64-without-crit"),
    ],
)
def test_o06_critical_headers_are_refused(header: dict[str, Any]):
    assert reason(spell({"alg": "ES256", "kid": "ec", "typ": "JWT", **header})) == "critical_header"


@pytest.mark.parametrize("place", ["header", "payload", "signature"])
def test_o07_an_oversized_token_is_refused_before_it_is_decoded(place: str, monkeypatch: pytest.MonkeyPatch):
    parts = dict(zip(("header", "payload", "signature"), sign().split("."), strict=True))
    parts[place] += "A" * MAX_TOKEN_CHARS

    def fail(_text: str) -> bytes:
        raise AssertionError("it was decoded")

    monkeypatch.setattr("broker.tokens.encoding.decode", fail)
    assert reason(".".join(parts.values())) == "token_too_large"


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("a.b", id="two-parts"),
        pytest.param(sign() + ".x.y", id="O08-five-parts-like-a-jwe"),
        pytest.param("..", id="three-empty-parts"),
        pytest.param("\u00e9.b.c", id="not-ascii"),
        pytest.param(b64(b"[]") + "." + b64(b"{}") + ".AAAA", id="header-is-a-list"),
        pytest.param(b64(b'{"alg":"ES256","alg":"none"}') + "." + b64(b"{}") + ".AAAA", id="name-twice"),
        pytest.param(b64(b'{"alg":NaN}') + "." + b64(b"{}") + ".AAAA", id="nan"),
        pytest.param(b64(b"[" * 9_000) + "." + b64(b"{}") + ".AAAA", id="deep"),
        pytest.param(sign() + "=", id="padded-signature"),
        pytest.param(sign() + "\n", id="trailing-line-break"),
        pytest.param(" " + sign(), id="leading-space"),
    ],
)
def test_what_is_not_a_jwt_is_refused_quietly(token: str):
    assert reason(token) == "not_a_jwt"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda h, p, s: f"{h}.{p}.{s[:-4]}AAAA", id="signature"),
        pytest.param(
            lambda h, p, s: f"{h}.{b64(json.dumps({**CLAIMS, 'sub': 'root'}).encode())}.{s}", id="claims"
        ),
        pytest.param(lambda h, p, s: f"{h}.{p}.", id="empty-signature"),
        pytest.param(lambda h, p, s: f"{h}.{p}.{b64(bytes(64))}", id="zero-signature"),
    ],
)
def test_what_was_altered_is_refused(change: Callable[[str, str, str], str]):
    assert reason(change(*sign().split("."))) == "bad_signature"


@pytest.mark.parametrize(
    ("profile_typ", "typ"),
    [
        (kind, other)
        for kind in ("client-authentication+jwt", "at+jwt", "JWT", "logout+jwt", "dpop+jwt", "secevent+jwt")
        for other in (
            "client-authentication+jwt",
            "at+jwt",
            "JWT",
            "logout+jwt",
            "dpop+jwt",
            "secevent+jwt",
            "at+JWT",
        )
    ],
)
def test_o35_only_its_own_kind_passes(profile_typ: str, typ: str):
    profile = replace(PROFILE, typ=frozenset({profile_typ}))
    token = sign(typ=typ)
    if typ == profile_typ:
        assert verify(token, profile)
    else:
        assert reason(token, profile) == "wrong_typ"
    assert reason(sign(typ=None), profile) == "wrong_typ"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        pytest.param({"iss": "cli_other"}, "wrong_issuer", id="issuer"),
        pytest.param({"iss": ["cli_planner"]}, "wrong_issuer", id="issuer-as-a-list"),
        pytest.param({"aud": "https://elsewhere.example"}, "wrong_audience", id="audience"),
        pytest.param({"aud": [US, "https://elsewhere.example"]}, "wrong_audience", id="two-audiences"),
        pytest.param({"aud": [US, US]}, "wrong_audience", id="audience-twice"),
        pytest.param({"aud": []}, "wrong_audience", id="no-audience"),
        pytest.param({"aud": US + "/"}, "wrong_audience", id="audience-with-a-slash"),
        pytest.param({"exp": NOW - SKEW}, "token_expired", id="expired"),
        pytest.param({"exp": NOW + 300 + SKEW + 1}, "lives_too_long", id="lives-too-long"),
        pytest.param({"exp": None}, "claim_missing", id="no-expiry"),
        pytest.param({"exp": True}, "bad_time", id="expiry-is-a-boolean"),
        pytest.param({"exp": str(NOW + 60)}, "bad_time", id="expiry-is-a-text"),
        pytest.param({"nbf": NOW + SKEW + 1}, "not_yet_valid", id="not-before"),
        pytest.param({"iat": NOW + SKEW + 1}, "not_yet_valid", id="issued-in-the-future"),
        pytest.param({"iat": NOW - 300 - SKEW - 1}, "token_too_old", id="too-old"),
        pytest.param({"jti": None}, "claim_missing", id="required-absent"),
        pytest.param({"jti": ""}, "claim_missing", id="required-empty"),
    ],
)
def test_every_claim_of_the_profile_counts(claims: dict[str, Any], why: str):
    assert verify(sign())
    assert reason(sign({**CLAIMS, **claims})) == why


def test_the_signature_is_what_the_library_would_make():
    """The twin for the whole file: a token by the library's own JWT interface passes."""
    assert verify(jwt.encode({"alg": "ES256", "kid": "ec", "typ": "JWT"}, CLAIMS, EC))

"""Keys of others: what may verify, and what makes a whole set unfit."""

from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from broker.kernel.errors import ErrorCode, Refusal
from broker.tokens.encoding import encode
from broker.tokens.foreign_keys import admit_keys


def public(key: Any, **members: Any) -> dict[str, Any]:
    chosen = {**key.as_dict(private=False), **members}
    return {name: value for name, value in chosen.items() if value is not None}


RSA = RSAKey.generate_key(2048, private=True)
WEAK = RSAKey.generate_key(1024, private=True)
P256 = ECKey.generate_key("P-256", private=True)
P384 = ECKey.generate_key("P-384", private=True)
P521 = ECKey.generate_key("P-521", private=True)
K1 = ECKey.generate_key("secp256k1", private=True)
ED = OKPKey.generate_key("Ed25519", private=True)
X25519 = OKPKey.generate_key("X25519", private=True)


def roca_jwk() -> dict[str, Any]:
    """An RSA key with the fingerprint of CVE-2017-15361: 1 modulo every prime looked at."""
    product = 1
    for prime in (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157):
        product *= prime
    modulus = ((1 << 2047) // product) * product + product + 1
    return {
        "kty": "RSA",
        "kid": "roca",
        "n": encode(modulus.to_bytes(256)).decode(),
        "e": "AQAB",
    }


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        pytest.param(public(RSA), {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, id="rsa-2048"),
        pytest.param(public(RSA, alg="PS256"), {"PS256"}, id="rsa-bound-to-one"),
        pytest.param(public(P256), {"ES256"}, id="p-256"),
        pytest.param(public(P384), {"ES384"}, id="p-384"),
        pytest.param(public(ED), {"EdDSA", "Ed25519"}, id="ed25519"),
    ],
)
def test_a_sound_key_is_admitted_for_its_own_algorithms(key: dict[str, Any], algorithms: set[str]):
    (admitted,) = admit_keys({"keys": [key]}).values()
    assert admitted.algorithms == algorithms


@pytest.mark.parametrize(
    ("jwks", "reason"),
    [
        pytest.param({}, "key_count", id="no-keys"),
        pytest.param({"keys": []}, "key_count", id="empty"),
        pytest.param({"keys": {}}, "key_count", id="keys-is-an-object"),
        pytest.param({"keys": [public(P256, kid=f"k{n}") for n in range(21)]}, "key_count", id="too-many"),
        pytest.param({"keys": [public(P256, use="enc")]}, "key_count", id="for-encryption-only"),
        pytest.param({"keys": ["x"]}, "key_shape", id="not-an-object"),
        pytest.param({"keys": [public(WEAK)]}, "key_weak", id="rsa-1024"),
        pytest.param({"keys": [public(RSA, e="AQ")]}, "key_shape", id="rsa-exponent-one"),
        pytest.param({"keys": [roca_jwk()]}, "key_weak", id="rsa-roca"),
        pytest.param({"keys": [public(P521)]}, "key_kind", id="p-521"),
        pytest.param({"keys": [public(K1)]}, "key_kind", id="secp256k1"),
        pytest.param({"keys": [public(X25519)]}, "key_kind", id="x25519"),
        pytest.param({"keys": [{"kty": "oct", "k": "AAAA"}]}, "key_private", id="symmetric"),
        pytest.param(
            {"keys": [public(P256), {"kty": "oct", "k": "AAAA", "kid": "s"}]}, "key_private", id="mixed"
        ),
        pytest.param({"keys": [P256.as_dict(private=True)]}, "key_private", id="private-ec"),
        pytest.param({"keys": [RSA.as_dict(private=True)]}, "key_private", id="private-rsa"),
        pytest.param(
            {"keys": [public(P256, kid="k"), public(P384, kid="k")]}, "key_id_twice", id="O05-same-id"
        ),
        pytest.param({"keys": [public(P256, kid="")]}, "key_id", id="empty-id"),
        pytest.param({"keys": [public(P256, kid=7)]}, "key_id", id="id-is-a-number"),
        pytest.param({"keys": [public(P256, kid="k" * 201)]}, "key_id", id="long-id"),
        pytest.param({"keys": [public(P256, alg="RS256")]}, "key_purpose", id="algorithm-of-another-kind"),
        pytest.param({"keys": [public(P256, key_ops=["sign"])]}, "key_purpose", id="not-for-verifying"),
        pytest.param({"keys": [public(P256, x="AAAA")]}, "key_shape", id="point-off-the-curve"),
        pytest.param({"keys": [public(P256, y=None)]}, "key_shape", id="half-a-point"),
        pytest.param({"keys": [public(RSA, n=7)]}, "key_shape", id="modulus-is-a-number"),
    ],
)
def test_a_set_with_anything_unfit_is_refused_whole(jwks: dict[str, Any], reason: str):
    assert admit_keys({"keys": [public(P256)]})
    with pytest.raises(Refusal) as refused:
        admit_keys(jwks)
    assert refused.value.code == ErrorCode.BAD_CONFIGURATION
    assert refused.value.reason == reason


def test_a_key_without_an_id_goes_by_its_thumbprint():
    (kid,) = admit_keys({"keys": [public(P256, kid=None)]})
    assert kid == P256.thumbprint()


def test_an_encryption_key_beside_a_signing_key_is_left_out():
    admitted = admit_keys({"keys": [public(P256, kid="sig"), public(P384, kid="enc", use="enc")]})
    assert set(admitted) == {"sig"}

"""Key pairs of each algorithm that we sign with: made, written down, and their public part as a JWK."""

from collections.abc import Mapping
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from broker.tokens import encoding

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

ALGORITHMS = ("ES256", "EdDSA", "PS256", "RS256")
"""What a tenant's key may sign with; the first is the default."""

RSA_BITS = 2048
"""Keys are replaced every month, so the smallest size that verifiers accept is enough."""


def generate_private(algorithm: str) -> PrivateKey:
    """Return a new private key for ``algorithm``; raises ``ValueError`` for one that we do not sign with."""
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm in {"PS256", "RS256"}:
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    raise ValueError(f"{algorithm} is not one of {', '.join(ALGORITHMS)}")


def encode_private(private: PrivateKey) -> bytes:
    """Return a private key as PKCS #8 DER, to be sealed."""
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def decode_private(der: bytes) -> PrivateKey:
    """Return the private key that ``encode_private`` wrote.

    The seal has proved that these bytes are ours, so the numbers of an RSA key are not proved once more:
    that would cost each process more than all else that it reads of a tenant.
    """
    return cast(PrivateKey, load_der_private_key(der, password=None, unsafe_skip_rsa_key_validation=True))


def public_jwk_of(private: PrivateKey, kid: str, algorithm: str) -> dict[str, Any]:
    """Return the public part as a JWK (RFC 7517 §4) that names its one algorithm."""
    return {**_members(private), "kid": kid, "alg": algorithm, "use": "sig"}


def read_public(jwk: Mapping[str, Any]) -> PublicKey:
    """Return the public key of a JWK that ``public_jwk_of`` made."""
    if jwk["kty"] == "OKP":
        return ed25519.Ed25519PublicKey.from_public_bytes(encoding.decode(jwk["x"]))
    if jwk["kty"] == "RSA":
        return rsa.RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"])).public_key()
    return ec.EllipticCurvePublicNumbers(_number(jwk["x"]), _number(jwk["y"]), ec.SECP256R1()).public_key()


def _members(private: PrivateKey) -> dict[str, str]:
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": _text(private.public_key().public_bytes_raw())}
    if isinstance(private, rsa.RSAPrivateKey):
        numbers = private.public_key().public_numbers()
        modulus = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8)
        return {"kty": "RSA", "n": _text(modulus), "e": _text(numbers.e.to_bytes(3))}
    point = private.public_key().public_numbers()
    return {"kty": "EC", "crv": "P-256", "x": _text(point.x.to_bytes(32)), "y": _text(point.y.to_bytes(32))}


def _text(raw: bytes) -> str:
    return encoding.encode(raw).decode()


def _number(text: str) -> int:
    return int.from_bytes(encoding.decode(text))

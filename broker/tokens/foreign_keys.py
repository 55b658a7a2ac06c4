"""Decides which keys of others may verify what they sign; a set with anything unfit is refused whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from broker.kernel.errors import ErrorCode, Refusal

MAX_KEYS = 20
MAX_KID_CHARS = 200
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_PUBLIC_MEMBERS = ("kty", "n", "e", "crv", "x", "y")
_ALGORITHMS: Mapping[tuple[str, str], frozenset[str]] = {
    ("RSA", ""): frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA", "Ed25519"}),
}
# Moduli of the faulty Infineon library are powers of 65537 modulo every one of these (CVE-2017-15361);
# an honest modulus is with a chance of one in 2**27.
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)


@dataclass(frozen=True, slots=True)
class AdmittedKey:
    """A public key of somebody else, with the only algorithms that it may verify."""

    kid: str
    algorithms: frozenset[str]
    key: RSAKey | ECKey | OKPKey


def admit_keys(jwks: Mapping[str, Any]) -> dict[str, AdmittedKey]:
    """Return by key id the keys of a JWK set; a key without an id goes by its thumbprint (RFC 7638).

    Keys for encryption are left out. Raises ``Refusal(bad_configuration)`` with a reason if the set holds
    secret or private key material, a weak or unknown key, the same id twice, or no or too many keys.
    """
    listed = jwks.get("keys")
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_KEYS:
        raise _unfit("key_count", f"A key set has 1 to {MAX_KEYS} keys.")
    admitted: dict[str, AdmittedKey] = {}
    for jwk in listed:
        if not isinstance(jwk, dict):
            raise _unfit("key_shape", "A key is a JSON object.")
        # Without this: what is published would let anybody sign, and a symmetric key beside public ones
        # is the first half of an algorithm confusion (O02).
        if jwk.get("kty") == "oct" or _PRIVATE_MEMBERS.intersection(jwk):
            raise _unfit("key_private", "A key set holds public keys only.")
        if jwk.get("use", "sig") != "sig":
            continue
        key = _admit(jwk)
        # Without this: which of two keys verifies a token would depend on their order (O05).
        if key.kid in admitted:
            raise _unfit("key_id_twice", "Every key needs an id of its own.")
        admitted[key.kid] = key
    if not admitted:
        raise _unfit("key_count", "The key set has no key for signatures.")
    return admitted


def _admit(jwk: dict[str, Any]) -> AdmittedKey:
    kty, crv = jwk.get("kty"), jwk.get("crv", "")
    algorithms = _ALGORITHMS.get((str(kty), "" if kty == "RSA" else str(crv)))
    if algorithms is None:
        raise _unfit("key_kind", "Keys are RSA, P-256, P-384 or Ed25519.")
    if "alg" in jwk:
        algorithms = algorithms & frozenset([str(jwk["alg"])])
    if not algorithms or "verify" not in jwk.get("key_ops", ["verify"]):
        raise _unfit("key_purpose", "A key cannot be used as it says.")
    key = _import(jwk)
    kid = jwk.get("kid", key.thumbprint())
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_CHARS:
        raise _unfit("key_id", f"A key id is a text of 1 to {MAX_KID_CHARS} characters.")
    return AdmittedKey(kid, algorithms, key)


def _import(jwk: dict[str, Any]) -> RSAKey | ECKey | OKPKey:
    # Only the members that make up the key go in: x5c and x5u never count.
    parts: dict[str, str | list[str]] = {name: jwk[name] for name in _PUBLIC_MEMBERS if name in jwk}
    try:
        if parts["kty"] == "EC":
            return ECKey.import_key(parts)
        if parts["kty"] == "OKP":
            return OKPKey.import_key(parts)
        key = RSAKey.import_key(parts)
        numbers = key.public_key.public_numbers()
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise _unfit("key_shape", "A key cannot be read.") from None
    if not MIN_RSA_BITS <= numbers.n.bit_length() <= MAX_RSA_BITS:
        raise _unfit("key_weak", f"RSA keys have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits.")
    if not 3 <= numbers.e < 2**32 or not numbers.e & 1 or _is_roca(numbers.n):
        raise _unfit("key_weak", "This RSA key is not safe.")
    return key


def _is_roca(modulus: int) -> bool:
    return all(modulus % prime in _powers(65537 % prime, prime) for prime in _ROCA_PRIMES)


def _powers(base: int, prime: int) -> set[int]:
    found, value = {1}, base
    while value not in found:
        found.add(value)
        value = value * base % prime
    return found


def _unfit(reason: str, public: str) -> Refusal:
    return Refusal(ErrorCode.BAD_CONFIGURATION, public, reason=reason)

"""Decides which published keys may verify ID tokens; a set that publishes secrets is refused whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from idp_connectors.errors import ConnectorError, ConnectorErrorCode

PublicKey = RSAKey | ECKey | OKPKey

MAX_KEYS = 100
MAX_KID_CHARS = 256
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

_ALGORITHMS_BY_SHAPE: Mapping[tuple[str, str], frozenset[str]] = {
    ("RSA", ""): frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA", "Ed25519"}),
}


@dataclass(frozen=True, slots=True)
class AdmittedKey:
    """A public key together with the only algorithms that it may verify.

    `issuer` is whom the key set says that this key signs for; "" if it says nothing.
    """

    kid: str
    algorithms: frozenset[str]
    key: PublicKey
    issuer: str = ""


@dataclass(frozen=True, slots=True)
class AdmittedKeys:
    """The keys of one provider that passed admission."""

    keys: tuple[AdmittedKey, ...]

    def has_kid(self, kid: str) -> bool:
        """Return whether a key carries this id."""
        return any(key.kid == kid for key in self.keys)

    def find(self, kid: str | None, algorithm: str) -> AdmittedKey | None:
        """Return the one key for a token's header; without `kid`, only if exactly one key can be meant."""
        fitting = [
            key for key in self.keys if algorithm in key.algorithms and (kid is None or key.kid == kid)
        ]
        return fitting[0] if len(fitting) == 1 else None


def admit_keys(document: Mapping[str, Any]) -> AdmittedKeys:
    """Return the usable keys of a JWK set; raises ConnectorError if the set is unfit as a whole.

    Keys for other uses and of unknown or weak shapes are left out; secret material, duplicate key ids
    among signing keys and oversized sets refuse the whole set.
    """
    published = document.get("keys")
    if not isinstance(published, list) or len(published) > MAX_KEYS:
        raise _unfit(f"`keys` is not a list of at most {MAX_KEYS}")
    admitted: list[AdmittedKey] = []
    for jwk in published:
        if not isinstance(jwk, dict):
            raise _unfit("a key is not an object")
        # Without this: a published secret means that anybody can sign, and a symmetric key beside public
        # ones is the first half of an algorithm confusion.
        if jwk.get("kty") == "oct" or PRIVATE_MEMBERS.intersection(jwk):
            raise _unfit("the set publishes secret key material")
        key = _admit(jwk)
        if key is not None:
            admitted.append(key)
    kids = [key.kid for key in admitted if key.kid]
    # Without this: which of two keys verifies a token depends on their order.
    if len(kids) != len(set(kids)):
        raise _unfit("two signing keys share a key id")
    if not admitted:
        raise _unfit("no key passed admission")
    return AdmittedKeys(tuple(admitted))


def _admit(jwk: dict[str, Any]) -> AdmittedKey | None:
    kid, kty, crv = jwk.get("kid", ""), jwk.get("kty"), jwk.get("crv", "")
    if not isinstance(kid, str) or len(kid) > MAX_KID_CHARS or not isinstance(kty, str):
        return None
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
        return None
    algorithms = _ALGORITHMS_BY_SHAPE.get((kty, "" if kty == "RSA" else str(crv)))
    if algorithms is None:
        return None
    if "alg" in jwk:
        algorithms = algorithms.intersection({jwk["alg"]} if isinstance(jwk["alg"], str) else ())
    key = _import_key(jwk, kty)
    if key is None or not algorithms:
        return None
    issuer = jwk.get("issuer", "")
    return AdmittedKey(kid, algorithms, key, issuer if isinstance(issuer, str) else "")


def _import_key(jwk: dict[str, Any], kty: str) -> PublicKey | None:
    # Only the members that make up the key go in: labels were judged above, and x5c or x5u never count.
    parts: dict[str, str | list[str]] = {
        name: jwk[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in jwk
    }
    if not all(isinstance(value, str) for value in parts.values()):
        return None
    try:
        if kty == "RSA":
            key = RSAKey.import_key(parts)
            numbers = key.public_key.public_numbers()
            weak = not MIN_RSA_BITS <= numbers.n.bit_length() <= MAX_RSA_BITS or not numbers.e & 1
            return None if weak or not 3 <= numbers.e < 2**32 else key
        return ECKey.import_key(parts) if kty == "EC" else OKPKey.import_key(parts)
    except (JoseError, ValueError, TypeError, KeyError):
        return None


def _unfit(detail: str) -> ConnectorError:
    return ConnectorError(
        ConnectorErrorCode.KEYS_INVALID,
        "The identity provider's signing keys cannot be used.",
        detail=detail,
    )

"""Verifies JWTs that others signed, each under the profile of its kind; nothing is decoded without one."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError

from broker.kernel.errors import ErrorCode, Refusal
from broker.tokens import encoding
from broker.tokens.encoding import MAX_TOKEN_CHARS
from broker.tokens.foreign_keys import AdmittedKey, admit_keys

__all__ = [
    "MAX_TOKEN_CHARS",
    "AdmittedKey",
    "JwtProfile",
    "ProofProfile",
    "admit_keys",
    "verify_jws",
    "verify_jwt",
    "verify_proof",
]

MAX_PROOF_CHARS = 8_192
"""Larger proofs are refused before anything of them is decoded; that of an RSA key of 8192 bits has 4,000."""

UNTYPED = ""
"""In ``JwtProfile.typ``: a token without ``typ`` is allowed."""


@dataclass(frozen=True, slots=True)
class JwtProfile:
    """What one kind of JWT must be; ``audience`` lists the spellings of us, of which it names exactly one."""

    typ: frozenset[str]
    algorithms: frozenset[str]
    issuer: str
    audience: frozenset[str]
    max_age_seconds: int
    required: frozenset[str]


def verify_jwt(
    token: str, profile: JwtProfile, keys: Mapping[str, AdmittedKey], *, now: int, skew: int
) -> dict[str, Any]:
    """Return the claims of a token that fits ``profile`` and is signed by one of ``keys``.

    The key is one of ``keys`` or the token is refused: a ``jwk``, ``jku``, ``x5u`` or ``x5c`` of the
    header is never looked at (O03, O04). ``now`` and ``skew`` are seconds. Raises
    ``Refusal(invalid_token)`` with a reason; the caller answers with the code of its own endpoint.
    """
    payload = verify_jws(token, keys, typ=profile.typ, algorithms=profile.algorithms)
    claims = _object(payload)
    _check_claims(claims, profile, now, skew)
    return claims


def verify_jws(
    token: str, keys: Mapping[str, AdmittedKey], *, typ: frozenset[str], algorithms: frozenset[str]
) -> bytes:
    """Return the payload of a compact JWS (RFC 7515 §7.1) of such a ``typ`` that one of ``keys`` signed.

    Raises ``Refusal(invalid_token)`` with a reason. Nothing of the payload is read before.
    """
    # Without this: a header of many megabytes would be decoded for a stranger (O07).
    if len(token) > MAX_TOKEN_CHARS:
        raise _refuse("token_too_large")
    parts = token.split(".")
    if len(parts) != 3:
        raise _refuse("not_a_jwt")
    header, payload = _object(_canonical(parts[0])), _canonical(parts[1])
    _canonical(parts[2])
    key = _find_key(header, typ, algorithms, keys)
    try:
        jws.deserialize_compact(token, key.key, registry=_registry(header["alg"]))
    except (JoseError, ValueError, TypeError):
        raise _refuse("bad_signature") from None
    return payload


@dataclass(frozen=True, slots=True)
class ProofProfile:
    """What a proof of possession must be: a JWT that carries the very key that signed it."""

    typ: frozenset[str]
    algorithms: frozenset[str]
    required: frozenset[str]


def verify_proof(token: str, profile: ProofProfile) -> tuple[dict[str, Any], str]:
    """Return the claims of a proof and the thumbprint (RFC 7638) of the public key that it carries.

    The one kind of JWT whose header brings its key: it proves that the sender holds that key, and nothing
    else. The caller judges the claims. Raises ``Refusal(invalid_token)`` with a reason.
    """
    if len(token) > MAX_PROOF_CHARS:
        raise _refuse("token_too_large")
    keys, thumbprint = _embedded_key(token.partition(".")[0])
    claims = _object(verify_jws(token, keys, typ=profile.typ, algorithms=profile.algorithms))
    if any(claims.get(name) in (None, "") for name in profile.required):
        raise _refuse("claim_missing")
    return claims, thumbprint


@lru_cache(maxsize=512)
def _embedded_key(segment: str) -> tuple[Mapping[str, AdmittedKey], str]:
    """Return a header's key under the id that it gives, and its thumbprint; clients repeat their headers."""
    header = _object(_canonical(segment))
    jwk = header.get("jwk")
    if not isinstance(jwk, dict):
        raise _refuse("no_key")
    try:
        # Without this: a private or symmetric key in the header would "prove" what everybody now knows.
        (key,) = admit_keys({"keys": [jwk]}).values()
    except Refusal as refusal:
        raise _refuse(refusal.reason) from refusal
    return {str(header.get("kid", key.kid)): key}, key.key.thumbprint()


def _find_key(
    header: dict[str, Any],
    typ: frozenset[str],
    algorithms: frozenset[str],
    keys: Mapping[str, AdmittedKey],
) -> AdmittedKey:
    # Without this: a token of another kind that the same key signed would pass for this one (O35).
    if header.get("typ", UNTYPED) not in typ:
        raise _refuse("wrong_typ")
    # Without this: a rule that the signer calls critical would be ignored, or the payload of ``b64``
    # false be read as something else than what was signed (O06).
    if "crit" in header or "b64" in header:
        raise _refuse("critical_header")
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise _refuse("wrong_alg")
    if kid is None and len(keys) == 1:
        key = next(iter(keys.values()))
    else:
        found = keys.get(kid) if isinstance(kid, str) else None
        if found is None:
            raise _refuse("unknown_key")
        key = found
    # Without this: a public RSA key could serve as the secret of HS256 (O02).
    if algorithm not in key.algorithms:
        raise _refuse("wrong_alg")
    return key


def _check_claims(claims: dict[str, Any], profile: JwtProfile, now: int, skew: int) -> None:
    if any(claims.get(name) in (None, "") for name in profile.required):
        raise _refuse("claim_missing")
    if claims.get("iss") != profile.issuer:
        raise _refuse("wrong_issuer")
    audience = claims.get("aud")
    # Without this: a token that is also meant for somebody else could be replayed by them here.
    if isinstance(audience, list) and len(audience) == 1:
        audience = audience[0]
    if not isinstance(audience, str) or audience not in profile.audience:
        raise _refuse("wrong_audience")
    expires_at = _time(claims, "exp")
    if expires_at is None:
        raise _refuse("claim_missing")
    if expires_at <= now - skew:
        raise _refuse("token_expired")
    if expires_at > now + profile.max_age_seconds + skew:
        raise _refuse("lives_too_long")
    not_before, issued_at = _time(claims, "nbf"), _time(claims, "iat")
    if (not_before is not None and not_before > now + skew) or (
        issued_at is not None and issued_at > now + skew
    ):
        raise _refuse("not_yet_valid")
    if issued_at is not None and issued_at < now - profile.max_age_seconds - skew:
        raise _refuse("token_too_old")


def _time(claims: dict[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _refuse("bad_time")
    return value


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw, object_pairs_hook=_unique_members, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise _refuse("not_a_jwt") from None
    if not isinstance(value, dict):
        raise _refuse("not_a_jwt")
    return value


def _canonical(segment: str) -> bytes:
    try:
        return encoding.decode(segment)
    except ValueError:
        raise _refuse("not_a_jwt") from None


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Without this: two readers could take two values from one name that is there twice.
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice")
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@lru_cache(maxsize=16)
def _registry(algorithm: str) -> jws.JWSRegistry:
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    # A certificate chain in the header is never used, but it is no fault either.
    registry.max_header_length = MAX_TOKEN_CHARS
    return registry


def _refuse(reason: str) -> Refusal:
    return Refusal(ErrorCode.INVALID_TOKEN, "The token is not valid.", reason=reason)

"""Reads what a provider signed: header, key, signature, issuer, by a profile per kind of token.

What the claims must say beside that is for the module of each kind.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError

from idp_connectors.base import Deps
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.oidc.discovery import ProviderMetadata
from idp_connectors.oidc.issuer_rule import is_key_of, read_issuer
from idp_connectors.oidc.key_admission import MAX_KID_CHARS
from idp_connectors.oidc.key_source import get_key

MAX_TOKEN_CHARS = 16 * 1024
SKEW_SECONDS = 60

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
"""The signature may be empty here, so that an unsigned token is refused as what it is."""


@dataclass(frozen=True, slots=True)
class TokenProfile:
    """One kind of token: its name for people, its parameter, and the `typ` values it may carry.

    A token without `typ` counts as `jwt`.
    """

    noun: str
    field: str
    types: frozenset[str]


@dataclass(frozen=True, slots=True)
class SignedClaims:
    """Claims that a key of the provider signed; `issuer` is the canonical spelling of `iss`."""

    claims: dict[str, Any]
    issuer: str
    algorithm: str


def read_signed_claims(
    token: object,
    metadata: ProviderMetadata,
    profile: TokenProfile,
    deps: Deps,
    *,
    algorithms: Collection[str],
    tenant_ids: Collection[str] = (),
) -> SignedClaims:
    """Return the claims of a token of this kind that the provider signed; raises ConnectorError."""
    # Without this: the size is only discovered after base64 and JSON have been given megabytes.
    if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARS or not _COMPACT.fullmatch(token):
        raise malformed(profile, "not a compact signed token of acceptable size")
    header = _json_object(token.split(".", 1)[0], profile)
    algorithm, kid = _read_header(header, algorithms, profile)
    key = get_key(metadata, kid, algorithm, deps)
    try:
        verified = jws.deserialize_compact(
            token, key.key, registry=jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
        )
    except (JoseError, ValueError) as error:
        raise ConnectorError(
            ConnectorErrorCode.SIGNATURE_INVALID,
            f"The {profile.noun}'s signature is not valid.",
            detail=f"{type(error).__name__}: {error}",
        ) from error
    claims = _parse_object(verified.payload, profile)
    issuer = read_issuer(claims, metadata.issuer, tenant_ids)
    # Without this: a key that signs for one directory only vouches for people of all the others.
    if not is_key_of(key.issuer, metadata.issuer, issuer):
        raise ConnectorError(
            ConnectorErrorCode.SIGNATURE_INVALID,
            f"The {profile.noun} is signed by a key of another organisation.",
            detail=f"the key signs for {key.issuer!r:.200}, the token is of {issuer!r:.200}",
        )
    return SignedClaims(claims, issuer, algorithm)


def check_times(claims: dict[str, Any], profile: TokenProfile, now: int, *, needs_end: bool) -> float:
    """Return `iat` of a token that is neither over nor from the future; raises ConnectorError."""
    expires_at = read_seconds(claims, "exp", profile, required=needs_end)
    issued_at = read_seconds(claims, "iat", profile, required=True) or 0.0
    not_before = read_seconds(claims, "nbf", profile, required=False)
    if expires_at is not None and now >= expires_at + SKEW_SECONDS:
        raise ConnectorError(
            ConnectorErrorCode.EXPIRED,
            f"The {profile.noun} has expired.",
            detail=f"exp {expires_at}, now {now}",
        )
    for name, moment in (("iat", issued_at), ("nbf", not_before)):
        if moment is not None and moment > now + SKEW_SECONDS:
            raise ConnectorError(
                ConnectorErrorCode.NOT_YET_VALID,
                f"The {profile.noun} is from the future. Compare the clocks of both systems.",
                detail=f"{name} {moment}, now {now}",
                field=name,
            )
    return issued_at


def check_audience(claims: dict[str, Any], profile: TokenProfile, client_id: str) -> None:
    """Return if the token was made for this client alone; raises ConnectorError."""
    audience = claims.get("aud")
    # Without this: a token that another application received, alone or together with us, counts here.
    if audience != client_id and audience != [client_id]:
        raise ConnectorError(
            ConnectorErrorCode.AUDIENCE_MISMATCH,
            f"The {profile.noun} was made for another application.",
            detail=f"aud is {audience!r:.200}",
            field="aud",
        )


def read_seconds(claims: dict[str, Any], name: str, profile: TokenProfile, *, required: bool) -> float | None:
    """Return a claim that holds a time in epoch seconds; raises ConnectorError."""
    value = claims.get(name)
    if value is None and not required:
        return None
    if value is None:
        raise ConnectorError(
            ConnectorErrorCode.CLAIM_MISSING, f"The {profile.noun} lacks {name}.", field=name
        )
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConnectorError(
            ConnectorErrorCode.CLAIM_INVALID, f"The {profile.noun}'s {name} is not a time.", field=name
        )
    return value


def malformed(profile: TokenProfile, detail: str) -> ConnectorError:
    """Return the refusal of a token that no honest provider sends; `detail` is for the log."""
    return ConnectorError(
        ConnectorErrorCode.DOCUMENT_REFUSED,
        f"The {profile.noun} is malformed.",
        detail=detail,
        field=profile.field,
    )


def _read_header(
    header: dict[str, Any], allowed: Collection[str], profile: TokenProfile
) -> tuple[str, str | None]:
    """Return algorithm and key id; `jwk`, `jku`, `x5c` and `x5u` are not looked at, ever."""
    algorithm, kid = header.get("alg"), header.get("kid")
    # Without this: `none`, or HMAC with the provider's public key as the secret, signs anything.
    if not isinstance(algorithm, str) or algorithm not in allowed:
        raise ConnectorError(
            ConnectorErrorCode.ALGORITHM_REFUSED,
            f"The {profile.noun} is signed in a way that this connection does not accept.",
            detail=f"alg is {algorithm!r:.40}",
        )
    # Without this: an extension that we do not understand could change what the signature means.
    if "crit" in header or "b64" in header:
        raise malformed(profile, "the header demands an extension")
    # Without this: a token made for another purpose by the same keys passes for one of this kind.
    typ = header.get("typ", "jwt")
    if not isinstance(typ, str) or typ.lower().removeprefix("application/") not in profile.types:
        raise malformed(profile, f"typ is {typ!r:.40}")
    if kid is not None and (not isinstance(kid, str) or not kid or len(kid) > MAX_KID_CHARS):
        raise malformed(profile, "kid is not a short text")
    return algorithm, kid


def _json_object(segment: str, profile: TokenProfile) -> dict[str, Any]:
    try:
        return _parse_object(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)), profile)
    except (binascii.Error, ValueError) as error:
        raise malformed(profile, f"header: {error}") from error


def _parse_object(data: bytes, profile: TokenProfile) -> dict[str, Any]:
    try:
        value = json.loads(data, object_pairs_hook=_refuse_repeated_names)
    except (ValueError, RecursionError) as error:
        raise malformed(profile, f"JSON: {type(error).__name__}") from error
    if not isinstance(value, dict):
        raise malformed(profile, "not a JSON object")
    return value


def _refuse_repeated_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Without this: two readers of one token may see two different values (RFC 7519 section 4).
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member name occurs twice")
    return found

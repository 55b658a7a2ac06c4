"""Checks an ID token in full (OpenID Connect Core 3.1.3.7) and returns its claims, or refuses it."""

import base64
import binascii
import hashlib
import hmac
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
from idp_connectors.identity_rules import require_subject
from idp_connectors.oidc.discovery import ProviderMetadata
from idp_connectors.oidc.issuer_rule import is_key_of, read_issuer
from idp_connectors.oidc.key_admission import MAX_KID_CHARS
from idp_connectors.oidc.key_source import get_key

MAX_TOKEN_CHARS = 16 * 1024
SKEW_SECONDS = 60

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
"""The signature may be empty here, so that an unsigned token is refused as what it is."""
_HASHES = {
    "256": hashlib.sha256,
    "384": hashlib.sha384,
    "512": hashlib.sha512,
}


@dataclass(frozen=True, slots=True)
class Expectation:
    """What an ID token must match: the client, the nonce of this sign-in, and the algorithms allowed.

    `tenant_ids` and `hosted_domains` narrow an issuer that speaks for many organisations; empty means that
    the issuer speaks for one.
    """

    client_id: str
    nonce: str
    algorithms: Collection[str]
    access_token: str = ""
    tenant_ids: Collection[str] = ()
    hosted_domains: Collection[str] = ()


def verify_id_token(
    token: object, metadata: ProviderMetadata, expected: Expectation, deps: Deps
) -> dict[str, Any]:
    """Return the claims of an ID token that passed every check; raises ConnectorError."""
    # Without this: the size is only discovered after base64 and JSON have been given megabytes.
    if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARS or not _COMPACT.fullmatch(token):
        raise _malformed("not a compact signed token of acceptable size")
    header = _json_object(token.split(".", 1)[0])
    algorithm, kid = _read_header(header, expected.algorithms)
    key = get_key(metadata, kid, algorithm, deps)
    try:
        verified = jws.deserialize_compact(
            token, key.key, registry=jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
        )
    except (JoseError, ValueError) as error:
        raise ConnectorError(
            ConnectorErrorCode.SIGNATURE_INVALID,
            "The ID token's signature is not valid.",
            detail=f"{type(error).__name__}: {error}",
        ) from error
    claims = _parse_object(verified.payload)
    issuer = read_issuer(claims, metadata.issuer, expected.tenant_ids)
    # Without this: a key that signs for one directory only vouches for people of all the others.
    if not is_key_of(key.issuer, metadata.issuer, issuer):
        raise ConnectorError(
            ConnectorErrorCode.SIGNATURE_INVALID,
            "The ID token is signed by a key of another organisation.",
            detail=f"the key signs for {key.issuer!r:.200}, the token is of {issuer!r:.200}",
        )
    _check_parties(claims, expected)
    _check_times(claims, deps.now)
    _check_nonce(claims, expected.nonce)
    _check_access_token_hash(claims, expected.access_token, algorithm)
    require_subject(claims.get("sub"), "sub")
    return claims


def _read_header(header: dict[str, Any], allowed: Collection[str]) -> tuple[str, str | None]:
    """Return algorithm and key id; `jwk`, `jku`, `x5c` and `x5u` are not looked at, ever."""
    algorithm, kid = header.get("alg"), header.get("kid")
    # Without this: `none`, or HMAC with the provider's public key as the secret, signs anything.
    if not isinstance(algorithm, str) or algorithm not in allowed:
        raise ConnectorError(
            ConnectorErrorCode.ALGORITHM_REFUSED,
            "The ID token is signed in a way that this connection does not accept.",
            detail=f"alg is {algorithm!r:.40}",
        )
    # Without this: an extension that we do not understand could change what the signature means.
    if "crit" in header or "b64" in header:
        raise _malformed("the header demands an extension")
    # Without this: a token made for another purpose by the same keys passes for an ID token.
    typ = header.get("typ", "JWT")
    if not isinstance(typ, str) or typ.lower() not in ("jwt", "application/jwt"):
        raise _malformed(f"typ is {typ!r:.40}")
    if kid is not None and (not isinstance(kid, str) or not kid or len(kid) > MAX_KID_CHARS):
        raise _malformed("kid is not a short text")
    return algorithm, kid


def _check_parties(claims: dict[str, Any], expected: Expectation) -> None:
    audience = claims.get("aud")
    # Without this: a token that another application received, alone or together with us, signs in here.
    if audience != expected.client_id and audience != [expected.client_id]:
        raise ConnectorError(
            ConnectorErrorCode.AUDIENCE_MISMATCH,
            "The ID token was made for another application.",
            detail=f"aud is {audience!r:.200}",
            field="aud",
        )
    if "azp" in claims and claims["azp"] != expected.client_id:
        raise ConnectorError(
            ConnectorErrorCode.AUDIENCE_MISMATCH,
            "The ID token was made for another application.",
            detail=f"azp is {claims['azp']!r:.200}",
            field="azp",
        )
    # Without this: the `hd` that we asked for is only a hint to the page, and any Google account signs in.
    if expected.hosted_domains and claims.get("hd") not in expected.hosted_domains:
        raise ConnectorError(
            ConnectorErrorCode.CLAIM_INVALID,
            "This account does not belong to the organisation. Choose your work account.",
            detail=f"hd is {claims.get('hd')!r:.200}",
            field="hd",
        )


def _check_times(claims: dict[str, Any], now: int) -> None:
    expires_at = _seconds(claims, "exp", required=True)
    issued_at = _seconds(claims, "iat", required=True)
    not_before = _seconds(claims, "nbf", required=False)
    if expires_at is not None and now >= expires_at + SKEW_SECONDS:
        raise ConnectorError(
            ConnectorErrorCode.EXPIRED, "The ID token has expired.", detail=f"exp {expires_at}, now {now}"
        )
    for name, moment in (("iat", issued_at), ("nbf", not_before)):
        if moment is not None and moment > now + SKEW_SECONDS:
            raise ConnectorError(
                ConnectorErrorCode.NOT_YET_VALID,
                "The ID token is from the future. Compare the clocks of both systems.",
                detail=f"{name} {moment}, now {now}",
                field=name,
            )


def _seconds(claims: dict[str, Any], name: str, *, required: bool) -> float | None:
    value = claims.get(name)
    if value is None and not required:
        return None
    if value is None:
        raise ConnectorError(ConnectorErrorCode.CLAIM_MISSING, f"The ID token lacks {name}.", field=name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConnectorError(
            ConnectorErrorCode.CLAIM_INVALID, f"The ID token's {name} is not a time.", field=name
        )
    return value


def _check_nonce(claims: dict[str, Any], nonce: str) -> None:
    found = claims.get("nonce")
    # Without this: an ID token stolen from another sign-in can be injected into this one.
    if not nonce or not isinstance(found, str) or not hmac.compare_digest(found.encode(), nonce.encode()):
        raise ConnectorError(
            ConnectorErrorCode.NONCE_MISMATCH,
            "The ID token does not belong to this sign-in.",
            detail="nonce is absent" if found is None else "nonce differs",
            field="nonce",
        )


def _check_access_token_hash(claims: dict[str, Any], access_token: str, algorithm: str) -> None:
    """Refuse an access token that the ID token does not vouch for, if it vouches at all (Core 3.1.3.8)."""
    if "at_hash" not in claims or not access_token:
        return
    digest = _HASHES.get(algorithm[-3:], hashlib.sha512)(access_token.encode()).digest()
    half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    found = claims["at_hash"]
    if not isinstance(found, str) or not hmac.compare_digest(found.encode(), half):
        raise ConnectorError(
            ConnectorErrorCode.CLAIM_INVALID,
            "The access token does not belong to the ID token.",
            field="at_hash",
        )


def _json_object(segment: str) -> dict[str, Any]:
    try:
        return _parse_object(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (binascii.Error, ValueError) as error:
        raise _malformed(f"header: {error}") from error


def _parse_object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data, object_pairs_hook=_refuse_repeated_names)
    except (ValueError, RecursionError) as error:
        raise _malformed(f"JSON: {type(error).__name__}") from error
    if not isinstance(value, dict):
        raise _malformed("not a JSON object")
    return value


def _refuse_repeated_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Without this: two readers of one token may see two different values (RFC 7519 section 4).
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member name occurs twice")
    return found


def _malformed(detail: str) -> ConnectorError:
    return ConnectorError(
        ConnectorErrorCode.DOCUMENT_REFUSED, "The ID token is malformed.", detail=detail, field="id_token"
    )

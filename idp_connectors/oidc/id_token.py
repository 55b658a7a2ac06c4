"""Checks an ID token in full (OpenID Connect Core 3.1.3.7) and returns its claims, or refuses it."""

import base64
import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from idp_connectors.base import Deps
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.identity_rules import require_subject
from idp_connectors.oidc.discovery import ProviderMetadata
from idp_connectors.oidc.signed_claims import TokenProfile, check_audience, check_times, read_signed_claims

ID_TOKEN = TokenProfile("ID token", "id_token", frozenset({"jwt"}))

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
    claims = verify_issued_id_token(token, metadata, expected, deps)
    _check_nonce(claims, expected.nonce)
    return claims


def verify_issued_id_token(
    token: object, metadata: ProviderMetadata, expected: Expectation, deps: Deps
) -> dict[str, Any]:
    """Return the claims of an ID token that passed every check but that of the sign-in it belongs to.

    Raises ConnectorError.
    """
    signed = read_signed_claims(
        token,
        metadata,
        ID_TOKEN,
        deps,
        algorithms=expected.algorithms,
        tenant_ids=expected.tenant_ids,
    )
    claims = signed.claims
    _check_parties(claims, expected)
    check_times(claims, ID_TOKEN, deps.now, needs_end=True)
    _check_access_token_hash(claims, expected.access_token, signed.algorithm)
    require_subject(claims.get("sub"), "sub")
    return claims


def _check_parties(claims: dict[str, Any], expected: Expectation) -> None:
    check_audience(claims, ID_TOKEN, expected.client_id)
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

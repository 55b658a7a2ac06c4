"""Checks a Logout Token (Back-Channel Logout 1.0 section 2.6) and says who is to be signed out."""

from collections.abc import Collection
from typing import Any

from idp_connectors.base import Deps, Mark, SignOutOrder
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.identity_rules import is_clean_text
from idp_connectors.oidc.discovery import ProviderMetadata
from idp_connectors.oidc.signed_claims import (
    SKEW_SECONDS,
    TokenProfile,
    check_audience,
    check_times,
    malformed,
    read_signed_claims,
)

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_TOKEN = TokenProfile("logout token", "logout_token", frozenset({"logout+jwt", "jwt"}))
"""The final text names `logout+jwt`; older providers send `JWT` or nothing, and `events` tells them apart."""
MAX_AGE_SECONDS = 600
MAX_NAME_CHARS = 512
REPLAY_KIND = "oidc_logout_token"


def read_logout_token(
    token: object,
    metadata: ProviderMetadata,
    deps: Deps,
    *,
    client_id: str,
    algorithms: Collection[str],
    tenant_ids: Collection[str] = (),
) -> SignOutOrder:
    """Return whose sessions a logout token ends; raises ConnectorError.

    Its `mark` is not spent here: the caller spends it together with what the order ends.
    """
    signed = read_signed_claims(
        token, metadata, LOGOUT_TOKEN, deps, algorithms=algorithms, tenant_ids=tenant_ids
    )
    claims = signed.claims
    check_audience(claims, LOGOUT_TOKEN, client_id)
    _check_age(claims, deps.now)
    _check_event(claims)
    person, session = _read_name(claims, "sub"), _read_name(claims, "sid")
    if not person and not session:
        raise ConnectorError(
            ConnectorErrorCode.CLAIM_MISSING,
            "The logout token names neither a session nor a person.",
            field="sid",
        )
    token_id = _read_name(claims, "jti")
    if not token_id:
        raise ConnectorError(ConnectorErrorCode.CLAIM_MISSING, "The logout token lacks jti.", field="jti")
    return SignOutOrder(
        issuer=signed.issuer,
        person=person,
        sessions=(session,) if session else (),
        mark=Mark(
            REPLAY_KIND,
            f"{signed.issuer}|{client_id}|{token_id}",
            deps.now + MAX_AGE_SECONDS + 2 * SKEW_SECONDS,
        ),
    )


def _check_age(claims: dict[str, Any], now: int) -> None:
    # Drafts had no `exp`, and some providers still send none; the age bounds those too.
    issued_at = check_times(claims, LOGOUT_TOKEN, now, needs_end=False)
    # Without this: a token caught long ago ends sessions once our memory of its `jti` is gone.
    if now > issued_at + MAX_AGE_SECONDS + SKEW_SECONDS:
        raise ConnectorError(
            ConnectorErrorCode.EXPIRED,
            "The logout token is too old.",
            detail=f"iat {issued_at}, now {now}",
            field="iat",
        )


def _check_event(claims: dict[str, Any]) -> None:
    events = claims.get("events")
    # Without this: an ID token or a security event of the same provider signs people out.
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise ConnectorError(
            ConnectorErrorCode.CLAIM_MISSING,
            "The token is not a logout token: it names no logout event.",
            detail=f"events is {events!r:.200}",
            field="events",
        )
    # Without this: a logout token could be made to look like an ID token, and an ID token like this one.
    if "nonce" in claims:
        raise malformed(LOGOUT_TOKEN, "a logout token carries no nonce")


def _read_name(claims: dict[str, Any], name: str) -> str:
    """Return a claim that names something, or an empty string where it is absent."""
    value = claims.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME_CHARS or not is_clean_text(value):
        raise ConnectorError(
            ConnectorErrorCode.CLAIM_INVALID, f"The logout token's {name} is not usable.", field=name
        )
    return value

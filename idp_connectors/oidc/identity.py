"""Turns the claims of a verified ID token into a `VerifiedIdentity`."""

from collections.abc import Mapping
from typing import Any

from idp_connectors.base import Group, GroupsState, VerifiedIdentity
from idp_connectors.claim_mapping import pick
from idp_connectors.groups.plan import may_be_cut
from idp_connectors.identity_rules import email_verified_by, is_clean_text, require_subject
from idp_connectors.oidc.config import OidcConfig
from idp_connectors.oidc.issuer_rule import TENANT_MARK
from idp_connectors.oidc.step_up import read_acr

MAX_GROUPS = 2000


def to_identity(
    claims: Mapping[str, Any], config: OidcConfig, id_token: str, end_session_endpoint: str = ""
) -> VerifiedIdentity:
    """Return the identity that these verified claims describe; raises ConnectorError."""
    groups, state = read_groups(claims, config)
    email = pick("email", claims)
    if not is_clean_text(email):
        email = ""
    amr = claims.get("amr")
    auth_time = claims.get("auth_time")
    return VerifiedIdentity(
        issuer=_issuer(claims, config),
        subject=_subject(claims, config),
        subject_kind=config.subject,
        email=email or None,
        email_verified_by=email_verified_by(
            email, config.email_domains, asserted=_says_verified(claims.get("email_verified"))
        ),
        display_name=pick("display_name", claims),
        given_name=pick("given_name", claims),
        family_name=pick("family_name", claims),
        groups=groups,
        groups_state=state,
        groups_source="id_token",
        auth_time=auth_time if isinstance(auth_time, int) and not isinstance(auth_time, bool) else None,
        acr=read_acr(claims, config),
        amr=tuple(method for method in amr if isinstance(method, str)) if isinstance(amr, list) else (),
        session_index=claims["sid"] if isinstance(claims.get("sid"), str) else "",
        name_id=require_subject(claims.get("sub"), "sub"),
        private=_sign_out_facts(claims, id_token, end_session_endpoint),
        raw_claims=dict(claims),
    )


def read_groups(claims: Mapping[str, Any], config: OidcConfig) -> tuple[tuple[Group, ...], GroupsState]:
    """Return the groups and how far they can be trusted to be all; only "complete" may grant roles.

    Microsoft Entra replaces a long list by `_claim_names` (or `hasgroups`): that is "overage".
    """
    name = config.groups_claim
    if not name:
        return (), "absent"
    elsewhere = claims.get("_claim_names")
    if (isinstance(elsewhere, dict) and name in elsewhere) or claims.get("hasgroups") in (True, "true"):
        return (), "overage"
    if name not in claims:
        return (), "absent"
    listed = claims[name]
    values = [listed] if isinstance(listed, str) else listed
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        return (), "error"
    usable = list(dict.fromkeys(value for value in values if value and is_clean_text(value)))
    is_cut = len(usable) > MAX_GROUPS or may_be_cut(len(values), config)
    state: GroupsState = "truncated" if is_cut else "complete"
    return tuple(Group(config.group_kind, value) for value in usable[:MAX_GROUPS]), state


def _sign_out_facts(claims: Mapping[str, Any], id_token: str, end_session_endpoint: str) -> dict[str, str]:
    """Return what a sign-out at the provider will need; nothing is kept for one that offers none."""
    if not end_session_endpoint:
        return {}
    hint = claims.get("login_hint")
    return {
        "end_session_endpoint": end_session_endpoint,
        "id_token_hint": id_token,
        "logout_hint": hint if isinstance(hint, str) else "",
    }


def _issuer(claims: Mapping[str, Any], config: OidcConfig) -> str:
    """Return the issuer in its canonical spelling; the ID-token checks have accepted `tid` and `iss`."""
    if TENANT_MARK not in config.issuer:
        return config.issuer
    return config.issuer.replace(TENANT_MARK, require_subject(claims.get("tid"), "tid"))


def _subject(claims: Mapping[str, Any], config: OidcConfig) -> str:
    if config.subject == "sub":
        return require_subject(claims.get("sub"), "sub")
    # In Entra `sub` changes with the application; only object and tenant id together stay.
    tenant = require_subject(claims.get("tid"), "tid")
    return f"{tenant}/{require_subject(claims.get('oid'), 'oid')}"


def _says_verified(value: object) -> bool | None:
    """Return the provider's word about the address; some send it as text."""
    if value is None:
        return None
    return value is True or value == "true"

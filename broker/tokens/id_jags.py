"""Mints ID-JAGs: one-off letters of introduction to another domain's authorization server."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker.kernel.group_commit import Transaction
from broker.kernel.ids import new_id
from broker.kernel.runtime import Runtime
from broker.policy.values import Chain
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.issuing import IssuedToken, TokenDraft, actor_claim, insert_rows, token_row
from broker.tokens.keys import signing_key
from broker.tokens.signing import ID_JAG_TYP, sign_jwt


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """What the other side must recognise: itself, the client and the person, by the names that it uses."""

    issuer: str
    client_id: str
    subject: str
    resource: str = ""
    email: str = ""
    actors: Chain = ()


def issue_id_jag(
    tx: Transaction,
    rt: Runtime,
    tenant: TenantSnapshot,
    draft: TokenDraft,
    introduction: Introduction,
    *,
    now: int,
) -> IssuedToken:
    """Return a signed ID-JAG (ID-JAG §3.1) whose row, as that of any token, is written before the commit.

    It carries no ``dlg`` and no roles: what this tenant knows of the person stays here.
    Raises ``ValueError`` for a draft that has expired.
    """
    if draft.expires_at <= now:
        raise ValueError("an ID-JAG must live")
    jti = new_id("idj")
    path = f"{draft.parent_path or '/'}{jti}/"
    claims: dict[str, Any] = {
        "iss": tenant.issuer,
        "sub": introduction.subject,
        "aud": introduction.issuer,
        "client_id": introduction.client_id,
        "jti": jti,
        "iat": now,
        "exp": draft.expires_at,
        "scope": " ".join(sorted(draft.scopes)),
        **_optional(draft, introduction),
    }
    token = sign_jwt(signing_key(rt, tenant.id), ID_JAG_TYP, claims)
    tx.defer(insert_rows, token_row(tenant, draft, jti, path, now))
    return IssuedToken(token, jti, draft.expires_at, claims, path)


def _optional(draft: TokenDraft, introduction: Introduction) -> Mapping[str, Any]:
    found = {
        "resource": introduction.resource,
        "email": introduction.email,
        "auth_time": draft.auth_time,
        "acr": draft.acr,
        "amr": list(draft.amr),
        # Who proved a key here must prove it there too (IDJ-08).
        "cnf": {"jkt": draft.jkt} if draft.jkt else None,
        "act": actor_claim(introduction.actors) if introduction.actors else None,
    }
    return {name: value for name, value in found.items() if value}

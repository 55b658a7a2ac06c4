"""The one mint: every access token is made here, with its row and its parent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection, Table, insert

from broker.kernel.group_commit import Transaction
from broker.kernel.ids import new_id
from broker.kernel.prepared import Prepared
from broker.kernel.runtime import Runtime
from broker.policy.values import Actor, Chain
from broker.tenants.settings import MAX_DEPTH
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens import models
from broker.tokens.keys import signing_key
from broker.tokens.signing import ACCESS_TOKEN_TYP, sign_jwt

_INSERT = Prepared(insert(cast(Table, models.IssuedToken.__table__)))


class TokenDraft(NamedTuple):
    """What was decided about a token before it is minted; times are epoch seconds.

    ``chain`` holds the actors, outermost first, empty for an agent that acts for itself. The person's
    ``auth_time``, ``acr``, ``amr`` and ``sid`` are left out of the token unless there is a ``user_id``, as
    are completeness, sources and time of the groups that the roles follow from. ``jkt`` is the thumbprint of
    the key that the presenter proved, empty for a bearer token.
    """

    subject: str
    subject_profile: str
    client_id: str
    chain: Chain
    audience: str
    scopes: frozenset[str]
    roles: frozenset[str]
    grant_id: str
    depth: int
    max_depth: int
    delegable: bool
    expires_at: int
    txn: str = ""
    user_id: str | None = None
    connection_id: str | None = None
    agent_id: str | None = None
    parent_jti: str | None = None
    parent_path: str = ""
    auth_time: int | None = None
    acr: str = ""
    amr: Sequence[str] = ()
    sid: str | None = None
    consent_id: str | None = None
    origin_protocol: str = ""
    origin_idp: str = ""
    groups_state: str = ""
    groups_source: str = ""
    groups_at: int = 0
    jkt: str = ""
    purpose_hash: str = ""
    instance: str = ""
    may_act: Actor | None = None


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A minted access token; it counts once the transaction that holds its row is committed."""

    token: str
    jti: str
    expires_at: int
    claims: dict[str, Any]
    path: str


def issue_access_token(
    tx: Transaction, rt: Runtime, tenant: TenantSnapshot, draft: TokenDraft, *, now: int
) -> IssuedToken:
    """Return a signed access token (RFC 9068, protocols §5) whose row is written before the commit.

    The token and its row say the same. Raises ``ValueError`` for a draft that could not be honest: one
    that has expired, is deeper than allowed, or names a parent without its path.
    """
    if draft.expires_at <= now or not 0 <= draft.depth <= draft.max_depth:
        raise ValueError("a token must live, and no deeper than its tree may be")
    has_parent = draft.parent_jti is not None
    if draft.parent_path.endswith(f"/{draft.parent_jti}/") is not has_parent or has_parent is not bool(
        draft.parent_path
    ):
        raise ValueError("a parent and its path belong together")
    jti = new_id("at")
    path = f"{draft.parent_path or '/'}{jti}/"
    claims = _claims(tenant, draft, jti, path, now)
    token = sign_jwt(signing_key(rt, tenant.id), ACCESS_TOKEN_TYP, claims)
    tx.defer(insert_rows, token_row(tenant, draft, jti, path, now))
    return IssuedToken(token, jti, draft.expires_at, claims, path)


def insert_rows(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows of all tokens of a shared transaction in one statement."""
    _INSERT.run_many(connection, rows)


def _claims(tenant: TenantSnapshot, draft: TokenDraft, jti: str, path: str, now: int) -> dict[str, Any]:
    claims: dict[str, Any] = {
        "iss": tenant.issuer,
        "sub": draft.subject,
        "sub_profile": draft.subject_profile,
        "aud": draft.audience,
        "client_id": draft.client_id,
        "jti": jti,
        "iat": now,
        "nbf": now,
        "exp": draft.expires_at,
        "scope": " ".join(sorted(draft.scopes)),
    }
    if draft.roles:
        claims["roles"] = sorted(draft.roles)
    if draft.user_id is not None:
        claims.update(_sign_in_claims(draft))
    claims["txn"] = draft.txn or new_id("txn")
    if draft.jkt:
        # The key is the outermost actor's, who will present the token (ACT-05, RFC 9449 §6.1).
        claims["cnf"] = {"jkt": draft.jkt}
    if draft.chain:
        claims["act"] = actor_claim(draft.chain)
    if draft.may_act:
        claims["may_act"] = {"iss": draft.may_act.issuer, "sub": draft.may_act.id}
    claims["dlg"] = _delegation(tenant, draft, path)
    return claims


def _sign_in_claims(draft: TokenDraft) -> dict[str, Any]:
    """The person's sign-in as it was; an exchange copies it and never improves it (protocols §5)."""
    found = {"auth_time": draft.auth_time, "acr": draft.acr, "amr": list(draft.amr), "sid": draft.sid}
    return {name: value for name, value in found.items() if value}


def actor_claim(chain: Chain) -> dict[str, Any]:
    """Return the actor claim of RFC 8693 §4.1: the outermost actor holds the earlier ones."""
    nested: dict[str, Any] = {}
    for actor in reversed(chain):
        inner = {"act": nested} if nested else {}
        nested = {"sub": actor.id, "iss": actor.issuer, "sub_profile": actor.profile, **inner}
    return nested


def read_chain(claim: Any) -> Chain:
    """Return the actors of an ``act`` claim, outermost first; none for an absent one (RFC 8693 §4.1).

    Raises ``ValueError`` for one that ``actor_claim`` could not write down again unchanged, or that is
    longer than any chain may be. Without this: what an actor says of itself could get lost on the way.
    """
    chain: list[Actor] = []
    while claim is not None:
        if not isinstance(claim, dict) or not claim.keys() <= {"iss", "sub", "sub_profile", "act"}:
            raise ValueError("not an actor")
        names = [claim.get(name) for name in ("iss", "sub", "sub_profile")]
        texts = [name for name in names if isinstance(name, str) and 0 < len(name) <= 500]
        if len(texts) != len(names) or len(chain) == MAX_DEPTH:
            raise ValueError("an actor has an issuer, a subject and a profile")
        chain.append(Actor(*texts))
        claim = claim.get("act")
    return tuple(chain)


def _delegation(tenant: TenantSnapshot, draft: TokenDraft, path: str) -> dict[str, Any]:
    claim: dict[str, Any] = {
        "v": 1,
        "tenant": tenant.slug,
        "grant": draft.grant_id,
        "root": path.split("/", 2)[1],
        "depth": draft.depth,
        "max_depth": draft.max_depth,
        "delegable": draft.delegable,
    }
    if draft.parent_jti:
        claim["parent"] = draft.parent_jti
    if draft.consent_id:
        claim["consent"] = draft.consent_id
    if draft.purpose_hash:
        claim["purpose_hash"] = draft.purpose_hash
    if draft.instance:
        claim["instance"] = draft.instance
    if draft.origin_protocol:
        claim["origin"] = {"protocol": draft.origin_protocol, "idp": draft.origin_idp}
    if draft.user_id is not None and draft.groups_state:
        claim["groups"] = _provenance(draft)
    return claim


def _provenance(draft: TokenDraft) -> dict[str, Any]:
    """Return how complete the person's groups were, who told them and when, so that a resource can judge."""
    found = {"state": draft.groups_state, "source": draft.groups_source, "at": draft.groups_at}
    return {name: value for name, value in found.items() if value}


def token_row(tenant: TenantSnapshot, draft: TokenDraft, jti: str, path: str, now: int) -> dict[str, Any]:
    """Return the row of something that is issued; whatever leaves here has one, with its parent."""
    # The gate looks at our own agents; who acted in another domain before stands in the token.
    chain = [actor.id for actor in draft.chain if actor.issuer == tenant.issuer]
    if draft.user_id is None:
        # An agent that acts for itself is the subject; the gate must look at it as well.
        chain.append(draft.subject)
    return {
        "tenant_id": tenant.id,
        "jti": jti,
        "parent_jti": draft.parent_jti,
        "path": path,
        "depth": draft.depth,
        "grant_id": draft.grant_id,
        "client_id": draft.client_id,
        "agent_id": draft.agent_id,
        "user_id": draft.user_id,
        "connection_id": draft.connection_id,
        "chain": chain,
        "audience": draft.audience,
        "scopes": sorted(draft.scopes),
        "roles": sorted(draft.roles),
        "issued_at": now,
        "expires_at": draft.expires_at,
        "ended_at": None,
        "ended_by": "",
    }

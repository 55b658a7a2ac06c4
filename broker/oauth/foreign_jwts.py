"""JWTs that the tenant's trusted issuers and platforms sign: which entry they fall under, and verification.

Everything here may wait for another server, so it runs before the transaction begins.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection

from broker.agents.trusts.kinds import IssuerConfig, WorkloadConfig
from broker.agents.trusts.snapshot import IssuerView, WorkloadView, load_trusts
from broker.kernel import replay
from broker.kernel.errors import Refusal
from broker.kernel.ids import sha256_hex
from broker.kernel.runtime import Runtime
from broker.oauth.not_accepted import refused
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens import encoding
from broker.tokens.foreign_keys import AdmittedKey
from broker.tokens.profiles import MAX_TOKEN_CHARS, UNTYPED, JwtProfile, admit_keys, verify_jwt
from broker.tokens.published_keys import published_keys
from broker.tokens.signing import ID_JAG_TYP

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SKEW_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Mark:
    """Makes a foreign token usable once; ``key`` is empty where the entry lets it be used until it ends."""

    kind: str
    tenant_id: str
    key: str
    expires_at: int

    def spend(self, connection: Connection) -> None:
        """Mark the token used, in the caller's transaction; raises ``Refusal(invalid_grant)`` if it was."""
        # Without this: whoever sees one in passing could use it again until it ends (A27).
        if self.key and not replay.spend(
            connection,
            kind=self.kind,
            tenant_id=self.tenant_id,
            key=self.key,
            expires_at=self.expires_at,
        ):
            raise refused("replayed")


@dataclass(frozen=True, slots=True)
class Introduced:
    """A verified ID-JAG of a trusted issuer."""

    issuer: IssuerView
    claims: Mapping[str, Any]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Workload:
    """A verified token of a platform, for the one workload entry that it fits."""

    entry: WorkloadView
    claims: Mapping[str, Any]
    mark: Mark


def is_id_jag(token: str) -> bool:
    """Say whether an unverified token calls itself an ID-JAG, to choose the profile that it must pass."""
    return _unverified(token, 0).get("typ") == ID_JAG_TYP


def verify_id_jag(rt: Runtime, tenant: TenantSnapshot, token: str, *, now: int) -> Introduced:
    """Return a verified ID-JAG for this tenant (ID-JAG §4.4.1); raises ``Refusal(invalid_grant)``."""
    issuer = _unverified(token, 1).get("iss")
    # Without this: a tenant's own ID-JAG, made for somebody else, would become an access token here.
    if issuer == tenant.issuer:
        raise refused("own_issuer")
    entry = load_trusts(rt, tenant.id).issuers.get(issuer) if isinstance(issuer, str) else None
    if entry is None:
        raise refused("issuer_not_allowed")
    config = entry.config
    profile = JwtProfile(
        typ=frozenset({ID_JAG_TYP}),
        algorithms=frozenset(config.algorithms),
        issuer=config.issuer,
        audience=frozenset({tenant.issuer}),
        max_age_seconds=config.max_ttl_seconds,
        required=frozenset({"iss", "sub", "aud", "client_id", "jti", "iat", "exp"}),
    )
    claims = _verify(rt, config, profile, token, now)
    return Introduced(entry, claims, _mark("id_jag", tenant, config, token, claims))


def verify_workload(rt: Runtime, tenant: TenantSnapshot, token: str, *, now: int) -> Workload:
    """Return a platform's verified token and the one entry that it fits; raises ``Refusal(invalid_grant)``.

    Trusting a platform admits nobody: its subject must be entered (WI-06).
    """
    unverified = _unverified(token, 1)
    issuer, subject = unverified.get("iss"), unverified.get("sub")
    if not isinstance(issuer, str) or not isinstance(subject, str) or issuer == tenant.issuer:
        raise refused("issuer_not_allowed")
    fitting = [one for one in load_trusts(rt, tenant.id).workloads_of(issuer) if one.is_for(subject)]
    # Without this: one workload could choose between two agents.
    if len(fitting) != 1:
        raise refused("workload_ambiguous" if fitting else "workload_unknown")
    config = fitting[0].config
    profile = JwtProfile(
        typ=frozenset({"JWT", UNTYPED}),
        algorithms=frozenset(config.algorithms),
        issuer=config.issuer,
        audience=frozenset({config.audience or tenant.issuer}),
        max_age_seconds=config.max_ttl_seconds,
        required=frozenset({"iss", "sub", "aud", "exp"}),
    )
    claims = _verify(rt, config, profile, token, now)
    return Workload(fitting[0], claims, _mark("workload", tenant, config, token, claims))


def _verify(
    rt: Runtime, config: IssuerConfig | WorkloadConfig, profile: JwtProfile, token: str, now: int
) -> dict[str, Any]:
    try:
        keys = _keys_of(rt, config, token, now)
        claims = verify_jwt(token, profile, keys, now=now, skew=SKEW_SECONDS)
    except Refusal as refusal:
        raise refused(refusal.reason, refusal.detail) from refusal
    if not isinstance(claims["sub"], str) or not isinstance(claims.get("jti", ""), str):
        raise refused("claim_shape")
    return claims


def _keys_of(
    rt: Runtime, config: IssuerConfig | WorkloadConfig, token: str, now: int
) -> Mapping[str, AdmittedKey]:
    if config.jwks is not None:
        return admit_keys(config.jwks)
    kid = _unverified(token, 0).get("kid")
    return published_keys(rt, config.jwks_uri, kid=kid if isinstance(kid, str) else None, now=now)


def _mark(
    kind: str,
    tenant: TenantSnapshot,
    config: IssuerConfig | WorkloadConfig,
    token: str,
    claims: Mapping[str, Any],
) -> Mark:
    # What was signed, not the whole text: some signatures have two spellings.
    name = claims.get("jti") or sha256_hex(token.rpartition(".")[0])
    key = "" if config.reuse else f"{config.issuer}|{name}"
    return Mark(kind, tenant.id, key, int(claims["exp"]) + 2 * SKEW_SECONDS)


def _unverified(token: str, part: int) -> dict[str, Any]:
    """Read a segment only to find under which entry the token must be verified."""
    if len(token) > MAX_TOKEN_CHARS:
        raise refused("token_too_large")
    try:
        members = orjson.loads(encoding.decode(token.split(".")[part]))
    except (IndexError, ValueError):
        raise refused("not_a_jwt") from None
    if not isinstance(members, dict):
        raise refused("not_a_jwt")
    return members

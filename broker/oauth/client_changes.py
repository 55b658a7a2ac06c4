"""What follows when a client says something else of itself than before: asked again, ended, or held.

A new redirect address, key or way to authenticate may mean that somebody else speaks for the client now.
"""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from broker.agents.admission import QUARANTINED, Newcomer, write_client
from broker.agents.models import Client, ClientRegistration
from broker.approvals.consents import withdraw_consents_of_client
from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.kernel.context import CallContext
from broker.kernel.runtime import Runtime
from broker.kernel.versions import bump
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens import cascade

RETRY_SECONDS = 3600

_SERIOUS = ("redirect_uris", "auth_method", "jwks", "jwks_uri", "secret_hash")


@dataclass(frozen=True, slots=True)
class Changed:
    """Which of a client's properties changed, and what that ended."""

    fields: tuple[str, ...]
    is_serious: bool
    consents: int = 0
    grants: int = 0


def take_over(
    session: Session, rt: Runtime, tenant: TenantSnapshot, newcomer: Newcomer, ctx: CallContext
) -> Changed:
    """Write what a known client says now, and do what the tenant's policy wants when that counts.

    A disabled or quarantined client stays so. Without this: an update could revive what an administrator
    had stopped (O48).
    """
    row = session.get(Client, (tenant.id, newcomer.client_id))
    registration = session.get(ClientRegistration, (tenant.id, newcomer.client_id))
    if row is None or registration is None:
        return Changed((), is_serious=False)
    # Whom an administrator has looked at stays so; what changes in it is for the policy below.
    newcomer = replace(newcomer, is_verified=newcomer.is_verified or "unverified" not in row.options)
    before = _state(row)
    write_client(session, rt, tenant, newcomer, ctx, agent_id=row.agent_id)
    after = _state(row)
    fields = tuple(sorted(name for name in before if before[name] != after[name]))
    registration.said = newcomer.metadata.as_said()
    registration.problem = ""
    if newcomer.source == "cimd":
        registration.fresh_until = registration.refresh_at = newcomer.fresh_until
    changed = Changed(fields, is_serious=bool(set(fields) & set(_SERIOUS)))
    if changed.is_serious or "name" in fields:
        changed = _answer(session, tenant, row, registration, changed, ctx)
    if fields:
        _write_down(session, rt, tenant, newcomer, changed, ctx)
    session.flush()
    return changed


def note_problem(rt: Runtime, tenant_id: str, client_id: str, problem: str, ctx: CallContext) -> None:
    """Remember why a client's document could not be read; what it said before stays as it was."""
    with rt.database.write(tenant_id) as session:
        # What could be read and is wrong counts at once; what could not be reached is given a day.
        lasting = "" if problem == "cimd_unreachable" else problem[:40]
        session.execute(
            update(ClientRegistration)
            .where(ClientRegistration.tenant_id == tenant_id, ClientRegistration.client_id == client_id)
            .values(problem=lasting, refresh_at=ctx.now + RETRY_SECONDS)
            .execution_options(synchronize_session=False)
        )


def end_what_it_holds(session: Session, tenant_id: str, client_id: str, cause: str, now: int) -> int:
    """End every grant and token of a client; returns how many grants there were."""
    return cascade.end_grants_of(session.connection(), tenant_id, cause, now, client_id=client_id).grants


def _answer(
    session: Session,
    tenant: TenantSnapshot,
    row: Client,
    registration: ClientRegistration,
    changed: Changed,
    ctx: CallContext,
) -> Changed:
    policy = _policy_for(tenant, registration)
    consents = withdraw_consents_of_client(session, tenant.id, row.client_id, ctx.now)
    grants = 0
    if changed.is_serious and policy in {"revoke", "hold"}:
        grants = end_what_it_holds(session, tenant.id, row.client_id, "client_changed", ctx.now)
    if changed.is_serious and policy == "hold" and row.state == "active":
        row.state = QUARANTINED
    if changed.is_serious:
        registration.changed_at = ctx.now
    session.flush()
    bump(session.connection(), tenant.id)
    return Changed(changed.fields, changed.is_serious, consents, grants)


def _policy_for(tenant: TenantSnapshot, registration: ClientRegistration) -> str:
    onboarding = tenant.settings.onboarding
    is_open = registration.source == "dcr" and registration.initial_token_id is None
    # Without this: a client could be released as one thing and then become another (O48).
    return "hold" if is_open and onboarding.registration_quarantine else onboarding.changed_client


def _state(row: Client) -> dict[str, Any]:
    names = ("name", "auth_method", "redirect_uris", "grant_types", "scopes", "application_type", "jwks")
    values = {name: getattr(row, name) for name in (*names, "secret_hash")}
    options = dict(row.options)
    return {**values, "jwks_uri": options.pop("jwks_uri", ""), "options": options}


def _write_down(
    session: Session,
    rt: Runtime,
    tenant: TenantSnapshot,
    newcomer: Newcomer,
    changed: Changed,
    ctx: CallContext,
) -> None:
    record(
        session.connection(),
        ctx,
        tenant_id=tenant.id,
        event=AuditEvent.CLIENT_CHANGED,
        writer_id=rt.writer_id,
        actor=ActorRef("system", "onboarding"),
        target_id=newcomer.client_id,
        client_id=newcomer.client_id,
        reason="said_otherwise",
        data={
            # What changed, by name; a key or an address of its own would say no more to a reader.
            "changed": [name for name in changed.fields if name != "secret_hash"],
            "is_serious": changed.is_serious,
            "consents_withdrawn": changed.consents,
            "grants_ended": changed.grants,
        },
    )

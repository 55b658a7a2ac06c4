"""Applying a document: checked whole, written in one transaction, or not at all."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.orm import Session

from broker.agents.declare.coherence import Names, check_names
from broker.agents.declare.document import Document, TenantEntry
from broker.agents.declare.faults import Faults
from broker.agents.declare.references import Surroundings
from broker.agents.declare.writing import Offer, TenantWriter
from broker.agents.taking_back import narrow_to_policy
from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.kernel.context import CallContext
from broker.kernel.runtime import Runtime
from broker.tenants.registry import save_tenant
from broker.tenants.rows import Change
from broker.tenants.settings import parse_settings

__all__ = ["Applied", "Offer", "apply_document"]

OnNewTenant = Callable[[Session, str], object]
"""Called with the session and the id of a tenant that was just made, in the same transaction."""

_MAX_NAMED = 20
_MAX_NAME_CHARS = 120


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done in one tenant."""

    tenant: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class _Run:
    """What one application is made with, and what it found."""

    rt: Runtime
    offer: Offer
    around: Surroundings
    ctx: CallContext
    actor: ActorRef
    on_new_tenant: OnNewTenant
    faults: Faults = field(default_factory=Faults)


def apply_document(
    rt: Runtime,
    document: Document,
    offer: Offer,
    ctx: CallContext,
    *,
    on_new_tenant: OnNewTenant,
    actor: ActorRef,
    folder: Path = Path(),
    environ: Mapping[str, str] | None = None,
    dry_run: bool = False,
) -> tuple[Applied, ...]:
    """Bring the database to what ``document`` declares and return what changed, tenant by tenant.

    All or nothing. What the document does not name is left alone; nothing is deleted, and nothing that
    was disabled is enabled. Each tenant that changed gets one audit event. ``dry_run`` does the same and
    takes it back. References are looked up in ``environ`` (the process's own) and below ``folder``.
    Raises ``DocumentRefused`` with every fault and its place.
    """
    around = Surroundings(os.environ if environ is None else environ, folder)
    run = _Run(rt, offer, around, ctx, actor, on_new_tenant)
    applied: list[Applied] = []
    seen: set[str] = set()
    with rt.database.unscoped(write=True) as session:
        for index, entry in enumerate(document.tenants):
            place = f"tenants[{index}]"
            if entry.slug in seen:
                run.faults.add(place, f"the tenant {entry.slug!r} is declared twice")
            seen.add(entry.slug)
            with run.faults.at(place):
                applied.append(Applied(entry.slug, _apply_tenant(session, run, place, entry)))
        # Raised inside of the transaction, which is then rolled back.
        run.faults.raise_any()
        if dry_run:
            session.rollback()
    return tuple(applied)


def _apply_tenant(session: Session, run: _Run, place: str, entry: TenantEntry) -> tuple[Change, ...]:
    tenant, change = save_tenant(session, entry.slug, entry.given("name", "settings"), run.ctx.now)
    if change is not None and change.action == "create":
        run.on_new_tenant(session, tenant.id)
    if change is not None and "settings" in change.fields:
        narrow_to_policy(session, tenant.id, parse_settings(tenant.settings).onboarding)
    before = run.faults.count
    writer = TenantWriter(session, run.rt, tenant.id, run.offer, run.around, run.faults, run.ctx.now)
    writer.write(place, entry)
    session.flush()
    # What could not be written would only be told a second time, as a name that does not exist.
    if run.faults.count == before:
        check_names(run.faults, place, entry, Names(session, tenant.id))
    changes = ((change,) if change else ()) + tuple(writer.changes)
    if changes:
        _record(session, run, tenant.id, changes)
    return changes


def _record(session: Session, run: _Run, tenant_id: str, changes: tuple[Change, ...]) -> None:
    record(
        session.connection(),
        run.ctx,
        tenant_id=tenant_id,
        event=AuditEvent.CONFIG_APPLIED,
        writer_id=run.rt.writer_id,
        actor=run.actor,
        target_id=tenant_id,
        data={
            "created": sum(one.action == "create" for one in changes),
            "changed": sum(one.action == "change" for one in changes),
            "first_things": [str(one)[:_MAX_NAME_CHARS] for one in changes[:_MAX_NAMED]],
        },
    )

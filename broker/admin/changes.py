"""What every change by an administrator has in common: one transaction, an event, a receipt to read back."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from broker.admin.access import Administrator
from broker.audit.events import AuditEvent
from broker.audit.log import record
from broker.audit.reading import EventFilter, EventView, list_events
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.runtime import Runtime
from broker.kernel.versions import bump
from broker.tenants.snapshot import TenantSnapshot

RECEIPT_SECONDS = 900
"""How long the page after a change can be loaded again with its receipt."""


@dataclass(frozen=True, slots=True)
class Desk:
    """An administrator at work on a tenant: everything that a change needs to know about who and when."""

    rt: Runtime
    tenant: TenantSnapshot
    who: Administrator
    ctx: CallContext

    @property
    def now(self) -> int:
        """The time of this request in epoch seconds."""
        return self.ctx.now


@contextmanager
def change(desk: Desk) -> Iterator[Session]:
    """Yield a session whose changes are committed together, and count the tenant's version up with them."""
    with desk.rt.database.write(desk.tenant.id) as session:
        yield session
        session.flush()
        bump(session.connection(), desk.tenant.id)


def write_down(
    session: Session,
    desk: Desk,
    event: AuditEvent,
    *,
    target_id: str,
    subject_id: str = "",
    reason: str = "",
    data: Mapping[str, Any] | None = None,
) -> None:
    """Write the event of a change in the change's own transaction."""
    record(
        session.connection(),
        desk.ctx,
        tenant_id=desk.tenant.id,
        event=event,
        actor=desk.who.actor,
        subject_id=subject_id,
        target_id=target_id,
        reason=reason,
        data=data,
        writer_id=desk.rt.writer_id,
    )


def find_done(desk: Desk, request_id: str, *, target_id: str = "") -> EventView | None:
    """Return the event of a change that an administrator just made, by the id of the request, or None.

    Read from the event log. Without this: a link with made-up words could tell an administrator that an
    agent was killed when it was not.
    """
    if not request_id:
        return None
    wanted = EventFilter(request_id=request_id, from_at=desk.now - RECEIPT_SECONDS)
    with desk.rt.database.core_read() as connection:
        events = list_events(connection, desk.tenant.id, wanted, limit=5).events
    for event in events:
        is_by_admin = (event.actor or {}).get("kind") == "admin"
        if is_by_admin and (not target_id or event.target_id == target_id):
            return event
    return None


def not_found(noun: str) -> Refusal:
    """Return the one answer for ids that are unknown, another tenant's or made up (T01)."""
    return Refusal(
        ErrorCode.NOT_FOUND, "No page has this address.", reason=f"unknown_{noun}", whose_move=WhoseMove.YOU
    )


def bad_form(why: str) -> Refusal:
    """Return the refusal of a form that lacks something; ``why`` is shown."""
    return Refusal(ErrorCode.BAD_FORM, why, reason="bad_admin_form", whose_move=WhoseMove.YOU)

"""Who may open the administration: a setup link's session, or a person who holds the admin role now."""

from dataclasses import dataclass

from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.audit.reading import EventFilter, list_events
from broker.directory.roles import live_roles
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.runtime import Runtime
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.sessions import BrowserSessionView

REFUSAL_PAUSE_SECONDS = 60
"""A person who is turned away again and again is written down once in this time."""


@dataclass(frozen=True, slots=True)
class Administrator:
    """Somebody who may change this tenant; ``actor`` is how the event log names them."""

    session: BrowserSessionView
    actor: ActorRef

    @property
    def user_id(self) -> str:
        """The person's id, or an empty string for whoever came by a setup link."""
        return self.session.user_id or ""


def require_administrator(
    rt: Runtime, tenant: TenantSnapshot, session: BrowserSessionView, ctx: CallContext
) -> Administrator:
    """Return the administrator that a live session makes; raises ``Refusal(forbidden)`` and writes it down.

    A session of kind "admin" exists only by a setup link. A person needs the tenant's ``admin_role``,
    computed now. Without the latter: who left the administrators' group would stay one until sign-out.
    """
    if session.kind == "admin" and session.user_id is None:
        return Administrator(session, ActorRef("admin", session.id))
    if session.kind == "person" and session.user_id and _has_admin_role(rt, tenant, session.user_id, ctx.now):
        return Administrator(session, ActorRef("admin", session.user_id))
    _note_refusal(rt, tenant, session, ctx)
    raise Refusal(
        ErrorCode.FORBIDDEN,
        "Only administrators may open these pages. Your groups do not make you one.",
        reason="no_admin_role",
        whose_move=WhoseMove.ADMIN,
    )


def note_arrival(rt: Runtime, tenant: TenantSnapshot, who: Administrator, ctx: CallContext) -> None:
    """Write down once per session that a person came in as an administrator."""
    if not who.user_id:
        return
    wanted = EventFilter(
        event=AuditEvent.ADMIN_SIGNED_IN.value, subject_id=who.user_id, from_at=who.session.created_at
    )
    with rt.database.core_read() as connection:
        seen = list_events(connection, tenant.id, wanted).events
    if any(event.target_id == who.session.id for event in seen):
        return
    with rt.database.core_write() as connection:
        record(
            connection,
            ctx,
            tenant_id=tenant.id,
            event=AuditEvent.ADMIN_SIGNED_IN,
            actor=who.actor,
            subject_id=who.user_id,
            target_id=who.session.id,
            reason="admin_role",
            writer_id=rt.writer_id,
        )


def _note_refusal(rt: Runtime, tenant: TenantSnapshot, session: BrowserSessionView, ctx: CallContext) -> None:
    # Without the pause: one signed-in person could fill the event log by reloading a page (T13).
    user_id = session.user_id or ""
    wanted = EventFilter(
        event=AuditEvent.ADMIN_REFUSED.value, subject_id=user_id, from_at=ctx.now - REFUSAL_PAUSE_SECONDS
    )
    with rt.database.core_read() as connection:
        if list_events(connection, tenant.id, wanted, limit=1).events:
            return
    with rt.database.core_write() as connection:
        record(
            connection,
            ctx,
            tenant_id=tenant.id,
            event=AuditEvent.ADMIN_REFUSED,
            outcome="refused",
            actor=ActorRef("user", user_id),
            subject_id=user_id,
            target_id=session.id,
            reason="no_admin_role",
            writer_id=rt.writer_id,
        )


def _has_admin_role(rt: Runtime, tenant: TenantSnapshot, user_id: str, now: int) -> bool:
    role = tenant.settings.admin_role
    # Without this: a tenant that names no role would match whatever is compared with nothing.
    if not role:
        return False
    with rt.database.core_read() as connection:
        return role in live_roles(connection, rt, tenant.id, user_id, now).roles

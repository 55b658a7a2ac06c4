"""Signing a browser out: its sessions at this tenant end here; agents keep what they were given."""

from collections.abc import Iterable

from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.kernel.context import CallContext
from broker.kernel.runtime import Runtime
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.sessions import BrowserSessionView, end_session


def end_sessions(
    rt: Runtime, tenant: TenantSnapshot, sessions: Iterable[BrowserSessionView], ctx: CallContext
) -> None:
    """End these sessions of the browser and write down who left; ended ones stay as they are."""
    with rt.database.core_write() as core:
        for session in sessions:
            if not end_session(core, tenant.id, session.id, ctx.now):
                continue
            record(
                core,
                ctx,
                tenant_id=tenant.id,
                event=AuditEvent.SESSION_ENDED,
                actor=ActorRef("user", session.user_id) if session.user_id else ActorRef("admin", session.id),
                subject_id=session.user_id or "",
                target_id=session.id,
                reason="signed_out",
                writer_id=rt.writer_id,
            )

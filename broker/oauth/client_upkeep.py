"""Looks after clients that introduced themselves: documents are read again, unused ones end.

One process at a time does it. A tenant that no longer admits an address has what hangs on it ended here.
"""

from collections import Counter
from typing import cast

from sqlalchemy import Connection, Table, and_, or_, select

from broker.agents.admission import remove_client
from broker.agents.client_documents import fetch_document, is_admitted
from broker.agents.models import ClientRegistration
from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.kernel.context import CallContext
from broker.kernel.errors import Refusal
from broker.kernel.ids import new_id
from broker.kernel.jobs import acquire_lease, renew_lease
from broker.kernel.runtime import Runtime
from broker.oauth.client_changes import RETRY_SECONDS, end_what_it_holds, note_problem, take_over
from broker.oauth.client_resolution import newcomer_of, offered
from broker.oauth.client_usage import is_used
from broker.tenants.snapshot import TenantSnapshot, get_tenant

LEASE = "client-upkeep"
LEASE_SECONDS = 120
MAX_CLIENTS = 50
"""How many clients one run looks at; who is left is first at the next one."""

_ROWS = cast(Table, ClientRegistration.__table__)


def look_after_clients(rt: Runtime) -> dict[str, int]:
    """Do what is due; returns how many clients were read, failed, changed, ended and so on."""
    now = rt.clock.now()
    with rt.database.core_write() as core:
        if not acquire_lease(core, name=LEASE, holder=rt.writer_id, now=now, ttl_seconds=LEASE_SECONDS):
            return {}
    done: Counter[str] = Counter()
    for tenant_id, client_id in _find_due(rt, now):
        ctx = CallContext(now=rt.clock.now(), request_id=new_id("req"))
        with rt.database.core_write() as core:
            if not renew_lease(core, name=LEASE, holder=rt.writer_id, now=ctx.now, ttl_seconds=LEASE_SECONDS):
                break
        tenant = get_tenant(rt, tenant_id)
        if tenant is not None:
            done[_look_at(rt, tenant, client_id, ctx)] += 1
    return dict(done)


def _find_due(rt: Runtime, now: int) -> list[tuple[str, str]]:
    """Return clients of all tenants whose document or life has run out, by the indexes of both dates."""
    with rt.database.core_read() as core:
        rows = core.execute(
            select(_ROWS.c.tenant_id, _ROWS.c.client_id)
            .where(
                or_(
                    and_(_ROWS.c.refresh_at.is_not(None), _ROWS.c.refresh_at <= now),
                    and_(_ROWS.c.expires_at.is_not(None), _ROWS.c.expires_at <= now),
                )
            )
            .limit(MAX_CLIENTS)
        ).all()
    return [(row.tenant_id, row.client_id) for row in rows]


def _look_at(rt: Runtime, tenant: TenantSnapshot, client_id: str, ctx: CallContext) -> str:
    with rt.database.write(tenant.id) as session:
        row = session.get(ClientRegistration, (tenant.id, client_id))
        if row is None:
            return "gone"
        source = row.source
        if row.expires_at is not None and row.expires_at <= ctx.now:
            if not is_used(session.connection(), tenant.id, client_id):
                remove_client(session, tenant.id, client_id)
                _write_down(session.connection(), rt, tenant.id, client_id, "unused", ctx)
                return "ended"
            row.expires_at = None
        if source != "cimd":
            return "kept"
        if not is_admitted(tenant.settings.onboarding, client_id):
            end_what_it_holds(session, tenant.id, client_id, "client_not_admitted", ctx.now)
            row.refresh_at = ctx.now + RETRY_SECONDS
            return "not_admitted"
    return _read_again(rt, tenant, client_id, ctx)


def _read_again(rt: Runtime, tenant: TenantSnapshot, client_id: str, ctx: CallContext) -> str:
    try:
        document = fetch_document(rt.egress, client_id, offered(rt, tenant))
    except Refusal as refusal:
        note_problem(rt, tenant.id, client_id, refusal.reason, ctx)
        return "failed"
    with rt.database.write(tenant.id) as session:
        changed = take_over(session, rt, tenant, newcomer_of(tenant, document, ctx.now), ctx)
    return "changed" if changed.fields else "read"


def _write_down(
    connection: Connection, rt: Runtime, tenant_id: str, client_id: str, reason: str, ctx: CallContext
) -> None:
    record(
        connection,
        ctx,
        tenant_id=tenant_id,
        event=AuditEvent.CLIENT_REMOVED,
        writer_id=rt.writer_id,
        actor=ActorRef("system", "onboarding"),
        target_id=client_id,
        client_id=client_id,
        reason=reason,
    )

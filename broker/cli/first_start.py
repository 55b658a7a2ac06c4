"""What a first start leaves behind: a tenant to begin with, its keys, and a way in for its administrator."""

from typing import cast

from sqlalchemy import Connection, Table, select

from broker.admin.setup_links import SetupLink, make_setup_link
from broker.audit.events import AuditEvent
from broker.audit.log import record
from broker.audit.models import AuditRecord
from broker.cli.opening import OPERATOR
from broker.kernel.context import CallContext
from broker.kernel.runtime import Runtime
from broker.tenants.models import Tenant
from broker.tenants.registry import save_tenant
from broker.tokens.keys import create_first_keys

FIRST_TENANT = "default"
MAX_LINKS = 20
"""A start prints links for so many tenants at most; `broker admin-link` makes one for any."""

# Tables rather than mapped classes: a start need not wait until every mapping is worked out.
_TENANTS = cast(Table, Tenant.__table__)
_EVENTS = cast(Table, AuditRecord.__table__)


def make_first_tenant(rt: Runtime, ctx: CallContext) -> str | None:
    """Make the tenant ``default`` where there is none at all; returns its slug if it was made."""
    with rt.database.core_read() as connection:
        if _has_tenant(connection):
            return None
    with rt.database.unscoped(write=True) as session:
        # Inside of the write transaction, so that of two first starts one finds the other's tenant.
        if _has_tenant(session.connection()):
            return None
        tenant, _ = save_tenant(session, FIRST_TENANT, {"name": "Default"}, ctx.now)
        create_first_keys(session, tenant.id, rt=rt, now=ctx.now)
        record(
            session.connection(),
            ctx,
            tenant_id=tenant.id,
            event=AuditEvent.TENANT_CREATED,
            writer_id=rt.writer_id,
            actor=OPERATOR,
            target_id=tenant.id,
        )
    return FIRST_TENANT


def make_missing_links(rt: Runtime, ctx: CallContext) -> list[SetupLink]:
    """Make a link for each tenant into which no administrator ever came, for ``MAX_LINKS`` at most."""
    links: list[SetupLink] = []
    with rt.database.core_read() as connection:
        tenants = connection.execute(
            select(_TENANTS.c.id, _TENANTS.c.slug)
            .where(_TENANTS.c.state == "active")
            .order_by(_TENANTS.c.created_at)
            .limit(1000)
        ).all()
    for tenant_id, slug in tenants:
        if len(links) < MAX_LINKS and not _ever_had_an_admin(rt, tenant_id):
            links.append(make_setup_link(rt, ctx, tenant_id, slug, actor=OPERATOR))
    return links


def _has_tenant(connection: Connection) -> bool:
    return connection.execute(select(_TENANTS.c.id).limit(1)).first() is not None


def _ever_had_an_admin(rt: Runtime, tenant_id: str) -> bool:
    # The event log is the memory: sessions and links are deleted when they are over. Oldest first,
    # because the first sign-in comes early and the search ends there.
    with rt.database.core_read() as connection:
        found = connection.execute(
            select(_EVENTS.c.seq)
            .where(_EVENTS.c.tenant_id == tenant_id, _EVENTS.c.event == AuditEvent.ADMIN_SIGNED_IN)
            .order_by(_EVENTS.c.at, _EVENTS.c.writer, _EVENTS.c.seq)
            .limit(1)
        ).first()
    return found is not None

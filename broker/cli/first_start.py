"""What a first start leaves behind: a tenant to begin with, its keys, and a way in for its administrator."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from broker.audit.events import AuditEvent
from broker.audit.log import record
from broker.audit.models import AuditRecord
from broker.cli.opening import OPERATOR
from broker.kernel.context import CallContext
from broker.kernel.runtime import Runtime
from broker.tenants.models import Tenant
from broker.tenants.registry import save_tenant
from broker.tokens.keys import create_key
from broker.tokens.links import make_link

FIRST_TENANT = "default"
LINK_SECONDS = 3600
LINK_PURPOSE = "setup"

MAX_LINKS = 20
"""A start prints links for so many tenants at most; `broker admin-link` makes one for any."""


@dataclass(frozen=True, slots=True)
class SetupLink:
    """A one-time link into a tenant's administration."""

    tenant: str
    url: str
    expires_at: int


def give_keys(rt: Runtime, now: int) -> Callable[[Session, str], None]:
    """Return what makes the signing keys of a new tenant, in the transaction that makes the tenant."""

    def make(session: Session, tenant_id: str) -> None:
        for use in ("access", "id"):
            create_key(session, rt, tenant_id, use, now=now)

    return make


def make_first_tenant(rt: Runtime, ctx: CallContext) -> str | None:
    """Make the tenant ``default`` where there is none at all; returns its slug if it was made."""
    with rt.database.unscoped(write=True) as session:
        # Inside of the write transaction, so that of two first starts one finds the other's tenant.
        if session.scalar(select(Tenant.id).limit(1)) is not None:
            return None
        tenant, _ = save_tenant(session, FIRST_TENANT, {"name": "Default"}, ctx.now)
        give_keys(rt, ctx.now)(session, tenant.id)
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


def make_setup_link(rt: Runtime, ctx: CallContext, tenant_id: str, slug: str) -> SetupLink:
    """Make a link that lets its first user administer the tenant; the event log keeps that it was made."""
    with rt.database.core_write() as connection:
        code = make_link(
            connection, tenant_id=tenant_id, purpose=LINK_PURPOSE, now=ctx.now, ttl_seconds=LINK_SECONDS
        )
        record(
            connection,
            ctx,
            tenant_id=tenant_id,
            event=AuditEvent.ADMIN_LINK_MADE,
            writer_id=rt.writer_id,
            actor=OPERATOR,
            target_id=tenant_id,
        )
    url = f"{rt.settings.issuer(slug)}/admin/setup?code={code}"
    return SetupLink(slug, url, ctx.now + LINK_SECONDS)


def make_missing_links(rt: Runtime, ctx: CallContext) -> list[SetupLink]:
    """Make a link for each tenant into which no administrator ever came, for ``MAX_LINKS`` at most."""
    links: list[SetupLink] = []
    with rt.database.unscoped() as session:
        tenants = session.execute(
            select(Tenant.id, Tenant.slug)
            .where(Tenant.state == "active")
            .order_by(Tenant.created_at)
            .limit(1000)
        ).all()
    for tenant_id, slug in tenants:
        if len(links) < MAX_LINKS and not _ever_had_an_admin(rt, tenant_id):
            links.append(make_setup_link(rt, ctx, tenant_id, slug))
    return links


def _ever_had_an_admin(rt: Runtime, tenant_id: str) -> bool:
    # The event log is the memory: sessions and links are deleted when they are over. Oldest first,
    # because the first sign-in comes early and the search ends there.
    with rt.database.core_read() as connection:
        found = connection.execute(
            select(AuditRecord.seq)
            .where(AuditRecord.tenant_id == tenant_id, AuditRecord.event == AuditEvent.ADMIN_SIGNED_IN)
            .order_by(AuditRecord.at, AuditRecord.writer, AuditRecord.seq)
            .limit(1)
        ).first()
    return found is not None

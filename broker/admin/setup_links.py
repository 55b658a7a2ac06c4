"""Makes the links by which a tenant's first administrator gets in; `entry` spends them."""

from dataclasses import dataclass

from broker.admin.entry import LINK_PURPOSE
from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.kernel.context import CallContext
from broker.kernel.runtime import Runtime
from broker.tokens.links import make_link

LINK_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class SetupLink:
    """A one-time link into a tenant's administration."""

    tenant: str
    url: str
    expires_at: int


def make_setup_link(
    rt: Runtime, ctx: CallContext, tenant_id: str, slug: str, *, actor: ActorRef
) -> SetupLink:
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
            actor=actor,
            target_id=tenant_id,
        )
    return SetupLink(slug, f"{rt.settings.issuer(slug)}/admin/setup?code={code}", ctx.now + LINK_SECONDS)

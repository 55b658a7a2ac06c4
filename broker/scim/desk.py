"""The one request at hand: which connection, who acts on it, when; and how its events are written."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.kernel.context import CallContext
from broker.kernel.runtime import Runtime
from broker.scim.access import TokenView
from broker.tenants.snapshot import ConnectionView, TenantSnapshot
from broker.tokens.lost_roles import Loss, record_losses


@dataclass(frozen=True, slots=True)
class ScimDesk:
    """Somebody at work on what one connection of a tenant pushed: its provider, or an administrator."""

    rt: Runtime
    tenant: TenantSnapshot
    connection: ConnectionView
    actor: ActorRef
    ctx: CallContext

    @property
    def now(self) -> int:
        """The time of this request in epoch seconds."""
        return self.ctx.now

    def write_down(
        self,
        core: Connection,
        event: AuditEvent,
        *,
        target_id: str,
        subject_id: str = "",
        reason: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the event of a change in the change's own transaction."""
        record(
            core,
            self.ctx,
            tenant_id=self.tenant.id,
            event=event,
            writer_id=self.rt.writer_id,
            actor=self.actor,
            subject_id=subject_id,
            target_id=target_id,
            reason=reason,
            data={"connection_id": self.connection.id, **(data or {})},
        )

    def write_losses_down(self, core: Connection, losses: Collection[Loss]) -> None:
        """Write down who lost roles by a push, in the push's own transaction."""
        record_losses(
            core,
            self.ctx,
            losses,
            tenant_id=self.tenant.id,
            connection_id=self.connection.id,
            actor=self.actor,
            writer_id=self.rt.writer_id,
        )


@dataclass(frozen=True, slots=True)
class PushDesk(ScimDesk):
    """The provider itself, by a token of its own."""

    token: TokenView


def push_desk(
    rt: Runtime, tenant: TenantSnapshot, connection: ConnectionView, token: TokenView, ctx: CallContext
) -> PushDesk:
    """Return the desk of the provider whose token came with a request."""
    return PushDesk(rt, tenant, connection, ActorRef("system", token.id), ctx, token)

"""The one request at hand: whose token, which connection, when; and how its events are written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.kernel.context import CallContext
from broker.kernel.runtime import Runtime
from broker.scim.access import TokenView
from broker.tenants.snapshot import ConnectionView, TenantSnapshot


@dataclass(frozen=True, slots=True)
class ScimDesk:
    """An identity provider at work on its own connection of a tenant."""

    rt: Runtime
    tenant: TenantSnapshot
    connection: ConnectionView
    token: TokenView
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
            actor=ActorRef("system", self.token.id),
            subject_id=subject_id,
            target_id=target_id,
            reason=reason,
            data={"connection_id": self.connection.id, **(data or {})},
        )

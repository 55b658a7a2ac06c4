"""Checkpoints without being asked: each process signs the chains of the tenants that it wrote to."""

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from broker.audit.checkpoint import HmacSigner, write_checkpoint
from broker.audit.models import AuditHead
from broker.kernel.context import CallContext
from broker.kernel.ids import new_id
from broker.kernel.runtime import Runtime


class Checkpointer:
    """Writes a checkpoint for each tenant whose chain of this process grew since the last one.

    A process looks at its own chains only, so the cost follows what it did and not how many tenants
    there are; a checkpoint covers all chains of its tenant.
    """

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._signer = HmacSigner(rt.sealer)
        self._covered: dict[str, int] = {}

    def run(self, now: int) -> int:
        """Write what is due (``now`` in epoch seconds); returns how many checkpoints that were."""
        with self._rt.database.core_read() as connection:
            heads = connection.execute(
                select(AuditHead.tenant_id, AuditHead.seq).where(AuditHead.writer == self._rt.writer_id)
            ).all()
        due = [tenant_id for tenant_id, seq in heads if seq > self._covered.get(tenant_id, 0)]
        return sum(self._write(tenant_id, now) for tenant_id in due)

    def _write(self, tenant_id: str, now: int) -> bool:
        ctx = CallContext(now=now, request_id=new_id("job"))
        try:
            with self._rt.database.core_write() as connection:
                write_checkpoint(
                    connection, ctx, tenant_id=tenant_id, signer=self._signer, writer_id=self._rt.writer_id
                )
                own = select(AuditHead.seq).where(
                    AuditHead.tenant_id == tenant_id, AuditHead.writer == self._rt.writer_id
                )
                covered = connection.execute(own).scalar_one()
        except IntegrityError:
            # Another process took this number a moment ago; its checkpoint covers our events too,
            # or the next round does.
            return False
        # The checkpoint's own event is the last one covered, so an idle tenant gets no further ones.
        self._covered[tenant_id] = covered
        return True

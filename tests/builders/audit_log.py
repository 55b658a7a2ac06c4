"""A small event log in a database, and the pieces that tests write with."""

from dataclasses import dataclass

from sqlalchemy import Connection

from broker.audit.checkpoint import Checkpoint, HmacSigner, write_checkpoint
from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.audit.models import AuditCheckpoint, AuditHead, AuditRecord, PersonKey
from broker.audit.verify import Report, verify
from broker.kernel.context import CallContext
from broker.kernel.database import Base, Database
from broker.kernel.sealing import Sealer
from broker.policy.values import Actor

NOW = 1_800_000_000
ACME, GLOBEX = "tnt_acme", "tnt_globex"
TABLES = [model.__table__ for model in (AuditRecord, AuditHead, AuditCheckpoint, PersonKey)]
WRITER = Actor("https://broker.example/t/acme", "agt_writer")


@dataclass(frozen=True, slots=True)
class AuditLog:
    """One database with the tables of the event log, and the keys to write and verify it."""

    database: Database
    sealer: Sealer

    @property
    def signer(self) -> HmacSigner:
        """Sign with the broker's own key."""
        return HmacSigner(self.sealer)

    def write(self, count: int, *, tenant_id: str = ACME, writer: str = "wrt_one", start: int = 0) -> None:
        """Write `count` events that differ in every column that an attacker may want to change."""
        with self.database.core_write() as connection:
            for number in range(start, start + count):
                write_event(connection, number, tenant_id=tenant_id, writer=writer)

    def checkpoint(self, *, tenant_id: str = ACME, writer: str = "wrt_one", at: int = NOW) -> Checkpoint:
        """Sign the present heads."""
        with self.database.core_write() as connection:
            return write_checkpoint(
                connection, context(at), tenant_id=tenant_id, signer=self.signer, writer_id=writer
            )

    def verify(self, tenant_id: str = ACME) -> Report:
        """Verify the tenant's log as an operator would."""
        with self.database.core_read() as connection:
            return verify(connection, tenant_id, signer=self.signer)


def open_log(url: str) -> AuditLog:
    """Make the tables in an empty database."""
    database = Database(url)
    Base.metadata.create_all(database.engine, tables=TABLES)  # type: ignore[arg-type]
    return AuditLog(database, Sealer([bytes(range(32))]))


def context(at: int = NOW, request_id: str = "req_1") -> CallContext:
    """A call at `at`, epoch seconds, from a documentation address."""
    return CallContext(at, request_id, "192.0.2.7", "Tests/1.0")


def write_event(
    connection: Connection, number: int, *, tenant_id: str = ACME, writer: str = "wrt_one"
) -> None:
    """Write an event whose values follow from `number`."""
    refused = number % 3 == 0
    record(
        connection,
        context(NOW + number, f"req_{number}"),
        tenant_id=tenant_id,
        event=AuditEvent.TOKEN_REFUSED if refused else AuditEvent.TOKEN_ISSUED,
        writer_id=writer,
        outcome="refused" if refused else "ok",
        actor=ActorRef("agent", "agt_writer"),
        subject_id=f"usr_{number % 4}",
        chain=(WRITER, Actor("https://broker.example/t/acme", "agt_orchestrator")) if number % 2 else (),
        target_id="https://mcp.tickets.example/mcp",
        client_id="cli_harness",
        reason="too_deep" if refused else "",
        data={"scopes": ["tickets:read"], "depth": number},
    )

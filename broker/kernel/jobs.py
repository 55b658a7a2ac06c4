"""Jobs that one process at a time runs for all: leases, and the sweeper that deletes what has expired."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Table, delete, select, tuple_, update

from broker.kernel.logs import get_logger
from broker.kernel.models import Lease
from broker.kernel.runtime import Runtime
from broker.kernel.upsert import dialect_insert

SLICE_ROWS = 500
"""Rows deleted in one transaction: small, so that nobody waits long for the write lock of SQLite."""

SWEEP_LEASE_SECONDS = 120
"""A sweeper that died is replaced after this long."""


@dataclass(frozen=True, slots=True)
class ExpiringTable:
    """A table whose rows go ``keep_seconds`` after the time (epoch seconds) in its indexed ``column``."""

    table: Table
    column: str = "expires_at"
    keep_seconds: int = 0


def acquire_lease(connection: Connection, *, name: str, holder: str, now: int, ttl_seconds: int) -> bool:
    """Return whether ``holder`` now has the lease until ``now + ttl_seconds``; one conditional statement.

    Its own lease it gets again, somebody else's only once that has run out. Without this: two processes
    that look first and write then would both run the job.
    """
    insert = dialect_insert(connection)
    statement = insert(Lease).values(name=name, holder=holder, expires_at=now + ttl_seconds)
    result = connection.execute(
        statement.on_conflict_do_update(
            index_elements=["name"],
            set_={"holder": holder, "expires_at": now + ttl_seconds},
            where=(Lease.expires_at <= now) | (Lease.holder == holder),
        )
    )
    return result.rowcount == 1


def renew_lease(connection: Connection, *, name: str, holder: str, now: int, ttl_seconds: int) -> bool:
    """Extend a lease that ``holder`` still has; returns False once it has run out or changed hands."""
    result = connection.execute(
        update(Lease)
        .where(Lease.name == name, Lease.holder == holder, Lease.expires_at > now)
        .values(expires_at=now + ttl_seconds)
    )
    return result.rowcount == 1


def release_lease(connection: Connection, *, name: str, holder: str) -> None:
    """Give a lease back, so that another process need not wait for its end."""
    connection.execute(delete(Lease).where(Lease.name == name, Lease.holder == holder))


def sweep(
    rt: Runtime, tables: Sequence[ExpiringTable], *, now: int, slice_rows: int = SLICE_ROWS
) -> dict[str, int]:
    """Delete expired rows of all tenants in small transactions; returns how many by table.

    Walks the expiry indexes, so the cost follows what has expired and not how many tenants there are.
    Does nothing while another process sweeps.
    """
    with rt.database.core_write() as connection:
        if not acquire_lease(
            connection, name="sweep", holder=rt.writer_id, now=now, ttl_seconds=SWEEP_LEASE_SECONDS
        ):
            return {}
    return {one.table.name: _sweep_table(rt, one, now, slice_rows) for one in tables}


def _sweep_table(rt: Runtime, expiring: ExpiringTable, now: int, slice_rows: int) -> int:
    table, column = expiring.table, expiring.table.c[expiring.column]
    keys = list(table.primary_key.columns)
    key = keys[0] if len(keys) == 1 else tuple_(*keys)
    oldest = select(*keys).where(column < now - expiring.keep_seconds).order_by(column).limit(slice_rows)
    total = 0
    while True:
        with rt.database.core_write() as connection:
            deleted = connection.execute(delete(table).where(key.in_(oldest))).rowcount
        total += deleted
        if deleted < slice_rows:
            return total


class Periodic:
    """Runs a job in a background thread until it is stopped; a run that fails is logged and tried again."""

    def __init__(self, name: str, job: Callable[[], Mapping[str, int]], every: float) -> None:
        self._name = name
        self._job = job
        self._every = every
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; the first run comes after one interval (seconds), so that a start is not slowed down."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for the run that it may be in."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _run(self) -> None:
        log = get_logger(self._name)
        while not self._stopped.wait(self._every):
            try:
                done = self._job()
            except Exception:
                # The thread must outlive a database that is away for a while.
                log.warning("job_failed", job=self._name, exc_info=True)
                continue
            if any(done.values()):
                log.info("job_done", job=self._name, **{what: count for what, count in done.items() if count})


class Sweeper(Periodic):
    """Sweeps the tables of the composition root."""

    def __init__(self, rt: Runtime, tables: Sequence[ExpiringTable], every: float = 60.0) -> None:
        super().__init__("sweep", lambda: sweep(rt, tables, now=rt.clock.now()), every)

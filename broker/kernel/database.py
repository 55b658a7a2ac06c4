"""One way to the database for SQLite and PostgreSQL, and a tenant scope that cannot be forgotten.

Reads and writes are told apart when a transaction begins: on SQLite a write takes the write lock at
once (``BEGIN IMMEDIATE``), so that two writers queue instead of failing half-way.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import orjson
from sqlalchemy import Connection, Constraint, Engine, MetaData, String, Table, create_engine, event
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.exc import DisconnectionError, OperationalError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    ORMExecuteState,
    Session,
    mapped_column,
    with_loader_criteria,
)

_WRITE = {"broker_write": True}
_USED_AT = "broker_used_at"
_TRUSTED_SECONDS = 1.0
"""A connection that was in use so lately is not asked whether it still works."""


def _columns_within_tenant(constraint: Constraint, _table: Table) -> str:
    columns: list[str] = [column.name for column in getattr(constraint, "columns", ())]
    return "_".join(name for name in columns if name != "tenant_id")


class Base(DeclarativeBase):
    """The registry of every table; rooms derive their models from it."""

    # Every constraint has the same name in both dialects, so that a migration can speak of it. Unique
    # rules leave the tenant out of their name: with it some would pass PostgreSQL's 63 characters.
    metadata = MetaData(
        naming_convention={
            "within_tenant": _columns_within_tenant,
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(within_tenant)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
        }
    )


class TenantScoped:
    """A row that belongs to one tenant; sessions filter on ``tenant_id`` and refuse to run without one."""

    tenant_id: Mapped[str] = mapped_column(String(40))


class Database:
    """Engines and sessions for one database URL."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine: Engine = create_engine(
            self.url,
            pool_size=20,
            max_overflow=20,
            # The connection that wrote last is the next to write: SQLite empties the page cache of one that
            # finds the work of another.
            pool_use_lifo=True,
            # Without this: PostgreSQL answers -1 to "how many rows did the INSERT make", and single use,
            # which is decided by that number, would refuse every first use there.
            execution_options={"preserve_rowcount": True},
            json_serializer=_write_json,
            json_deserializer=orjson.loads,
        )
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            event.listen(self.engine, "checkin", _note_use)
            event.listen(self.engine, "checkout", partial(_check_idle, self.engine.dialect))
        self._writes = self.engine.execution_options(**_WRITE)

    @contextmanager
    def read(self, tenant_id: str) -> Iterator[Session]:
        """Yield a session that sees only this tenant's rows and is rolled back at the end."""
        with _scoped_session(self.engine, tenant_id) as session:
            yield session

    @contextmanager
    def write(self, tenant_id: str) -> Iterator[Session]:
        """Yield a session on this tenant's rows that commits unless an exception passes."""
        with _scoped_session(self._writes, tenant_id) as session:
            yield session
            session.commit()

    @contextmanager
    def unscoped(self, *, write: bool = False) -> Iterator[Session]:
        """Yield a session without tenant scope, for tenant look-up, the sweeper and the command line."""
        with Session(self._writes if write else self.engine, expire_on_commit=False) as session:
            session.info["unscoped"] = True
            yield session
            if write:
                session.commit()

    @contextmanager
    def core_read(self) -> Iterator[Connection]:
        """Yield a Core connection in a read transaction; its statements carry ``tenant_id`` visibly."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def core_write(self) -> Iterator[Connection]:
        """Yield a Core connection in a write transaction that commits unless an exception passes."""
        with self._writes.begin() as connection:
            yield connection

    def close(self) -> None:
        """Give every pooled connection back to the operating system."""
        self.engine.dispose()


@contextmanager
def _scoped_session(engine: Engine, tenant_id: str) -> Iterator[Session]:
    if not tenant_id:
        raise ValueError("a tenant-scoped session needs a tenant")
    with Session(engine, expire_on_commit=False) as session:
        session.info["tenant_id"] = tenant_id
        yield session


@event.listens_for(Session, "do_orm_execute")
def _scope_statement(state: ORMExecuteState) -> None:
    # Without this: a forgotten WHERE would read or change another tenant's rows.
    if state.session.info.get("unscoped"):
        return
    tenant_id = state.session.info.get("tenant_id")
    if not tenant_id:
        raise RuntimeError("this session has no tenant scope")
    if not state.is_column_load:
        state.statement = state.statement.options(
            with_loader_criteria(
                TenantScoped,
                lambda cls: cls.tenant_id == tenant_id,
                include_aliases=True,
                track_closure_variables=True,
            )
        )


@event.listens_for(Session, "before_flush")
def _scope_new_rows(session: Session, _flush: Any, _instances: Any) -> None:
    tenant_id = session.info.get("tenant_id")
    # Changed rows as well: an own row that is given away would be another tenant's from then on.
    for row in (*session.new, *session.dirty):
        if not isinstance(row, TenantScoped) or session.info.get("unscoped"):
            continue
        if row.tenant_id is None:
            row.tenant_id = tenant_id
        elif row.tenant_id != tenant_id:
            raise RuntimeError("a row of another tenant cannot be written in this session")


def _write_json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _prepare_sqlite(dbapi_connection: Any, _record: Any) -> None:
    # The driver must not begin transactions by itself; _begin_sqlite decides which kind.
    dbapi_connection.isolation_level = None
    run: Callable[[str], Any] = dbapi_connection.execute
    run("PRAGMA journal_mode=WAL")
    run("PRAGMA synchronous=FULL")
    run("PRAGMA foreign_keys=ON")
    run("PRAGMA busy_timeout=10000")
    # Half a megabyte a connection: every thread has one, and the operating system keeps the pages anyway.
    run("PRAGMA cache_size=-512")


def _note_use(_connection: Any, record: Any) -> None:
    record.info[_USED_AT] = time.monotonic()


def _check_idle(dialect: Dialect, connection: Any, record: Any, _proxy: Any) -> None:
    """Have the pool replace a connection that was idle and is gone, as after a restart of the database."""
    if time.monotonic() - record.info.get(_USED_AT, 0) < _TRUSTED_SECONDS:
        return
    try:
        dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as fault:
        raise DisconnectionError from fault


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("broker_write")
    # On the driver itself: what SQLAlchemy does around a statement costs more than to begin.
    driver: Any = connection.connection.dbapi_connection
    try:
        driver.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
    except driver.Error as fault:
        raise OperationalError("BEGIN", None, fault) from fault

"""Versions of a tenant's state, and copies of it that are trusted only while the version stands."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Table, bindparam, event, select

from broker.kernel.database import Database
from broker.kernel.models import StateVersion
from broker.kernel.prepared import Prepared
from broker.kernel.upsert import dialect_insert

T = TypeVar("T")

FRESH_SECONDS = 0.25
"""How long a process trusts its copies without asking the database: the bound of a change made elsewhere."""

_SETTLE_SECONDS = 1.0
_BUMPED = "broker_bumped_tenants"
_VERSIONS = cast(Table, StateVersion.__table__)
_SELECT_VERSION = Prepared(select(_VERSIONS.c.version).where(_VERSIONS.c.tenant_id == bindparam("tenant")))


def bump(connection: Connection, tenant_id: str) -> None:
    """Count one change of the tenant's cached state, in the transaction of that change."""
    insert = dialect_insert(connection)
    statement = insert(StateVersion).values(tenant_id=tenant_id, version=1)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant_id"], set_={"version": StateVersion.version + 1}
        )
    )
    connection.info.setdefault(_BUMPED, set()).add(tenant_id)


class _Shelf:
    """One tenant's copies, the version they were loaded under and when that was last compared."""

    __slots__ = ("asked_at", "copies", "version")

    def __init__(self, version: int, asked_at: float) -> None:
        self.version = version
        self.asked_at = asked_at
        self.copies: dict[str, Any] = {}


class Caches:
    """Per-tenant copies of clients, agents, keys and the like, for this process; bounded by tenants.

    A change that this process commits is seen by its next look; one made elsewhere within
    ``FRESH_SECONDS``.
    """

    def __init__(self, database: Database, *, max_tenants: int = 10_000) -> None:
        self._database = database
        self._max_tenants = max_tenants
        self._lock = threading.Lock()
        self._shelves: OrderedDict[str, _Shelf] = OrderedDict()
        self._unsettled: dict[str, float] = {}
        event.listen(database.engine, "commit", self._on_commit)
        event.listen(database.engine, "rollback", _on_rollback)

    def get(self, tenant_id: str, kind: str, load: Callable[[str], T]) -> T:
        """Return the tenant's copy of ``kind``, calling ``load(tenant_id)`` if the version moved."""
        shelf = self._current_shelf(tenant_id)
        try:
            return cast(T, shelf.copies[kind])
        except KeyError:
            # The shelf's version was read before this load: a change in between costs one more load.
            copy = shelf.copies[kind] = load(tenant_id)
            return copy

    def renew(self, tenant_id: str, kind: str, load: Callable[[str], T]) -> T:
        """Replace the copy of ``kind`` although the version stands: its content has a date of its own."""
        copy = self._current_shelf(tenant_id).copies[kind] = load(tenant_id)
        return copy

    def _current_shelf(self, tenant_id: str) -> _Shelf:
        shelf = self._shelves.get(tenant_id)
        now = time.monotonic()
        is_fresh = shelf is not None and now - shelf.asked_at < FRESH_SECONDS
        if shelf is not None and is_fresh and not (self._unsettled and self._is_unsettled(tenant_id, now)):
            return shelf
        version = self._version(tenant_id)
        if shelf is not None and shelf.version == version:
            shelf.asked_at = now
            return shelf
        shelf = _Shelf(version, now)
        with self._lock:
            self._shelves[tenant_id] = shelf
            self._shelves.move_to_end(tenant_id)
            while len(self._shelves) > self._max_tenants:
                self._shelves.popitem(last=False)
        return shelf

    def _is_unsettled(self, tenant_id: str, now: float) -> bool:
        until = self._unsettled.get(tenant_id)
        if until is not None and now >= until:
            self._unsettled.pop(tenant_id, None)
            return False
        return until is not None

    def _version(self, tenant_id: str) -> int:
        with self._database.core_read() as connection:
            rows = _SELECT_VERSION.rows(connection, {"tenant": tenant_id})
        return rows[0].version if rows else 0

    def _on_commit(self, connection: Connection) -> None:
        # The event comes just before the commit, so for a moment every look compares versions.
        for tenant_id in connection.info.pop(_BUMPED, ()):
            self._unsettled[tenant_id] = time.monotonic() + _SETTLE_SECONDS


def _on_rollback(connection: Connection) -> None:
    connection.info.pop(_BUMPED, None)

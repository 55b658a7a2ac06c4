"""Single use of what others issue: one insert whose row count decides."""

from typing import cast

from sqlalchemy import Connection, Table

from broker.kernel.ids import sha256_hex
from broker.kernel.models import ReplayMark
from broker.kernel.prepared import Prepared

_MARKS = cast(Table, ReplayMark.__table__)
_INSERT = Prepared(lambda insert: insert(_MARKS).on_conflict_do_nothing())


def spend(connection: Connection, *, kind: str, tenant_id: str, key: str, expires_at: int) -> bool:
    """Return True exactly once for (kind, tenant, key); the mark stays until ``expires_at`` (epoch seconds).

    Without this: a captured assertion or client assertion could be presented again, here or at another
    node. The key is per kind and tenant, so that one store cannot forge another's entries
    (the shared single-use store of CVE-2026-4282).
    """
    row = {"kind": kind, "tenant_id": tenant_id, "key_hash": sha256_hex(key), "expires_at": expires_at}
    return _INSERT.run(connection, row) == 1

"""Single use of what others issue: one insert whose row count decides."""

from sqlalchemy import Connection

from broker.kernel.ids import sha256_hex
from broker.kernel.models import ReplayMark
from broker.kernel.upsert import dialect_insert


def spend(connection: Connection, *, kind: str, tenant_id: str, key: str, expires_at: int) -> bool:
    """Return True exactly once for (kind, tenant, key); the mark stays until ``expires_at`` (epoch seconds).

    Without this: a captured assertion or client assertion could be presented again, here or at another
    node. The key is per kind and tenant, so that one store cannot forge another's entries
    (the shared single-use store of CVE-2026-4282).
    """
    row = {"kind": kind, "tenant_id": tenant_id, "key_hash": sha256_hex(key), "expires_at": expires_at}
    insert = dialect_insert(connection)
    result = connection.execute(insert(ReplayMark).values(**row).on_conflict_do_nothing())
    return result.rowcount == 1

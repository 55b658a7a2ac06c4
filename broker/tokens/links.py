"""Links that work once, such as the one that lets the first administrator in."""

from typing import cast

from sqlalchemy import Connection, Table, update

from broker.kernel.ids import new_secret, sha256_hex
from broker.tokens import models

_TABLE = cast(Table, models.OneTimeLink.__table__)


def make_link(connection: Connection, *, tenant_id: str, purpose: str, now: int, ttl_seconds: int) -> str:
    """Store a one-time link and return its code; only the code's hash is kept."""
    code = new_secret()
    connection.execute(
        _TABLE.insert().values(
            tenant_id=tenant_id,
            code_hash=sha256_hex(code),
            purpose=purpose,
            created_at=now,
            expires_at=now + ttl_seconds,
            spent_at=None,
        )
    )
    return code


def spend_link(connection: Connection, *, tenant_id: str, purpose: str, code: str, now: int) -> bool:
    """Return True exactly once for a link of this tenant and purpose that has not expired.

    Without this: two people who open the link together would both be let in.
    """
    result = connection.execute(
        update(_TABLE)
        .where(
            _TABLE.c.tenant_id == tenant_id,
            _TABLE.c.code_hash == sha256_hex(code),
            _TABLE.c.purpose == purpose,
            _TABLE.c.spent_at.is_(None),
            _TABLE.c.expires_at > now,
        )
        .values(spent_at=now)
    )
    return result.rowcount == 1

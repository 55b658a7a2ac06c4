"""Pushed authorization requests: kept for a minute, taken once, by the client that pushed them (RFC 9126)."""

from collections.abc import Sequence
from typing import cast

from sqlalchemy import Connection, Table, bindparam, func, insert, select, update

from broker.kernel.ids import new_secret, sha256_hex
from broker.tokens import models

URI_PREFIX = "urn:ietf:params:oauth:request_uri:"
Pairs = list[tuple[str, str]]

_TABLE = cast(Table, models.PushedRequest.__table__)
_INSERT = insert(_TABLE)
_SPEND = (
    update(_TABLE)
    .where(
        _TABLE.c.tenant_id == bindparam("tenant"),
        _TABLE.c.uri_hash == bindparam("hash"),
        _TABLE.c.client_id == bindparam("client"),
        _TABLE.c.spent_at.is_(None),
        _TABLE.c.expires_at > bindparam("at"),
    )
    .values(spent_at=bindparam("at"))
    .returning(_TABLE.c.params)
)
_COUNT = select(func.count()).where(
    _TABLE.c.tenant_id == bindparam("tenant"),
    _TABLE.c.client_id == bindparam("client"),
    _TABLE.c.expires_at > bindparam("at"),
)


def keep_request(
    connection: Connection,
    *,
    tenant_id: str,
    client_id: str,
    params: Sequence[tuple[str, str]],
    expires_at: int,
) -> str:
    """Store the parameters of a request and return its ``request_uri``; only the hash of that is kept."""
    uri = URI_PREFIX + new_secret()
    connection.execute(
        _INSERT,
        {
            "tenant_id": tenant_id,
            "uri_hash": sha256_hex(uri),
            "client_id": client_id,
            "params": [list(pair) for pair in params],
            "expires_at": expires_at,
            "spent_at": None,
        },
    )
    return uri


def spend_request(
    connection: Connection, *, tenant_id: str, client_id: str, uri: str, now: int
) -> Pairs | None:
    """Take a pushed request: its parameters exactly once, None otherwise.

    None is a request that is unknown here, expired, taken before or another client's: a stranger who saw
    its address can neither use nor burn it. Without this: two browsers could go on with one request (O43).
    """
    key = {"tenant": tenant_id, "hash": sha256_hex(uri), "client": client_id, "at": now}
    won = connection.execute(_SPEND, key).scalar_one_or_none()
    return None if won is None else [(str(name), str(value)) for name, value in won]


def count_requests(connection: Connection, *, tenant_id: str, client_id: str, now: int) -> int:
    """Return how many requests of a client are kept that have not expired."""
    key = {"tenant": tenant_id, "client": client_id, "at": now}
    return connection.execute(_COUNT, key).scalar_one()

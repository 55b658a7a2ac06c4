"""Refresh tokens: each is spent once and replaced; one that comes back ends its family, the grant."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection, Table, bindparam, insert, select, update

from broker.kernel.ids import new_secret, sha256_hex
from broker.tokens import models

_TABLE = cast(Table, models.RefreshToken.__table__)
_INSERT = insert(_TABLE)
_THIS = (_TABLE.c.tenant_id == bindparam("tenant")) & (_TABLE.c.token_hash == bindparam("hash"))
_SPEND = (
    update(_TABLE)
    .where(
        _THIS,
        _TABLE.c.client_id == bindparam("client"),
        _TABLE.c.spent_at.is_(None),
        _TABLE.c.expires_at > bindparam("at"),
    )
    .values(spent_at=bindparam("at"))
    .returning(
        _TABLE.c.grant_id,
        _TABLE.c.client_id,
        _TABLE.c.scopes,
        _TABLE.c.issued_at,
        _TABLE.c.expires_at,
        _TABLE.c.cnf_jkt,
    )
)
_FIND = select(_TABLE).where(_THIS)


@dataclass(frozen=True, slots=True)
class RefreshView:
    """What a refresh token stands for; times are epoch seconds."""

    grant_id: str
    client_id: str
    scopes: tuple[str, ...]
    issued_at: int
    expires_at: int
    spent_at: int | None = None
    cnf_jkt: str = ""


@dataclass(frozen=True, slots=True)
class SpentRefresh:
    """A refresh token that came back after it was spent: end its grant (RFC 9700 §4.14)."""

    grant_id: str
    client_id: str
    spent_at: int


def issue_refresh(
    connection: Connection,
    *,
    tenant_id: str,
    grant_id: str,
    client_id: str,
    scopes: Iterable[str],
    now: int,
    expires_at: int,
    cnf_jkt: str = "",
) -> str:
    """Store a refresh token and return it; only its hash is kept.

    ``cnf_jkt`` is the thumbprint of the only key that may use it, empty where none is bound.
    """
    token = new_secret()
    connection.execute(
        _INSERT,
        {
            "tenant_id": tenant_id,
            "token_hash": sha256_hex(token),
            "grant_id": grant_id,
            "client_id": client_id,
            "scopes": sorted(scopes),
            "issued_at": now,
            "expires_at": expires_at,
            "spent_at": None,
            "cnf_jkt": cnf_jkt,
        },
    )
    return token


def spend_refresh(
    connection: Connection, *, tenant_id: str, client_id: str, token: str, now: int
) -> RefreshView | SpentRefresh | None:
    """Spend a refresh token: ``RefreshView`` exactly once, ``SpentRefresh`` when it was spent before.

    None is a token that is unknown here, expired unused, or another client's: a stranger who holds a
    client's token can neither use nor burn it. Without this: a stolen token and the honest one would
    both be exchanged, and nobody would notice.
    """
    key = {"tenant": tenant_id, "hash": sha256_hex(token)}
    won = connection.execute(_SPEND, {**key, "client": client_id, "at": now}).first()
    if won is not None:
        return RefreshView(
            won.grant_id,
            won.client_id,
            tuple(won.scopes),
            won.issued_at,
            won.expires_at,
            cnf_jkt=won.cnf_jkt,
        )
    lost = connection.execute(_FIND, key).first()
    if lost is None or lost.client_id != client_id or lost.spent_at is None:
        return None
    return SpentRefresh(lost.grant_id, lost.client_id, lost.spent_at)


def find_refresh(connection: Connection, *, tenant_id: str, token: str) -> RefreshView | None:
    """Return a stored refresh token without spending it, spent or not, for introspection and revocation."""
    row = connection.execute(_FIND, {"tenant": tenant_id, "hash": sha256_hex(token)}).first()
    if row is None:
        return None
    return RefreshView(
        row.grant_id,
        row.client_id,
        tuple(row.scopes),
        row.issued_at,
        row.expires_at,
        row.spent_at,
        row.cnf_jkt,
    )

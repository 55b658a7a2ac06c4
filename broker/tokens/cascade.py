"""Ends tokens, grants and sessions, and all that hangs on them, in counted UPDATE statements.

Nothing is loaded to be ended. Ending a person, agent, client, connection or tenant is in ``switching_off``.
"""

from dataclasses import dataclass
from typing import cast

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, exists, func, select, update

from broker.kernel.group_commit import flush_deferred
from broker.tokens import models
from broker.tokens.logout_notices import note_ends

TOKENS = cast(Table, models.IssuedToken.__table__)
GRANTS = cast(Table, models.Grant.__table__)
SESSIONS = cast(Table, models.BrowserSession.__table__)

_END_SUBTREE = (
    update(TOKENS)
    .where(
        TOKENS.c.tenant_id == bindparam("tenant"),
        TOKENS.c.path >= bindparam("first"),
        TOKENS.c.path < bindparam("beyond"),
        TOKENS.c.ended_at.is_(None),
    )
    .values(ended_at=bindparam("at"), ended_by=bindparam("cause"))
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How many things that had not ended yet an ending took with it, expired ones included."""

    tokens: int = 0
    grants: int = 0
    sessions: int = 0

    def __add__(self, other: "Ended") -> "Ended":
        return Ended(self.tokens + other.tokens, self.grants + other.grants, self.sessions + other.sessions)


def end_token(connection: Connection, tenant_id: str, jti: str, cause: str, now: int) -> int:
    """End a token and everything derived from it by one UPDATE; returns how many were live.

    A token that is unknown to this tenant ends nothing: the caller answers as if it had (RFC 7009 §2.2).
    """
    flush_deferred(connection)
    row = connection.execute(
        select(TOKENS.c.path, TOKENS.c.grant_id).where(TOKENS.c.tenant_id == tenant_id, TOKENS.c.jti == jti)
    ).first()
    if row is None:
        return 0
    _wait_for_mints(connection, tenant_id, row.grant_id)
    beyond = row.path[:-1] + chr(ord("/") + 1)
    result = connection.execute(
        _END_SUBTREE,
        {"tenant": tenant_id, "first": row.path, "beyond": beyond, "at": now, "cause": cause},
    )
    return result.rowcount


def end_grant(connection: Connection, tenant_id: str, grant_id: str, cause: str, now: int) -> Ended:
    """End one grant: its codes and refresh tokens are worth nothing any more, its tokens end."""
    return end_grants_where(connection, tenant_id, GRANTS.c.id == grant_id, cause, now)


def end_grants_of(
    connection: Connection,
    tenant_id: str,
    cause: str,
    now: int,
    *,
    user_id: str | None = None,
    client_id: str | None = None,
    agent_id: str | None = None,
    connection_id: str | None = None,
    session_id: str | None = None,
    consent_id: str | None = None,
) -> Ended:
    """End every grant that fits all the given owners, with its tokens.

    Raises ``ValueError`` when no owner is given. Without this: a forgotten argument would end the
    grants of a whole tenant.
    """
    given = {
        "user_id": user_id,
        "client_id": client_id,
        "agent_id": agent_id,
        "connection_id": connection_id,
        "session_id": session_id,
        "consent_id": consent_id,
    }
    owners = [GRANTS.c[name] == value for name, value in given.items() if value is not None]
    if not owners:
        raise ValueError("say whose grants are to end")
    return end_grants_where(connection, tenant_id, and_(*owners), cause, now)


def end_grants_where(
    connection: Connection, tenant_id: str, condition: ColumnElement[bool], cause: str, now: int
) -> Ended:
    """End a tenant's grants on a condition over ``GRANTS``, then the tokens of all of them."""
    flush_deferred(connection)
    mine = and_(GRANTS.c.tenant_id == tenant_id, condition)
    # The grants first: this waits for transactions that mint under them, so that the next statement sees
    # what they wrote.
    grants = connection.execute(
        update(GRANTS).where(mine, GRANTS.c.ended_at.is_(None)).values(ended_at=now, ended_by=cause)
    ).rowcount
    tokens = end_tokens_where(
        connection, tenant_id, TOKENS.c.grant_id.in_(select(GRANTS.c.id).where(mine)), cause, now
    )
    return Ended(tokens=tokens, grants=grants)


def end_trees_through(
    connection: Connection, tenant_id: str, column: str, value: str, cause: str, now: int
) -> Ended:
    """End every token whose ``column`` has the value, and all that was derived from it, whoever holds it."""
    flush_deferred(connection)
    holder = TOKENS.alias("holder")
    through = exists().where(
        holder.c.tenant_id == tenant_id,
        holder.c[column] == value,
        holder.c.grant_id == TOKENS.c.grant_id,
        func.substr(TOKENS.c.path, 1, func.length(holder.c.path)) == holder.c.path,
    )
    grants = select(TOKENS.c.grant_id).where(TOKENS.c.tenant_id == tenant_id, TOKENS.c[column] == value)
    condition = and_(TOKENS.c.grant_id.in_(grants.scalar_subquery()), through)
    return Ended(tokens=end_tokens_where(connection, tenant_id, condition, cause, now))


def end_sessions_where(
    connection: Connection, tenant_id: str, condition: ColumnElement[bool], now: int
) -> Ended:
    """End a tenant's browser sessions on a condition over ``SESSIONS``; their clients will be told."""
    note_ends(connection, tenant_id, condition, now)
    result = connection.execute(
        update(SESSIONS)
        .where(SESSIONS.c.tenant_id == tenant_id, condition, SESSIONS.c.ended_at.is_(None))
        .values(ended_at=now, sealed_upstream=None)
    )
    return Ended(sessions=result.rowcount)


def end_sessions_of_user(connection: Connection, tenant_id: str, user_id: str, now: int) -> int:
    """End all browser sessions of a person; returns how many there were."""
    return end_sessions_where(connection, tenant_id, SESSIONS.c.user_id == user_id, now).sessions


def end_tokens_where(
    connection: Connection, tenant_id: str, condition: ColumnElement[bool], cause: str, now: int
) -> int:
    """End a tenant's tokens on a condition over ``TOKENS``, and nothing below them; returns how many."""
    result = connection.execute(
        update(TOKENS)
        .where(TOKENS.c.tenant_id == tenant_id, condition, TOKENS.c.ended_at.is_(None))
        .values(ended_at=now, ended_by=cause)
    )
    return result.rowcount


def _wait_for_mints(connection: Connection, tenant_id: str, grant_id: str) -> None:
    """Wait for transactions that hold the grant to mint under it; SQLite has one writer and needs none."""
    if connection.dialect.name != "sqlite":
        this = (GRANTS.c.tenant_id == tenant_id) & (GRANTS.c.id == grant_id)
        connection.execute(select(GRANTS.c.id).where(this).with_for_update())

"""Clients that must hear of the end of a session: noted in the transaction that ends it, told by a job.

Without the same transaction: a process that stops between the two would leave a client signed in for ever.
"""

from dataclasses import dataclass
from typing import cast

from sqlalchemy import ColumnElement, Connection, Table, delete, literal, select, update

from broker.agents.models import Client
from broker.kernel.upsert import dialect_insert
from broker.tokens import models

NOTICES = cast(Table, models.LogoutNotice.__table__)
_SESSIONS = cast(Table, models.BrowserSession.__table__)
_GRANTS = cast(Table, models.Grant.__table__)
_CLIENTS = cast(Table, Client.__table__)

LIFE_SECONDS = 86_400
"""A client that cannot be reached for a day is not told any more."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One client that is to be told of one session of one person; ``tries`` counts those that failed."""

    tenant_id: str
    session_id: str
    client_id: str
    user_id: str
    tries: int
    expires_at: int


def note_ends(connection: Connection, tenant_id: str, sessions: ColumnElement[bool], now: int) -> None:
    """Note who must hear of these sessions, a condition over ``browser_sessions``; call before they end.

    Only sessions that are still open count, and only clients with a ``backchannel_logout_uri``.
    """
    wanted = (
        select(
            literal(tenant_id),
            _SESSIONS.c.id,
            _GRANTS.c.client_id,
            _SESSIONS.c.user_id,
            literal(0),
            literal(now),
            literal(now + LIFE_SECONDS),
        )
        .distinct()
        .select_from(
            _SESSIONS.join(
                _GRANTS,
                (_GRANTS.c.tenant_id == _SESSIONS.c.tenant_id)
                & (_GRANTS.c.user_id == _SESSIONS.c.user_id)
                & (_GRANTS.c.session_id == _SESSIONS.c.id),
            ).join(
                _CLIENTS,
                (_CLIENTS.c.tenant_id == _GRANTS.c.tenant_id) & (_CLIENTS.c.client_id == _GRANTS.c.client_id),
            )
        )
        .where(
            _SESSIONS.c.tenant_id == tenant_id,
            sessions,
            _SESSIONS.c.ended_at.is_(None),
            _CLIENTS.c.options["backchannel_logout_uri"].as_string().is_not(None),
        )
    )
    names = ["tenant_id", "session_id", "client_id", "user_id", "tries", "due_at", "expires_at"]
    insert = dialect_insert(connection)
    connection.execute(insert(NOTICES).from_select(names, wanted).on_conflict_do_nothing())


def find_due(connection: Connection, now: int, limit: int) -> list[Notice]:
    """Return who is to be told now, of all tenants, those who wait longest first."""
    rows = connection.execute(
        select(
            NOTICES.c.tenant_id,
            NOTICES.c.session_id,
            NOTICES.c.client_id,
            NOTICES.c.user_id,
            NOTICES.c.tries,
            NOTICES.c.expires_at,
        )
        .where(NOTICES.c.due_at <= now)
        .order_by(NOTICES.c.due_at)
        .limit(limit)
    )
    return [Notice(*row) for row in rows]


def put_off(connection: Connection, notice: Notice, until: int) -> None:
    """Try again at ``until`` (epoch seconds), with one more failed try counted."""
    connection.execute(update(NOTICES).where(_this(notice)).values(tries=notice.tries + 1, due_at=until))


def forget(connection: Connection, notice: Notice) -> None:
    """Strike a client off that was told, or is told no more."""
    connection.execute(delete(NOTICES).where(_this(notice)))


def _this(notice: Notice) -> ColumnElement[bool]:
    return (
        (NOTICES.c.tenant_id == notice.tenant_id)
        & (NOTICES.c.session_id == notice.session_id)
        & (NOTICES.c.client_id == notice.client_id)
    )

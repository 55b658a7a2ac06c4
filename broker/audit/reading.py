"""Reads events for the admin pages: newest first, filtered, a page at a time."""

import base64
import binascii
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from broker.audit.models import AuditRecord
from broker.audit.personal import personal_opener
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.sealing import Sealer

MAX_PAGE = 200

_ORDER = (AuditRecord.at, AuditRecord.writer, AuditRecord.seq)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to show; None does not filter. `event` is a name or the family before its dot."""

    event: str | None = None
    subject_id: str | None = None
    agent_id: str | None = None
    client_id: str | None = None
    outcome: str | None = None
    request_id: str | None = None
    from_at: int | None = None
    until_at: int | None = None


@dataclass(frozen=True, slots=True)
class EventView:
    """One event as pages show it; `personal` is None unless it was asked for and can be opened."""

    writer: str
    seq: int
    at: int
    event: str
    outcome: str
    reason: str
    subject_id: str
    agent_id: str
    client_id: str
    target_id: str
    request_id: str
    actor: dict[str, str] | None
    chain: list[dict[str, str]]
    data: dict[str, Any]
    hash: str
    personal: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events, newest first, and the cursor of the next older page (None: there is none)."""

    events: tuple[EventView, ...]
    next_cursor: str | None


def list_events(
    connection: Connection,
    tenant_id: str,
    wanted: EventFilter = EventFilter(),
    *,
    cursor: str | None = None,
    limit: int = 50,
    sealer: Sealer | None = None,
) -> EventPage:
    """Return a page of the tenant's events, newest first; with `sealer` personal fields are opened.

    `limit` is held between 1 and `MAX_PAGE` (T13). Raises `Refusal` for a cursor that we did not make.
    """
    size = min(max(limit, 1), MAX_PAGE)
    statement = select(AuditRecord.__table__).where(AuditRecord.tenant_id == tenant_id, *_conditions(wanted))
    if cursor is not None:
        statement = statement.where(tuple_(*_ORDER) < tuple_(*_read_cursor(cursor)))
    statement = statement.order_by(*(column.desc() for column in _ORDER)).limit(size + 1)
    rows = connection.execute(statement).mappings().all()
    shown = rows[:size]
    names = [name for name in EventView.__slots__ if name != "personal"]
    opener = (
        personal_opener(connection, sealer, tenant_id, (row["subject_id"] for row in shown))
        if sealer
        else None
    )
    events = tuple(
        EventView(
            **{name: row[name] for name in names},
            personal=opener.open(row["subject_id"], row["personal"]) if opener else None,
        )
        for row in shown
    )
    has_more = len(rows) > size
    return EventPage(events, _write_cursor(events[-1]) if has_more else None)


def last_events(
    connection: Connection,
    tenant_id: str,
    column: InstrumentedAttribute[Any],
    values: Collection[str],
    events: Collection[str],
) -> dict[str, int]:
    """Return when one of ``events`` last came for each of ``values`` of a column; the others are absent."""
    rows = connection.execute(
        select(column, func.max(AuditRecord.at))
        .where(AuditRecord.tenant_id == tenant_id, column.in_(values), AuditRecord.event.in_(events))
        .group_by(column)
    )
    return {row[0]: row[1] for row in rows}


def _conditions(wanted: EventFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.event is not None:
        family = f"{wanted.event}."
        found.append(
            or_(AuditRecord.event == wanted.event, AuditRecord.event.startswith(family, autoescape=True))
        )
    for column, value in (
        (AuditRecord.subject_id, wanted.subject_id),
        (AuditRecord.agent_id, wanted.agent_id),
        (AuditRecord.client_id, wanted.client_id),
        (AuditRecord.outcome, wanted.outcome),
        (AuditRecord.request_id, wanted.request_id),
    ):
        if value is not None:
            found.append(column == value)
    if wanted.from_at is not None:
        found.append(AuditRecord.at >= wanted.from_at)
    if wanted.until_at is not None:
        found.append(AuditRecord.at < wanted.until_at)
    return found


def _write_cursor(last: EventView) -> str:
    return base64.urlsafe_b64encode(f"{last.at}.{last.seq}.{last.writer}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[int, str, int]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        at, seq, writer = text.split(".", 2)
        return int(at), writer, int(seq)
    except (ValueError, binascii.Error):
        raise Refusal(
            ErrorCode.INVALID_REQUEST,
            "This page of the log does not exist.",
            reason="bad_cursor",
            whose_move=WhoseMove.YOU,
        ) from None

"""The audit log for administrators: filters, pages, names for ids, and whether the chains are whole."""

from dataclasses import asdict, dataclass
from typing import Any

from broker.admin.changes import Desk
from broker.admin.names import Names, load_names
from broker.audit.checkpoint import HmacSigner
from broker.audit.events import AuditEvent
from broker.audit.reading import EventFilter, EventView, list_events
from broker.audit.verify import Report, verify
from broker.audit.wording import words_of

PAGE_SIZE = 50
MAX_FILTER_CHARS = 100

UNCHECKED: dict[str, Any] = {"state": "unchecked", "checked_at": None, "events_checked": 0, "detail": ""}
"""What is known of the chains before somebody asks."""


@dataclass(frozen=True, slots=True)
class LogFilter:
    """What the page filters by, as it stands in the URL; empty does not filter."""

    event: str = ""
    outcome: str = ""
    person: str = ""
    agent: str = ""
    request_id: str = ""


def log_context(desk: Desk, wanted: LogFilter, cursor: str) -> tuple[dict[str, Any], str]:
    """Return events, filters and choices of ``admin/audit.html``, and the cursor of the next older page.

    Raises ``Refusal(invalid_request)`` for a cursor that we did not make.
    """
    chosen = EventFilter(
        event=wanted.event or None,
        outcome=wanted.outcome or None,
        subject_id=wanted.person or None,
        agent_id=wanted.agent or None,
        request_id=wanted.request_id or None,
    )
    with desk.rt.database.core_read() as connection:
        page = list_events(
            connection,
            desk.tenant.id,
            chosen,
            cursor=cursor or None,
            limit=PAGE_SIZE,
            sealer=desk.rt.sealer,
        )
        names = load_names(connection, desk, page.events)
    context = {
        "events": [_words(event, names) for event in page.events],
        "filters": asdict(wanted),
        "event_kinds": sorted(
            ({"value": one.value, "words": words_of(one.value)} for one in AuditEvent),
            key=lambda one: one["words"],
        ),
    }
    return context, page.next_cursor or ""


def check_chains(desk: Desk) -> dict[str, Any]:
    """Verify every event of the tenant and return the outcome as the page shows it."""
    with desk.rt.database.core_read() as connection:
        report = verify(connection, desk.tenant.id, signer=HmacSigner(desk.rt.sealer))
    return {
        "state": "intact" if report.ok else "broken",
        "checked_at": desk.now,
        "events_checked": report.events,
        "detail": _detail(report),
    }


def _detail(report: Report) -> str:
    if report.fault is not None:
        place = f" of {report.fault.writer}" if report.fault.writer else ""
        return (
            f"First fault: {report.fault.kind.value.replace('_', ' ')} at number {report.fault.seq}{place}."
        )
    signed = f"{report.checkpoints} signed checkpoint{'' if report.checkpoints == 1 else 's'}"
    return f"{report.writers} chain{'' if report.writers == 1 else 's'}, {signed}."


def _words(event: EventView, names: Names) -> dict[str, Any]:
    kind, name = names.actor(event)
    target = names.of(event.target_id) if event.target_id else ""
    return {
        "at": event.at,
        "event": event.event,
        "words": words_of(event.event),
        "outcome": event.outcome,
        "actor_kind": kind,
        "actor_name": name,
        "subject_name": names.of(event.subject_id) if event.subject_id else "",
        "chain": [names.of(member["sub"]) for member in event.chain],
        "target": "" if event.target_id == event.subject_id else target,
        "client_id": event.client_id,
        "reason": event.reason,
        "request_id": event.request_id,
        "ip": str((event.personal or {}).get("ip", "")),
        "data": {key: _plain(value) for key, value in event.data.items() if value not in ("", [], None)},
    }


def _plain(value: Any) -> str:
    return ", ".join(str(part) for part in value) if isinstance(value, list) else str(value)

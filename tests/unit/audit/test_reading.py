"""The log is read newest first, filtered, in pages that neither repeat nor skip (T13, T19)."""

from collections.abc import Iterator

import pytest

from broker.audit.reading import MAX_PAGE, EventFilter, EventView, list_events
from broker.kernel.errors import ErrorCode, Refusal
from tests.builders.audit_log import ACME, GLOBEX, NOW, AuditLog, open_log

ALL = EventFilter()


@pytest.fixture
def log(database_url: str) -> Iterator[AuditLog]:
    opened = open_log(database_url)
    opened.write(12)
    opened.write(12, writer="wrt_two")
    opened.write(2, tenant_id=GLOBEX)
    yield opened
    opened.database.close()


def read(log: AuditLog, wanted: EventFilter = ALL, limit: int = 50) -> list[EventView]:
    with log.database.core_read() as connection:
        return list(list_events(connection, ACME, wanted, limit=limit).events)


def test_newest_come_first_and_only_the_tenants_own(log: AuditLog) -> None:
    events = read(log)
    assert len(events) == 24
    places = [(event.at, event.writer, event.seq) for event in events]
    assert places == sorted(places, reverse=True)


@pytest.mark.parametrize("limit", [1, 5, 23, 24, 25])
def test_pages_follow_each_other(log: AuditLog, limit: int) -> None:
    seen: list[EventView] = []
    cursor = None
    with log.database.core_read() as connection:
        for _ in range(30):
            page = list_events(connection, ACME, cursor=cursor, limit=limit)
            assert len(page.events) <= limit
            seen += page.events
            cursor = page.next_cursor
            if cursor is None:
                break
    assert seen == read(log)


def test_events_that_arrive_while_paging_do_not_shift_pages(log: AuditLog) -> None:
    with log.database.core_read() as connection:
        first = list_events(connection, ACME, limit=10)
    log.write(5, start=100)
    with log.database.core_read() as connection:
        second = list_events(connection, ACME, cursor=first.next_cursor, limit=14)
    assert len({*map(place, first.events), *map(place, second.events)}) == 24


def place(event: EventView) -> tuple[str, int]:
    return event.writer, event.seq


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (EventFilter(event="token.refused"), 8),
        (EventFilter(event="token"), 24),
        (EventFilter(event="tok"), 0),
        (EventFilter(event="%"), 0),
        (EventFilter(outcome="ok"), 16),
        (EventFilter(subject_id="usr_3"), 6),
        (EventFilter(agent_id="agt_writer"), 24),
        (EventFilter(agent_id="agt_other"), 0),
        (EventFilter(client_id="cli_harness", outcome="refused"), 8),
        (EventFilter(request_id="req_7"), 2),
        (EventFilter(from_at=NOW + 10), 4),
        (EventFilter(until_at=NOW + 10), 20),
        (EventFilter(from_at=NOW + 3, until_at=NOW + 5, event="token.issued"), 2),
    ],
)
def test_filters(log: AuditLog, wanted: EventFilter, count: int) -> None:
    assert len(read(log, wanted)) == count


def test_a_page_is_never_larger_than_allowed(log: AuditLog) -> None:
    log.write(MAX_PAGE, start=1_000)
    assert len(read(log, limit=10_000)) == MAX_PAGE
    assert len(read(log, limit=0)) == 1


@pytest.mark.parametrize("cursor", ["", "x", "!!", "MS4y", "MS54LndydA", "_____w"])
def test_a_cursor_that_we_did_not_make_is_refused(log: AuditLog, cursor: str) -> None:
    with log.database.core_read() as connection, pytest.raises(Refusal) as caught:
        list_events(connection, ACME, cursor=cursor)
    assert (caught.value.code, caught.value.reason) == (ErrorCode.INVALID_REQUEST, "bad_cursor")

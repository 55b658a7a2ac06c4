"""Leases that one holder has, and the sweeper that deletes what has expired and nothing else."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select

from broker.kernel.clock import FixedClock
from broker.kernel.database import Base
from broker.kernel.jobs import (
    SWEEP_LEASE_SECONDS,
    ExpiringTable,
    Sweeper,
    acquire_lease,
    release_lease,
    renew_lease,
    sweep,
)
from broker.kernel.models import Lease, ReplayMark
from broker.kernel.replay import spend
from broker.kernel.runtime import Runtime, open_runtime
from broker.kernel.settings import load_settings
from broker.tokens.models import IssuedToken, OneTimeLink

NOW = 1_795_503_600
MARKS: Any = ReplayMark.__table__
LINKS: Any = OneTimeLink.__table__


@pytest.fixture
def rt(database_url: str, tmp_path: Path) -> Iterator[Runtime]:
    settings = load_settings(database_url=database_url, data_dir=tmp_path / "data")
    rt = open_runtime(settings, FixedClock(NOW))
    tables: list[Any] = [MARKS, LINKS, Lease.__table__, IssuedToken.__table__]
    Base.metadata.create_all(rt.database.engine, tables=tables)
    yield rt
    rt.database.close()


def lease(rt: Runtime, function: Any, holder: str, now: int) -> bool:
    with rt.database.core_write() as connection:
        return bool(function(connection, name="job", holder=holder, now=now, ttl_seconds=60))


def test_a_lease_has_one_holder_until_it_runs_out(rt: Runtime):
    assert lease(rt, acquire_lease, "a", NOW)
    assert not lease(rt, acquire_lease, "b", NOW + 59)
    assert lease(rt, acquire_lease, "a", NOW + 59)
    assert not lease(rt, acquire_lease, "b", NOW + 60)
    assert lease(rt, acquire_lease, "b", NOW + 119)
    assert not lease(rt, acquire_lease, "a", NOW + 120)


def test_a_lease_is_renewed_by_its_holder_in_time_only(rt: Runtime):
    assert not lease(rt, renew_lease, "a", NOW)
    lease(rt, acquire_lease, "a", NOW)
    assert not lease(rt, renew_lease, "b", NOW + 1)
    assert lease(rt, renew_lease, "a", NOW + 59)
    assert lease(rt, renew_lease, "a", NOW + 118)
    assert not lease(rt, renew_lease, "a", NOW + 178)


def test_a_lease_is_given_back_by_its_holder_only(rt: Runtime):
    lease(rt, acquire_lease, "a", NOW)
    with rt.database.core_write() as connection:
        release_lease(connection, name="job", holder="b")
    assert not lease(rt, acquire_lease, "b", NOW)
    with rt.database.core_write() as connection:
        release_lease(connection, name="job", holder="a")
    assert lease(rt, acquire_lease, "b", NOW)


def fill(rt: Runtime, *expiries: int) -> None:
    with rt.database.core_write() as connection:
        for number, expires_at in enumerate(expiries):
            tenant_id = f"ten_{number % 3}"
            spend(connection, kind="t", tenant_id=tenant_id, key=str(number), expires_at=expires_at)


def left(rt: Runtime) -> list[int]:
    with rt.database.core_read() as connection:
        return sorted(connection.execute(select(MARKS.c.expires_at)).scalars())


def test_what_has_expired_goes_for_all_tenants_and_the_rest_stays(rt: Runtime):
    fill(rt, NOW - 3, NOW - 2, NOW - 1, NOW, NOW + 1)
    with rt.database.core_write() as connection:
        values = {"tenant_id": "ten_0", "code_hash": "h", "purpose": "admin", "created_at": 1}
        connection.execute(LINKS.insert().values(expires_at=NOW - 1, **values))
    assert sweep(rt, [ExpiringTable(MARKS), ExpiringTable(LINKS)], now=NOW) == {
        "replay_marks": 3,
        "one_time_links": 1,
    }
    assert left(rt) == [NOW, NOW + 1]


def test_a_table_may_keep_its_rows_longer(rt: Runtime):
    fill(rt, NOW - 61, NOW - 60, NOW - 1)
    assert sweep(rt, [ExpiringTable(MARKS, keep_seconds=60)], now=NOW) == {"replay_marks": 1}
    assert left(rt) == [NOW - 60, NOW - 1]


def test_rows_go_in_slices_so_that_writers_need_not_wait(rt: Runtime):
    fill(rt, *[NOW - 1] * 25)
    commits: list[int] = []
    event.listen(rt.database.engine, "commit", lambda _connection: commits.append(1))
    assert sweep(rt, [ExpiringTable(MARKS)], now=NOW, slice_rows=10) == {"replay_marks": 25}
    assert len(commits) == 1 + 3
    assert left(rt) == []


def test_one_process_sweeps_at_a_time(rt: Runtime):
    fill(rt, NOW - 1)
    with rt.database.core_write() as connection:
        acquire_lease(connection, name="sweep", holder="another", now=NOW, ttl_seconds=SWEEP_LEASE_SECONDS)
    assert sweep(rt, [ExpiringTable(MARKS)], now=NOW) == {}
    assert left(rt) == [NOW - 1]
    later = NOW + SWEEP_LEASE_SECONDS
    assert sweep(rt, [ExpiringTable(MARKS)], now=later) == {"replay_marks": 1}
    assert sweep(rt, [ExpiringTable(MARKS)], now=later + 1) == {"replay_marks": 0}


def test_the_sweep_walks_the_index_of_expiries(rt: Runtime):
    if not rt.database.is_sqlite:
        pytest.skip("the plan is read from SQLite")
    for table in ("replay_marks", "one_time_links", "issued_tokens"):
        with rt.database.core_read() as connection:
            query = (
                f"EXPLAIN QUERY PLAN SELECT 1 FROM {table} WHERE expires_at < 5 ORDER BY expires_at LIMIT 9"
            )
            plan = connection.exec_driver_sql(query).all()
        assert f"ix_{table}_expires_at" in str(plan)
        assert "TEMP B-TREE" not in str(plan)


def test_the_background_sweeper_works_until_it_is_stopped(rt: Runtime):
    fill(rt, NOW - 1)
    is_swept = threading.Event()
    event.listen(
        rt.database.engine,
        "before_cursor_execute",
        lambda _c, _cursor, statement, *_: is_swept.set() if statement.startswith("DELETE") else None,
    )
    sweeper = Sweeper(rt, [ExpiringTable(MARKS)], every=0.01)
    sweeper.start()
    assert is_swept.wait(10)
    sweeper.stop()
    assert left(rt) == []
    assert not sweeper._thread.is_alive()


def test_a_sweep_that_fails_does_not_end_the_sweeper(rt: Runtime):
    tries = threading.Semaphore(0)

    def count(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "leases" in statement:
            tries.release()

    event.listen(rt.database.engine, "before_cursor_execute", count)
    gone: Any = Base.metadata.tables["refresh_tokens"]
    sweeper = Sweeper(rt, [ExpiringTable(gone)], every=0.01)
    sweeper.start()
    for _ in range(2):
        assert tries.acquire(timeout=10)
    sweeper.stop()


def test_a_sweeper_that_never_started_can_be_stopped(rt: Runtime):
    Sweeper(rt, []).stop()

"""One commit for many: a leader hands on, a refusal keeps its effects, a fault takes nobody down."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, event, select

from broker.kernel.database import Base, Database
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.group_commit import GroupCommitter, Transaction, flush_deferred
from broker.kernel.models import ReplayMark
from broker.kernel.replay import spend

MARKS = ReplayMark.__table__


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    Base.metadata.create_all(database.engine, tables=[MARKS])  # type: ignore[list-item]
    yield database
    database.close()


def mark(key: str) -> Callable[[Transaction], str]:
    def work(tx: Transaction) -> str:
        spend(tx.connection, kind="test", tenant_id="ten_a", key=key, expires_at=1)
        return key

    return work


def count(database: Database) -> int:
    with database.core_read() as connection:
        return len(connection.execute(select(MARKS.c.key_hash)).all())


class Gate:
    """A work that says when it runs and waits until it may go on; so a batch can be held open."""

    def __init__(self) -> None:
        self.is_running = threading.Event()
        self.may_finish = threading.Event()

    def __call__(self, _tx: Transaction) -> str:
        self.is_running.set()
        assert self.may_finish.wait(10)
        return "leader"


def wait_for_queue(committer: GroupCommitter, size: int) -> None:
    pause = threading.Event()
    for _ in range(1_000):
        if len(committer._queue) == size:
            return
        pause.wait(0.005)
    raise AssertionError(f"the queue has {len(committer._queue)} works, not {size}")


def start_behind(
    committer: GroupCommitter, pool: ThreadPoolExecutor, works: list[Callable[[Transaction], Any]]
) -> tuple[Gate, Future[str], list[Future[Any]]]:
    """Hold a leader inside of its batch and line up ``works`` behind it, in order."""
    gate = Gate()
    leader = pool.submit(committer.submit, gate)
    assert gate.is_running.wait(10)
    followers = []
    for number, work in enumerate(works, start=1):
        followers.append(pool.submit(committer.submit, work))
        wait_for_queue(committer, number)
    return gate, leader, followers


def test_a_work_is_answered_after_its_commit(database: Database):
    committer = GroupCommitter(database)
    assert committer.submit(mark("a")) == "a"
    assert count(database) == 1


def test_what_waits_is_committed_together(database: Database):
    committer = GroupCommitter(database)
    commits: list[int] = []
    with ThreadPoolExecutor(12) as pool:
        gate, leader, followers = start_behind(committer, pool, [mark(str(n)) for n in range(10)])
        event.listen(database.engine, "commit", lambda _connection: commits.append(1))
        gate.may_finish.set()
        assert leader.result(10) == "leader"
        assert [one.result(10) for one in followers] == [str(n) for n in range(10)]
    assert len(commits) == 2
    assert count(database) == 10


def test_a_leader_s_caller_is_answered_after_one_batch(database: Database):
    """Without the hand-over a leader would serve what keeps arriving and never answer its own caller."""
    committer = GroupCommitter(database)
    second = Gate()
    with ThreadPoolExecutor(4) as pool:
        gate, leader, (follower,) = start_behind(committer, pool, [second])
        gate.may_finish.set()
        # The second batch is still open, and the first leader has its answer.
        assert leader.result(10) == "leader"
        assert second.is_running.wait(10)
        assert not follower.done()
        second.may_finish.set()
        assert follower.result(10) == "leader"


def test_a_batch_is_bounded(database: Database):
    committer = GroupCommitter(database, max_batch=2)
    seen: list[int] = []
    with ThreadPoolExecutor(8) as pool:

        def note(tx: Transaction) -> None:
            seen.append(id(tx))

        gate, leader, followers = start_behind(committer, pool, [note] * 5)
        gate.may_finish.set()
        leader.result(10)
        for one in followers:
            one.result(10)
    sizes = [seen.count(one) for one in dict.fromkeys(seen)]
    assert sum(sizes) == 5
    assert max(sizes) <= 2


def test_a_refusal_keeps_its_effects_and_reaches_its_own_caller_only(database: Database):
    committer = GroupCommitter(database)

    def refuse(tx: Transaction) -> None:
        mark("reuse-was-noted")(tx)
        raise Refusal(ErrorCode.INVALID_GRANT, "The code was already used.", reason="code_reused")

    with ThreadPoolExecutor(4) as pool:
        gate, leader, (refused, fine) = start_behind(committer, pool, [refuse, mark("b")])
        gate.may_finish.set()
        leader.result(10)
        with pytest.raises(Refusal) as refusal:
            refused.result(10)
        assert refusal.value.reason == "code_reused"
        assert fine.result(10) == "b"
    assert count(database) == 2


def test_a_fault_in_one_work_does_not_take_others_down(database: Database):
    committer = GroupCommitter(database)

    def fail(tx: Transaction) -> None:
        mark("must-not-stay")(tx)
        raise RuntimeError("a fault")

    with ThreadPoolExecutor(5) as pool:
        gate, leader, (first, broken, last) = start_behind(committer, pool, [mark("a"), fail, mark("z")])
        gate.may_finish.set()
        leader.result(10)
        assert first.result(10) == "a"
        assert last.result(10) == "z"
        with pytest.raises(RuntimeError, match="a fault"):
            broken.result(10)
    assert count(database) == 2
    assert committer.submit(mark("later")) == "later"


def test_a_refusal_in_a_batch_that_is_run_again_is_answered_once(database: Database):
    committer = GroupCommitter(database)
    runs: list[str] = []

    def refuse(tx: Transaction) -> None:
        runs.append("refuse")
        mark("noted")(tx)
        raise Refusal(ErrorCode.INVALID_GRANT, "No.")

    def fail(_tx: Transaction) -> None:
        raise RuntimeError("a fault")

    with ThreadPoolExecutor(4) as pool:
        gate, leader, (refused, broken) = start_behind(committer, pool, [refuse, fail])
        gate.may_finish.set()
        leader.result(10)
        with pytest.raises(Refusal):
            refused.result(10)
        with pytest.raises(RuntimeError):
            broken.result(10)
    assert runs == ["refuse", "refuse"]
    assert count(database) == 1


def test_a_fault_while_committing_reaches_every_caller_and_leaves_nothing(database: Database):
    committer = GroupCommitter(database)

    def write(connection: Connection, items: Any) -> None:
        raise RuntimeError("the disk is full")

    def work(tx: Transaction) -> None:
        mark("must-not-stay")(tx)
        tx.defer(write, 1)

    with pytest.raises(RuntimeError, match="disk"):
        committer.submit(work)
    assert count(database) == 0
    assert committer.submit(mark("later")) == "later"


def test_deferred_items_of_one_kind_are_written_at_once_in_order(database: Database):
    committer = GroupCommitter(database)
    written: list[tuple[str, list[Any]]] = []

    def rows(_connection: Connection, items: Any) -> None:
        written.append(("rows", list(items)))

    def events(_connection: Connection, items: Any) -> None:
        written.append(("events", list(items)))

    def work(tx: Transaction) -> None:
        tx.defer(rows, 1)
        tx.defer(events, "a")
        tx.defer(rows, 2)
        assert list(tx.deferred(rows)) == [1, 2]
        assert written == []

    committer.submit(work)
    assert written == [("rows", [1, 2]), ("events", ["a"])]


def test_a_statement_that_must_see_every_row_can_have_them_written_first(database: Database):
    committer = GroupCommitter(database)
    written: list[Any] = []

    def rows(_connection: Connection, items: Any) -> None:
        written.extend(items)

    def work(tx: Transaction) -> None:
        tx.defer(rows, 1)
        flush_deferred(tx.connection)
        assert written == [1]
        tx.defer(rows, 2)

    committer.submit(work)
    assert written == [1, 2]
    with database.core_write() as connection:
        flush_deferred(connection)
    assert written == [1, 2]


def test_what_works_announce_is_read_at_once_and_again_after_somebody_ended_something(database: Database):
    asked: list[list[str]] = []

    def names(_connection: Connection, keys: Any) -> dict[str, str]:
        asked.append(list(keys))
        return {key: f"{key}{len(asked)}" for key in keys if key != "nobody"}

    with database.core_write() as connection:
        tx = Transaction(connection, [(names, "a"), (names, "nobody"), (names, "b"), (names, "a")])
        assert asked == []
        assert [tx.find(names, key) for key in ("b", "a", "nobody", "b")] == ["b1", "a1", None, "b1"]
        assert tx.find(names, "c") == "c2"
        # Without this: an exchange could hang a token on one that a revocation before it has just ended.
        flush_deferred(connection)
        assert tx.find(names, "a") == "a3"
    assert asked == [["a", "nobody", "b"], ["c"], ["a"]]


def test_a_batch_reads_what_all_of_its_works_announced(database: Database):
    committer = GroupCommitter(database)
    asked: list[list[int]] = []

    def doubles(_connection: Connection, keys: Any) -> dict[int, int]:
        asked.append(list(keys))
        return {key: 2 * key for key in keys}

    def submit(number: int) -> int:
        return committer.submit(lambda tx: tx.find(doubles, number), [(doubles, number)])

    gate = Gate()
    with ThreadPoolExecutor(4) as pool:
        leader = pool.submit(committer.submit, gate)
        assert gate.is_running.wait(10)
        followers = [pool.submit(submit, number) for number in range(3)]
        wait_for_queue(committer, 3)
        gate.may_finish.set()
        assert leader.result(10) == "leader"
        assert [one.result(10) for one in followers] == [0, 2, 4]
    assert sorted(asked[0]) == [0, 1, 2]
    assert len(asked) == 1

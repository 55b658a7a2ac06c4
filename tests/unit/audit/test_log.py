"""Events are chained in the caller's transaction, whoever writes at the same time (T11, T12)."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, append_many, compose, first_head, hash_of, record
from broker.audit.models import AuditHead, AuditRecord
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.group_commit import GroupCommitter, Transaction
from tests.builders.audit_log import ACME, GLOBEX, NOW, WRITER, AuditLog, context, open_log, write_event


@pytest.fixture
def log(database_url: str) -> Iterator[AuditLog]:
    opened = open_log(database_url)
    yield opened
    opened.database.close()


def rows_of(log: AuditLog, tenant_id: str = ACME) -> list[dict[str, object]]:
    table = AuditRecord.__table__
    with log.database.core_read() as connection:
        found = connection.execute(
            select(table).where(table.c.tenant_id == tenant_id).order_by(table.c.writer, table.c.seq)
        )
        return [dict(row) for row in found.mappings()]


def test_each_event_follows_the_one_before_and_the_head_names_the_last(log: AuditLog) -> None:
    log.write(3)
    first, second, third = rows_of(log)
    assert first["prev_hash"] == first_head(ACME, "wrt_one").hash
    assert (second["prev_hash"], third["prev_hash"]) == (first["hash"], second["hash"])
    assert all(hash_of(row) == row["hash"] for row in (first, second, third))
    with log.database.core_read() as connection:
        head = connection.execute(select(AuditHead.seq, AuditHead.hash)).one()
    assert tuple(head) == (3, third["hash"])


def test_an_event_holds_what_was_said(log: AuditLog) -> None:
    log.write(1, start=1)
    (row,) = rows_of(log)
    assert row["event"] == "token.issued"
    assert row["actor"] == {"kind": "agent", "id": "agt_writer"}
    assert row["chain"] == [
        {"iss": WRITER.issuer, "sub": "agt_writer"},
        {"iss": WRITER.issuer, "sub": "agt_orchestrator"},
    ]
    assert (row["agent_id"], row["subject_id"], row["request_id"]) == ("agt_writer", "usr_1", "req_1")
    assert (row["at"], row["data"]) == (NOW + 1, {"scopes": ["tickets:read"], "depth": 1})
    assert row["personal"] is None


def test_an_event_about_an_agent_is_found_under_it(log: AuditLog) -> None:
    with log.database.core_write() as connection:
        for target, actor in (("agt_x", ActorRef("admin", "usr_1")), ("cli_x", ActorRef("agent", "agt_y"))):
            record(
                connection,
                context(),
                tenant_id=ACME,
                event=AuditEvent.AGENT_KILLED,
                writer_id="wrt_one",
                actor=actor,
                target_id=target,
            )
        record(connection, context(), tenant_id=ACME, event=AuditEvent.KEY_CREATED, writer_id="wrt_one")
    assert [row["agent_id"] for row in rows_of(log)] == ["agt_x", "agt_y", ""]


def test_an_event_stands_only_if_its_effect_stands(log: AuditLog) -> None:
    log.write(1)

    def write_and_fail() -> None:
        with log.database.core_write() as connection:
            write_event(connection, 1)
            connection.execute(insert(AuditHead).values(tenant_id=ACME, writer="wrt_one", seq=9, hash=""))

    with pytest.raises(IntegrityError):
        write_and_fail()
    assert len(rows_of(log)) == 1
    log.write(1, start=2)
    assert [row["seq"] for row in rows_of(log)] == [1, 2]
    assert log.verify().ok


def test_an_orm_session_writes_in_its_own_transaction(log: AuditLog) -> None:
    with log.database.write(ACME) as session:
        write_event(session.connection(), 0)
    assert log.verify().events == 1


def test_chains_of_tenants_and_writers_are_apart(log: AuditLog) -> None:
    log.write(2)
    log.write(1, writer="wrt_two")
    log.write(3, tenant_id=GLOBEX)
    assert [(row["writer"], row["seq"]) for row in rows_of(log)] == [
        ("wrt_one", 1),
        ("wrt_one", 2),
        ("wrt_two", 1),
    ]
    assert (log.verify().events, log.verify(GLOBEX).events) == (3, 3)
    assert log.verify().writers == 2


def test_many_events_of_many_chains_take_one_write(log: AuditLog) -> None:
    entries = [
        compose(
            context(),
            tenant_id=tenant_id,
            event=AuditEvent.TOKEN_ISSUED,
            writer_id="wrt_one",
            data={"number": number},
        )
        for number in range(5)
        for tenant_id in (GLOBEX, ACME)
    ]
    with log.database.core_write() as connection:
        append_many(connection, [])
        append_many(connection, entries)
    assert [row["data"] for row in rows_of(log)] == [{"number": number} for number in range(5)]
    assert (log.verify().ok, log.verify(GLOBEX).ok) == (True, True)


def test_the_group_commit_chains_deferred_events_with_those_of_a_refusal(log: AuditLog) -> None:
    committer = GroupCommitter(log.database)

    def issue(transaction: Transaction) -> str:
        transaction.defer(
            append_many,
            compose(context(), tenant_id=ACME, event=AuditEvent.TOKEN_ISSUED, writer_id="wrt_one"),
        )
        return "issued"

    def refuse(transaction: Transaction) -> None:
        transaction.defer(
            append_many,
            compose(context(), tenant_id=ACME, event=AuditEvent.CODE_REUSED, writer_id="wrt_one"),
        )
        raise Refusal(ErrorCode.INVALID_GRANT, "The code was already used.", reason="code_reused")

    assert committer.submit(issue) == "issued"
    with pytest.raises(Refusal):
        committer.submit(refuse)
    assert [row["event"] for row in rows_of(log)] == ["token.issued", "code.reused"]
    assert log.verify().ok


def test_connections_of_one_writer_cannot_fork_its_chain(log: AuditLog) -> None:
    """T11: on PostgreSQL the head's row is the lock, on SQLite the write lock is."""
    faults: list[BaseException] = []
    ready = threading.Barrier(4)

    def work(first: int) -> None:
        try:
            ready.wait(timeout=20)
            for number in range(first, first + 15):
                log.write(1, start=number)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(place * 100,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert faults == []
    assert [row["seq"] for row in rows_of(log)] == list(range(1, 61))
    assert log.verify().ok


def test_long_and_odd_texts_are_stored_whole_enough_to_verify(log: AuditLog) -> None:
    odd = "\x00 \ud800 ü " + "x" * 1_000
    with log.database.core_write() as connection:
        record(
            connection,
            context(request_id=odd),
            tenant_id=ACME,
            event=AuditEvent.TOKEN_REFUSED,
            writer_id="wrt_one",
            actor=ActorRef("client", odd),
            subject_id=odd,
            client_id=odd,
            target_id=odd,
            reason=odd,
            data={"number": 2**70, "share": 0.5, "set": {"b", "a"}, "none": None, "yes": True, "odd": odd},
        )
    (row,) = rows_of(log)
    data = row["data"]
    assert isinstance(data, dict)
    assert (data["number"], data["share"], data["set"]) == (str(2**70), "0.5", ["a", "b"])
    assert len(str(row["client_id"])) == 255
    assert log.verify().ok

"""Verification says what is wrong and where, and is not confused by events that arrive meanwhile (T11)."""

from collections.abc import Iterator

import pytest
from sqlalchemy import event

from broker.audit.checkpoint import HmacSigner
from broker.audit.verify import FaultKind, Report, verify
from broker.kernel.sealing import Sealer
from tests.builders.audit_log import ACME, GLOBEX, NOW, AuditLog, open_log, write_event


@pytest.fixture
def log(database_url: str) -> Iterator[AuditLog]:
    opened = open_log(database_url)
    yield opened
    opened.database.close()


def test_an_empty_log_is_whole(log: AuditLog) -> None:
    assert log.verify() == Report(ok=True, fault=None, events=0, writers=0, checkpoints=0, clock_steps=())


def test_a_log_with_checkpoints_is_whole(log: AuditLog) -> None:
    log.write(5)
    first = log.checkpoint()
    log.write(3, writer="wrt_two")
    second = log.checkpoint(writer="wrt_two", at=NOW + 60)
    log.write(2, start=8)
    log.write(4, tenant_id=GLOBEX)
    report = log.verify()
    assert (report.ok, report.events, report.writers, report.checkpoints) == (True, 12, 2, 2)
    assert (first.number, second.number, second.at) == (1, 2, NOW + 60)
    assert first.signature != second.signature


def test_a_checkpoint_of_another_key_is_not_valid(log: AuditLog) -> None:
    log.write(1)
    log.checkpoint()
    with log.database.core_read() as connection:
        report = verify(connection, ACME, signer=HmacSigner(Sealer([b"y" * 32])))
    assert report.fault is not None
    assert report.fault.kind is FaultKind.CHECKPOINT_FORGED
    assert log.verify().ok


def test_a_clock_that_was_set_back_is_shown_and_is_no_fault(log: AuditLog) -> None:
    log.write(1, start=1_000)
    log.write(1, start=990)
    log.write(1, start=0)
    report = log.verify()
    assert (report.ok, report.clock_steps) == (True, (("wrt_one", 3),))


@pytest.mark.postgresql
def test_events_that_arrive_during_verification_are_no_fault(postgres_url: str) -> None:
    log = open_log(postgres_url)
    log.write(5)
    log.checkpoint()
    arrivals = iter(range(100, 200))

    def add_one(*_: object) -> None:
        with log.database.core_write() as connection:
            write_event(connection, next(arrivals))

    with log.database.core_read() as connection:
        event.listen(connection, "after_cursor_execute", add_one)
        report = verify(connection, ACME, signer=log.signer)
    assert report.ok, report
    assert report.events > 6
    assert log.verify().events > report.events
    log.database.close()


def test_a_checkpoint_is_an_event_too(log: AuditLog) -> None:
    log.checkpoint()
    assert log.verify().events == 1

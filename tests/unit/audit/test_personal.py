"""Personal fields are sealed per person; destroying a key erases one person and breaks no chain (T14)."""

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from broker.audit.events import AuditEvent
from broker.audit.log import record
from broker.audit.models import AuditRecord, PersonKey
from broker.audit.personal import erase_person, personal_opener, seal_personal
from broker.audit.reading import list_events
from broker.kernel.sealing import Sealer
from tests.builders.audit_log import ACME, GLOBEX, NOW, AuditLog, context, open_log

ALICE, BOB = "usr_alice", "usr_bob"


@pytest.fixture
def log(sqlite_url: str) -> Iterator[AuditLog]:
    opened = open_log(sqlite_url)
    yield opened
    opened.database.close()


def sign_in(log: AuditLog, user_id: str, email: str) -> None:
    with log.database.core_write() as connection:
        record(
            connection,
            context(),
            tenant_id=ACME,
            event=AuditEvent.SIGN_IN_SUCCEEDED,
            writer_id="wrt_one",
            subject_id=user_id,
            personal={"email": email},
            sealer=log.sealer,
        )


def shown(log: AuditLog, sealer: Sealer | None) -> dict[str, object]:
    with log.database.core_read() as connection:
        page = list_events(connection, ACME, sealer=sealer)
        return {event.subject_id: event.personal for event in page.events}


def test_personal_fields_open_for_who_holds_the_key_and_rest_as_noise(log: AuditLog) -> None:
    sign_in(log, ALICE, "alice@acme.example")
    fields = {"email": "alice@acme.example", "ip": "192.0.2.7", "user_agent": "Tests/1.0"}
    assert shown(log, log.sealer) == {ALICE: fields}
    assert shown(log, None) == {ALICE: None}
    with log.database.core_read() as connection:
        stored = connection.execute(select(AuditRecord.__table__)).mappings().one()
    assert b"alice@" not in b"".join(str(value).encode() for value in stored.values())


def test_erasing_one_person_leaves_the_other_and_the_chain(log: AuditLog) -> None:
    sign_in(log, ALICE, "alice@acme.example")
    sign_in(log, BOB, "bob@acme.example")
    log.checkpoint()
    with log.database.core_write() as connection:
        assert erase_person(connection, ACME, ALICE, now=NOW)
        assert not erase_person(connection, ACME, ALICE, now=NOW)
        assert not erase_person(connection, ACME, "usr_nobody", now=NOW)
        assert not erase_person(connection, GLOBEX, BOB, now=NOW)
    opened = shown(log, log.sealer)
    assert opened[ALICE] is None
    assert opened[BOB] is not None
    assert log.verify().ok


def test_an_erased_person_stays_erased(log: AuditLog) -> None:
    sign_in(log, ALICE, "alice@acme.example")
    with log.database.core_write() as connection:
        erase_person(connection, ACME, ALICE, now=NOW)
    sign_in(log, ALICE, "alice@acme.example")
    with log.database.core_read() as connection:
        kept = connection.execute(select(AuditRecord.personal).order_by(AuditRecord.seq)).scalars().all()
    assert kept[-1] is None
    assert log.verify().ok


def test_two_events_of_one_person_share_a_key_and_tenants_do_not(log: AuditLog) -> None:
    with log.database.core_write() as connection:
        first = seal_personal(connection, log.sealer, ACME, ALICE, b"{}")
        second = seal_personal(connection, log.sealer, ACME, ALICE, b"{}")
        foreign = seal_personal(connection, log.sealer, GLOBEX, ALICE, b"{}")
        opener = personal_opener(connection, log.sealer, ACME, [ALICE])
        assert connection.execute(select(PersonKey.tenant_id)).scalars().all() == [ACME, GLOBEX]
    assert (opener.open(ALICE, first), opener.open(ALICE, second)) == ({}, {})
    assert opener.open(ALICE, foreign) is None
    assert opener.open(ALICE, None) is None
    assert opener.open(BOB, first) is None


def test_a_key_that_cannot_be_opened_hides_the_fields_only(log: AuditLog) -> None:
    sign_in(log, ALICE, "alice@acme.example")
    assert shown(log, Sealer([b"x" * 32])) == {ALICE: None}


def test_personal_fields_without_a_sealer_are_a_fault(log: AuditLog) -> None:
    with pytest.raises(ValueError, match="sealer"), log.database.core_write() as connection:
        record(
            connection,
            context(),
            tenant_id=ACME,
            event=AuditEvent.SIGN_IN_SUCCEEDED,
            writer_id="wrt_one",
            personal={"email": "alice@acme.example"},
        )

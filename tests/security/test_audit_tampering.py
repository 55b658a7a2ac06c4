"""T11: whoever can write the database cannot change the log unseen; the untouched twin verifies."""

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from broker.audit.log import first_head, hash_of
from broker.audit.verify import FaultKind, Report, verify
from broker.kernel.database import Base
from tests.builders.audit_log import ACME, NOW, AuditLog, open_log

EVENTS = Base.metadata.tables["audit_events"]
HEADS = Base.metadata.tables["audit_heads"]
CHECKPOINTS = Base.metadata.tables["audit_checkpoints"]
WRITERS = ("wrt_one", "wrt_two")
Row = dict[str, Any]


@dataclass
class Tampering:
    """A copy of an untouched log, handed to an attacker who can write the database and nothing else."""

    connection: Connection
    chance: random.Random

    def rows(self, writer: str) -> list[Row]:
        """Read one chain."""
        found = self.connection.execute(
            select(EVENTS).where(EVENTS.c.writer == writer).order_by(EVENTS.c.seq)
        )
        return [dict(row) for row in found.mappings()]

    def any_chain(self) -> list[Row]:
        """Read a chain by chance."""
        return self.rows(self.chance.choice(WRITERS))

    def change(self, row: Row, **values: Any) -> None:
        """Overwrite columns of a stored event."""
        self.connection.execute(update(EVENTS).where(is_row(row)).values(**values))

    def remove(self, *rows: Row) -> None:
        """Delete stored events."""
        for row in rows:
            self.connection.execute(delete(EVENTS).where(is_row(row)))

    def rewrite(self, rows: list[Row], writer: str) -> None:
        """Replace a chain by `rows` with fresh numbers, links, hashes and head: sound in itself."""
        self.connection.execute(delete(EVENTS).where(EVENTS.c.writer == writer))
        head = first_head(ACME, writer)
        last = (0, head.hash)
        for seq, row in enumerate(rows, start=1):
            forged = {**row, "seq": seq, "prev_hash": last[1]}
            forged["hash"] = hash_of(forged)
            self.connection.execute(insert(EVENTS).values(**forged))
            last = (seq, forged["hash"])
        self.connection.execute(
            update(HEADS).where(HEADS.c.writer == writer).values(seq=last[0], hash=last[1])
        )


def is_row(row: Row) -> Any:
    return (EVENTS.c.tenant_id == ACME) & (EVENTS.c.writer == row["writer"]) & (EVENTS.c.seq == row["seq"])


def delete_one(by: Tampering) -> None:
    by.remove(by.chance.choice(by.any_chain()))


def edit_one(by: Tampering) -> None:
    row = by.chance.choice(by.any_chain())
    edits: dict[str, Any] = {
        "at": row["at"] - by.chance.randint(1, 90_000),
        "event": "session.ended",
        "outcome": "ok" if row["outcome"] == "refused" else "refused",
        "reason": "nothing",
        "subject_id": "usr_other",
        "agent_id": "agt_other",
        "client_id": "cli_other",
        "target_id": "https://other.example",
        "request_id": "req_other",
        "actor": None,
        "chain": [{"iss": "https://other.example", "sub": "agt_other"}],
        "data": {**row["data"], "depth": by.chance.randint(1_000, 2_000)},
        "personal": by.chance.randbytes(8),
        "prev_hash": by.chance.randbytes(32).hex(),
        "hash": by.chance.randbytes(32).hex(),
    }
    assert edits.keys() | {"tenant_id", "writer", "seq"} == row.keys(), "a column has no edit"
    name = by.chance.choice(sorted(edits))
    by.change(row, **{name: edits[name]})


def edit_and_hash_again(by: Tampering) -> None:
    """The attacker knows how hashes are made, but changes one event only."""
    row = by.chance.choice(by.any_chain())
    forged = {**row, "subject_id": "usr_other"}
    by.change(row, subject_id="usr_other", hash=hash_of(forged))


def swap_two(by: Tampering) -> None:
    first, second = by.chance.sample(by.any_chain(), 2)
    by.change(first, seq=-1)
    by.change(second, seq=first["seq"])
    by.change({**first, "seq": -1}, seq=second["seq"])


def swap_contents(by: Tampering) -> None:
    first, second = by.chance.sample(by.any_chain(), 2)
    for row, other in ((first, second), (second, first)):
        by.change(row, **{name: value for name, value in other.items() if name != "seq"})


def renumber_one(by: Tampering) -> None:
    rows = by.any_chain()
    by.change(by.chance.choice(rows), seq=len(rows) + by.chance.randint(1, 50))


def cut_tail(by: Tampering) -> None:
    rows = by.any_chain()
    by.remove(*rows[-by.chance.randint(1, len(rows)) :])


def cut_tail_with_head(by: Tampering) -> None:
    """Beyond the checkpoint the head would hide it, so the cut reaches behind the checkpoint."""
    rows = by.any_chain()
    signed = signed_length(by, rows[0]["writer"])
    by.rewrite(rows[: by.chance.randint(0, signed - 1)], rows[0]["writer"])


def rewrite_signed_past(by: Tampering) -> None:
    """A whole chain is forged, numbers and hashes sound, with one signed event changed."""
    rows = by.any_chain()
    place = by.chance.randrange(signed_length(by, rows[0]["writer"]))
    rows[place]["client_id"] = "cli_other"
    by.rewrite(rows, rows[0]["writer"])


def insert_in_place(by: Tampering) -> None:
    rows = by.any_chain()
    place = by.chance.randrange(len(rows))
    for row in reversed(rows[place:]):
        by.change(row, seq=row["seq"] + 1)
    forged = {**rows[place], "subject_id": "usr_forged"}
    forged["hash"] = hash_of(forged)
    by.connection.execute(insert(EVENTS).values(**forged))


def insert_at_the_end(by: Tampering) -> None:
    last = by.any_chain()[-1]
    forged = {**last, "seq": last["seq"] + 1, "prev_hash": last["hash"], "subject_id": "usr_forged"}
    forged["hash"] = hash_of(forged)
    by.connection.execute(insert(EVENTS).values(**forged))


def insert_a_chain(by: Tampering) -> None:
    row = {**by.any_chain()[0], "writer": "wrt_forged", "prev_hash": first_head(ACME, "wrt_forged").hash}
    row["hash"] = hash_of(row)
    by.connection.execute(insert(EVENTS).values(**row))


def move_to_another_chain(by: Tampering) -> None:
    row = by.chance.choice(by.any_chain())
    by.change(row, writer="wrt_three")


def edit_head(by: Tampering) -> None:
    values: dict[str, Any] = by.chance.choice(
        [{"seq": by.chance.randint(0, 8)}, {"seq": 500}, {"hash": "0" * 64}]
    )
    by.connection.execute(update(HEADS).where(HEADS.c.writer == by.chance.choice(WRITERS)).values(**values))


def delete_head(by: Tampering) -> None:
    by.connection.execute(delete(HEADS).where(HEADS.c.writer == by.chance.choice(WRITERS)))


def delete_chain(by: Tampering) -> None:
    writer = by.chance.choice(WRITERS)
    by.connection.execute(delete(EVENTS).where(EVENTS.c.writer == writer))
    by.connection.execute(delete(HEADS).where(HEADS.c.writer == writer))


def delete_checkpoint(by: Tampering) -> None:
    by.connection.execute(delete(CHECKPOINTS).where(CHECKPOINTS.c.number == by.chance.randint(1, 2)))


def edit_checkpoint(by: Tampering) -> None:
    values: dict[str, Any] = by.chance.choice(
        [{"heads": {}}, {"at": NOW + 5}, {"previous": "0"}, {"signature": "0" * 64}, {"signature": "ü"}]
    )
    number = by.chance.randint(1, 2)
    by.connection.execute(update(CHECKPOINTS).where(CHECKPOINTS.c.number == number).values(**values))


def signed_length(by: Tampering, writer: str) -> int:
    newest = select(CHECKPOINTS.c.heads).order_by(CHECKPOINTS.c.number.desc()).limit(1)
    heads = by.connection.execute(newest).scalar_one()
    return int(heads[writer][0])


MUTATIONS: dict[str, Callable[[Tampering], None]] = {
    "delete": delete_one,
    "edit": edit_one,
    "edit-and-hash-again": edit_and_hash_again,
    "reorder": swap_two,
    "reorder-contents": swap_contents,
    "reorder-renumber": renumber_one,
    "truncate": cut_tail,
    "truncate-with-head": cut_tail_with_head,
    "truncate-chain": delete_chain,
    "rewrite": rewrite_signed_past,
    "insert": insert_in_place,
    "insert-at-the-end": insert_at_the_end,
    "insert-chain": insert_a_chain,
    "move": move_to_another_chain,
    "head": edit_head,
    "head-deleted": delete_head,
    "checkpoint": edit_checkpoint,
    "checkpoint-deleted": delete_checkpoint,
}


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of two writers with two checkpoints and a tail after the last."""
    path = tmp_path_factory.mktemp("audit") / "untouched.db"
    log = open_log(f"sqlite:///{path}")
    log.write(6)
    log.checkpoint()
    log.write(6, writer="wrt_two", start=20)
    log.checkpoint(writer="wrt_two", at=NOW + 60)
    log.write(3, start=40)
    log.write(2, writer="wrt_two", start=50)
    with log.database.engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("BEGIN")
    log.database.close()
    return path


@pytest.fixture
def log(untouched: Path, tmp_path: Path) -> Iterator[AuditLog]:
    path = tmp_path / "log.db"
    shutil.copy(untouched, path)
    opened = open_log(f"sqlite:///{path}")
    yield opened
    opened.database.close()


def tamper(log: AuditLog, mutation: Callable[[Tampering], object], seed: int) -> Report:
    """Apply one mutation, verify what the attacker left, and take it back."""
    with log.database.engine.connect() as connection:
        mutation(Tampering(connection, random.Random(seed)))
        report = verify(connection, ACME, signer=log.signer)
        connection.rollback()
    return report


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_kind_of_mutation_is_found_and_the_twin_verifies(log: AuditLog, name: str) -> None:
    assert log.verify().ok
    for seed in range(20):
        report = tamper(log, MUTATIONS[name], seed)
        assert not report.ok, f"seed {seed}"
        assert report.fault is not None
    assert log.verify().ok


def test_a_thousand_random_mutations_are_found(log: AuditLog) -> None:
    names = random.Random(11).choices(sorted(MUTATIONS), k=1_000)
    missed = [(name, seed) for seed, name in enumerate(names) if tamper(log, MUTATIONS[name], seed).ok]
    assert missed == []
    report = log.verify()
    assert (report.ok, report.events, report.checkpoints) == (True, 19, 2)


@pytest.mark.parametrize(
    ("mutation", "kind", "seq"),
    [
        pytest.param(lambda by: by.remove(by.rows("wrt_one")[2]), FaultKind.MISSING, 3, id="T11-delete"),
        pytest.param(
            lambda by: by.change(by.rows("wrt_one")[2], outcome="x"), FaultKind.EDITED, 3, id="T11-edit"
        ),
        pytest.param(
            lambda by: by.change(by.rows("wrt_one")[2], prev_hash="x"), FaultKind.BROKEN_LINK, 3,
            id="T11-link",
        ),
        pytest.param(
            lambda by: by.remove(*by.rows("wrt_one")[7:]), FaultKind.TRUNCATED, 8, id="T11-truncate-tail"
        ),
        pytest.param(
            lambda by: by.rewrite(by.rows("wrt_one")[:4], "wrt_one"), FaultKind.TRUNCATED, 5,
            id="T11-truncate-behind-the-checkpoint",
        ),
        pytest.param(
            lambda by: by.change(by.rows("wrt_one")[1], data="not json at all"), FaultKind.EDITED, 2,
            id="T11-other-type",
        ),
        pytest.param(
            lambda by: by.connection.exec_driver_sql(
                "UPDATE audit_events SET data = '{' WHERE writer = 'wrt_one' AND seq = 4"
            ),
            FaultKind.EDITED, 4, id="T11-unreadable",
        ),
        pytest.param(
            lambda by: by.connection.exec_driver_sql("UPDATE audit_checkpoints SET heads = '{'"),
            FaultKind.CHECKPOINT_FORGED, 1, id="T11-unreadable-checkpoint",
        ),
        pytest.param(
            lambda by: by.connection.exec_driver_sql(
                "UPDATE audit_events SET reason = x'00' WHERE writer = 'wrt_one' AND seq = 5"
            ),
            FaultKind.EDITED, 5, id="T11-bytes-for-text",
        ),
        pytest.param(
            lambda by: by.connection.exec_driver_sql("UPDATE audit_checkpoints SET at = x'00'"),
            FaultKind.CHECKPOINT_FORGED, 1, id="T11-other-type-in-checkpoint",
        ),
        pytest.param(
            lambda by: by.connection.execute(delete(CHECKPOINTS).where(CHECKPOINTS.c.number == 2)),
            FaultKind.CHECKPOINT_MISSING, 2, id="T11-last-checkpoint-deleted",
        ),
        pytest.param(
            lambda by: by.connection.execute(delete(CHECKPOINTS)), FaultKind.CHECKPOINT_MISSING, 2,
            id="T11-all-checkpoints-deleted",
        ),
        pytest.param(
            lambda by: by.connection.execute(update(HEADS).values(seq=1)), FaultKind.HEAD_EDITED, 1,
            id="T11-head-set-back",
        ),
    ],
)  # fmt: skip
def test_the_first_fault_is_named(
    log: AuditLog, mutation: Callable[[Tampering], object], kind: FaultKind, seq: int
) -> None:
    report = tamper(log, mutation, 0)
    assert report.fault is not None
    assert (report.fault.kind, report.fault.seq) == (kind, seq)
    assert log.verify().ok


def test_a_checkpoint_ends_the_time_in_which_a_tail_can_be_forged(log: AuditLog) -> None:
    """A limit that is stated, not hidden: what no key has signed yet, whoever hashes again can forge."""

    def forge_tenth(by: Tampering) -> None:
        rows = by.rows("wrt_one")
        rows[9]["client_id"] = "cli_other"
        by.rewrite(rows, "wrt_one")

    assert tamper(log, forge_tenth, 0).ok
    log.checkpoint(at=NOW + 120)
    report = tamper(log, forge_tenth, 0)
    assert report.fault is not None
    assert report.fault.kind is FaultKind.REWRITTEN
    assert log.verify().ok

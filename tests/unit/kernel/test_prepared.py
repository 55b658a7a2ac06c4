"""Prepared statements say what SQLAlchemy would: same rows, same types, same faults, same transaction."""

from collections.abc import Iterator

import pytest
from sqlalchemy import JSON, BigInteger, Column, MetaData, String, Table, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from broker.kernel.database import Database
from broker.kernel.prepared import Prepared

THINGS = Table(
    "things",
    MetaData(),
    Column("tenant_id", String(40), primary_key=True),
    Column("id", String(40), primary_key=True),
    Column("tags", JSON),
    Column("at", BigInteger),
)
INSERT = Prepared(insert(THINGS))
_CHOSEN = (
    select(THINGS).where(THINGS.c.tenant_id == bindparam("tenant"), THINGS.c.at > 5).order_by(THINGS.c.id)
)
SELECT = Prepared(_CHOSEN)
SELECT_HELD = Prepared(_CHOSEN.with_for_update())
MOVE = Prepared(update(THINGS).where(THINGS.c.id == bindparam("of_id")).values(at=bindparam("to_at")))
ROWS = [
    {"tenant_id": "ten_a", "id": "1", "tags": ["ü", {"deep": [1, None]}], "at": 6},
    {"tenant_id": "ten_a", "id": "2", "tags": None, "at": 2**40},
    {"tenant_id": "ten_a", "id": "3", "tags": [], "at": 5},
    {"tenant_id": "ten_b", "id": "1", "tags": [], "at": 9},
]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    THINGS.metadata.create_all(opened.engine)
    with opened.core_write() as connection:
        INSERT.run_many(connection, ROWS)
    yield opened
    opened.close()


def test_rows_are_those_of_sqlalchemy(database: Database) -> None:
    with database.core_read() as connection:
        plain = [tuple(row) for row in connection.execute(_CHOSEN, {"tenant": "ten_a"})]
        short = SELECT.rows(connection, {"tenant": "ten_a"})
    assert [tuple(row) for row in short] == plain == [tuple(row.values()) for row in ROWS[:2]]
    assert short[0].tags == ["ü", {"deep": [1, None]}]


def test_it_runs_in_the_transaction_that_is_open(database: Database) -> None:
    with database.core_write() as connection:
        MOVE.run_many(connection, [{"of_id": "3", "to_at": 7}, {"of_id": "2", "to_at": 1}])
        assert [row.id for row in SELECT_HELD.rows(connection, {"tenant": "ten_a"})] == ["1", "3"]
        connection.rollback()
    with database.core_read() as connection:
        assert [row.id for row in SELECT.rows(connection, {"tenant": "ten_a"})] == ["1", "2"]


def test_a_value_that_is_missing_is_a_fault_of_the_caller(database: Database) -> None:
    with database.core_read() as connection, pytest.raises((KeyError, ProgrammingError)):
        SELECT.rows(connection, {})


def test_faults_are_those_of_sqlalchemy(database: Database) -> None:
    with pytest.raises(IntegrityError), database.core_write() as connection:
        INSERT.run_many(connection, ROWS[:1])
    THINGS.metadata.drop_all(database.engine)
    with database.core_read() as connection, pytest.raises(SQLAlchemyError) as told:
        SELECT.rows(connection, {"tenant": "secret-value"})
    assert database.is_sqlite or isinstance(told.value, ProgrammingError)
    assert "secret-value" not in str(told.value)

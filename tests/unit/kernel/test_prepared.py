"""Prepared statements say what SQLAlchemy would: same rows, same types, same faults, same transaction."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    MetaData,
    Select,
    String,
    Table,
    bindparam,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from broker.kernel.database import Database
from broker.kernel.prepared import Key, Prepared, PreparedForMany

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


def _chosen(keys: Sequence[Key]) -> Select[Any]:
    mine = ((THINGS.c.tenant_id == key("tenant")) & (THINGS.c.id == key("id")) for key in keys)
    return select(THINGS).where(or_(*mine)).order_by(THINGS.c.tenant_id, THINGS.c.id)


SELECT_MANY = PreparedForMany(_chosen)
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


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_many_keys_find_their_own_rows_and_no_others(database: Database, count: int) -> None:
    wanted = [("ten_a", "1"), ("ten_b", "1"), ("ten_b", "2"), ("ten_a", "3"), ("ten_a", "2")][:count]
    with database.core_read() as connection:
        rows = SELECT_MANY.rows(connection, [{"tenant": tenant, "id": one} for tenant, one in wanted])
    found = [(row.tenant_id, row.id) for row in rows]
    assert found == sorted(set(wanted) - {("ten_b", "2")})


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

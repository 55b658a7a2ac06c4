"""Connections to PostgreSQL: one that is gone is replaced before it is used, and reads hold nothing open."""

from collections.abc import Iterator

import pytest

from broker.kernel import database as database_module
from broker.kernel.database import Database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    if opened.is_sqlite:
        pytest.skip("SQLite has no server that could go away")
    yield opened
    opened.close()


def test_an_idle_connection_that_is_gone_is_replaced(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_TRUSTED_SECONDS", 0)
    with database.core_read() as connection:
        first = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with database.core_read() as other:
            other.exec_driver_sql(f"SELECT pg_terminate_backend({first}, 5000)")
    for _ in range(2):
        with database.core_read() as one, database.core_read() as another:
            pids = {each.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() for each in (one, another)}
    assert len(pids) == 2
    assert first not in pids


def test_a_read_begins_no_transaction_and_a_write_does(database: Database) -> None:
    for _ in range(2):
        with database.core_read() as connection:
            assert connection.connection.driver_connection.autocommit
        with database.core_write() as connection:
            assert not connection.connection.driver_connection.autocommit

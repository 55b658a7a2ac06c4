"""Connections to PostgreSQL: one that is gone is replaced before it is used."""

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
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_TRUSTED_SECONDS", 0)
    with database.core_read() as connection:
        first = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    stranger = Database(database_url)
    with stranger.core_read() as connection:
        connection.exec_driver_sql(f"SELECT pg_terminate_backend({first}, 5000)")
    stranger.close()
    for _ in range(2):
        with database.core_read() as one, database.core_read() as another:
            pids = {each.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() for each in (one, another)}
    assert len(pids) == 2
    assert first not in pids


def test_a_read_may_stream(database: Database) -> None:
    with database.core_read() as connection:
        rows = connection.execution_options(yield_per=2).exec_driver_sql("SELECT generate_series(1, 5)")
        assert len(rows.all()) == 5

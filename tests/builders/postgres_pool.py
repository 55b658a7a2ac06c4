"""One PostgreSQL database a test process, with every table, emptied after each test that had it.

Making a database and its tables takes a hundred times as long as deleting what a test wrote.
"""

import importlib
import secrets
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.engine import URL

from broker.kernel.database import Base

_TERMINATE = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


class PostgresPool:
    """Lends its database to one test at a time."""

    def __init__(self, server: URL) -> None:
        self._server = server
        self._engine: Engine | None = None

    def lend(self) -> str:
        """Return the address of a database that has every table of the models and no row."""
        if self._engine is None:
            self._engine = create_engine(make_database(self._server))
            load_models()
            Base.metadata.create_all(self._engine)
        return self._engine.url.render_as_string(hide_password=False)

    def take_back(self) -> None:
        """Empty the database; one in which a test changed tables of the models is thrown away."""
        if self._engine is None:
            return
        tables = Base.metadata.sorted_tables
        with self._engine.begin() as connection:
            connection.execute(_TERMINATE)
            found, known = _table_names(connection), {table.name for table in tables}
            for stranger in found - known:
                connection.execute(text(f'DROP TABLE "{stranger}" CASCADE'))
            if known <= found:
                emptied = ";".join(f'DELETE FROM "{table.name}"' for table in reversed(tables))
                connection.exec_driver_sql(emptied)
                return
        self.close()

    def close(self) -> None:
        """Drop the database."""
        if self._engine is not None:
            url, _ = self._engine.url, self._engine.dispose()
            self._engine = None
            drop_database(self._server, url)


def make_database(server: URL) -> URL:
    """Make a new, empty database and return its address."""
    url = server.set(database=f"broker_test_{secrets.token_hex(6)}")
    _run(server, f'CREATE DATABASE "{url.database}"')
    return url


def drop_database(server: URL, url: URL) -> None:
    """Drop a database, whoever is still connected to it."""
    _run(server, f'DROP DATABASE IF EXISTS "{url.database}" WITH (FORCE)')


def _run(server: URL, statement: str) -> None:
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as connection:
            connection.execute(text(statement))
    finally:
        admin.dispose()


def load_models() -> None:
    """Import every room's tables."""
    for path in sorted((Path(__file__).parents[2] / "broker").glob("*/models.py")):
        importlib.import_module(f"broker.{path.parent.name}.models")


def _table_names(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())

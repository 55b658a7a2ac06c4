"""What every test may use: a database on each supported server, and a machine without surprises."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from sqlalchemy.engine import URL, make_url

from tests.builders.postgres_pool import PostgresPool, drop_database, make_database
from tests.builders.requirements import require

POSTGRES_VARIABLE = "BROKER_TEST_POSTGRES_URL"
DIALECTS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
MEMORY_FOLDER = "/dev/shm"
MEMORY_BYTES = 2 * 2**30

# Two shared cores make single examples slow at times; how long one takes is no property of ours.
hypothesis_settings.register_profile("broker", deadline=None, print_blob=True)
hypothesis_settings.load_profile("broker")


def pytest_configure() -> None:
    """Take away ``BROKER_*`` settings of the developer's shell; ``BROKER_TEST_*`` is meant for the tests.

    Temporary folders go to memory where there is enough: thousands of SQLite databases each wait dozens
    of times until a disk has written, which proves nothing, since no test takes the power away.
    """
    for name in list(os.environ):
        if name.startswith("BROKER_") and not name.startswith("BROKER_TEST_"):
            del os.environ[name]
    if _free_bytes(MEMORY_FOLDER) > MEMORY_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY_FOLDER)


def _free_bytes(folder: str) -> int:
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize if os.access(folder, os.W_OK) else 0


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Spell out half characters that a test sent and logged; xdist cannot carry them to its main process."""
    return _spelled_out((yield))


def _spelled_out(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {key: _spelled_out(item) for key, item in value.items()}
        case list() | tuple():
            return type(value)(_spelled_out(item) for item in value)
    return value


@pytest.fixture(scope="session")
def postgres_server() -> URL:
    """The PostgreSQL server under test; its role may create databases. Skips where there is none."""
    address = os.environ.get(POSTGRES_VARIABLE, "")
    require("postgresql", bool(address), f"{POSTGRES_VARIABLE} is not set")
    return make_url(address)


@pytest.fixture
def postgres_url(postgres_server: URL) -> Iterator[str]:
    """The address of a new, empty PostgreSQL database that is dropped after the test."""
    url = make_database(postgres_server)
    yield url.render_as_string(hide_password=False)
    drop_database(postgres_server, url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The address of a new SQLite database file."""
    return f"sqlite:///{tmp_path / 'broker.db'}"


@pytest.fixture(scope="session")
def postgres_pool(postgres_server: URL) -> Iterator[PostgresPool]:
    """The database that this process's tests share, one after the other."""
    pool = PostgresPool(postgres_server)
    yield pool
    pool.close()


@pytest.fixture
def pooled_postgres_url(postgres_pool: PostgresPool) -> Iterator[str]:
    """The address of a PostgreSQL database with every table and no row."""
    yield postgres_pool.lend()
    postgres_pool.take_back()


@pytest.fixture(params=DIALECTS)
def database_url(request: pytest.FixtureRequest) -> str:
    """The address of a database without rows: a new SQLite file, PostgreSQL where a server is under test.

    Whoever needs its tables makes them; on PostgreSQL they may be there already.
    """
    name = "sqlite_url" if request.param == "sqlite" else "pooled_postgres_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture(params=DIALECTS)
def empty_database_url(request: pytest.FixtureRequest) -> str:
    """The address of a new database without tables, for tests that bring the schema up themselves."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(name)
    return url

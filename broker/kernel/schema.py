"""The database schema: brought up to date at start, and compared with the models by the tests.

Alembic is imported only when there is something to do, because a start should not wait for it. The
caller has imported every models module that ``check`` and ``make_revision`` should see.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, inspect, text

from broker.kernel.database import Base, Database

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0024"
"""The newest revision in ``migrations/versions``; a test compares the two."""

_FOLDER = Path(__file__).parent / "migrations"
_UPGRADE_LOCK = 0x6272_6F6B_6572  # "broker": any number that nobody else takes on this database


class SchemaTooNew(RuntimeError):  # noqa: N818 (names what was found)
    """The database was made by a newer broker; an older one must not write to it."""


def current_revision(database: Database) -> str | None:
    """Return the revision that the database is at, or None for an empty one."""
    with database.core_read() as connection:
        return _revision(connection)


def upgrade(database: Database) -> bool:
    """Bring the schema to ``HEAD`` in one transaction; returns whether anything was to do.

    Several processes may start at once: one migrates, the others wait for it and find nothing to do.
    Raises ``SchemaTooNew`` if the database is at a revision that this code does not know.
    """
    if current_revision(database) == HEAD:
        return False
    with database.core_write() as connection:
        # On SQLite the write lock is held already. Without this: two first starts on PostgreSQL would
        # both create every table, and one would fail.
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
        revision = _revision(connection)
        if revision == HEAD:
            return False
        _run(connection, "upgrade", revision)
    return True


def check(database: Database) -> list[Any]:
    """Return the differences between the models and the database; empty when the migrations are right."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    with database.core_read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))


def downgrade(database: Database) -> None:
    """Take every migration back, which deletes all data; for tests and for development."""
    with database.core_write() as connection:
        _run(connection, "downgrade", None)


def make_revision(database: Database, message: str, revision_id: str) -> None:
    """Write a migration from what the models have and the database has not; for developers."""
    from alembic import command

    with database.core_write() as connection:
        command.revision(_config(connection), message, autogenerate=True, rev_id=revision_id)


def _run(connection: Connection, direction: str, revision: str | None) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory

    config = _config(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise SchemaTooNew(f"the database is at revision {revision}, which this broker does not know")
    run: Callable[[Config, str], None] = command.upgrade if direction == "upgrade" else command.downgrade
    run(config, HEAD if direction == "upgrade" else "base")


def _config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)

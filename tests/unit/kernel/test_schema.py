"""Migrations: they make exactly what the models say, once, on both kinds of database."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from broker.kernel import schema
from broker.kernel.database import Base, Database
from tests.builders.minting import import_models

START = """
import sys
from broker.kernel import schema
from broker.kernel.database import Database
database = Database(sys.argv[1])
print(schema.upgrade(database), "alembic" in sys.modules)
"""


@pytest.fixture
def database(empty_database_url: str) -> Iterator[Database]:
    import_models()
    database = Database(empty_database_url)
    yield database
    database.close()


def test_the_migrations_make_what_the_models_say(database: Database):
    assert schema.current_revision(database) is None
    assert schema.upgrade(database)
    assert schema.check(database) == []
    assert schema.current_revision(database) == schema.HEAD
    assert not schema.upgrade(database)


def test_a_difference_would_be_seen(database: Database):
    schema.upgrade(database)
    with database.core_write() as connection:
        connection.execute(text("DROP INDEX ix_issued_tokens_path"))
        connection.execute(text("DROP TABLE one_time_links"))
    found = str(schema.check(database))
    assert "ix_issued_tokens_path" in found
    assert "one_time_links" in found


def test_the_head_is_the_newest_migration():
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


def test_migrations_can_be_taken_back(database: Database):
    schema.upgrade(database)
    schema.downgrade(database)
    with database.core_read() as connection:
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}
    assert schema.upgrade(database)
    assert schema.check(database) == []


def test_constraints_have_the_same_names_in_both_dialects(database: Database):
    """So that a later migration can speak of them."""
    schema.upgrade(database)
    with database.core_read() as connection:
        told = inspect(connection)
        for table in Base.metadata.tables.values():
            assert told.get_pk_constraint(table.name)["name"] == f"pk_{table.name}"
            for unique in told.get_unique_constraints(table.name):
                assert str(unique["name"]).startswith(f"uq_{table.name}_")
                assert len(str(unique["name"])) <= 63


def test_a_database_of_a_newer_broker_is_left_alone(database: Database):
    schema.upgrade(database)
    with database.core_write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(schema.SchemaTooNew):
        schema.upgrade(database)
    assert schema.current_revision(database) == "9999"


def test_a_migration_that_fails_leaves_nothing(database: Database):
    with database.core_write() as connection:
        connection.execute(text("CREATE TABLE issued_tokens (x INTEGER)"))
    with pytest.raises(Exception, match="issued_tokens"):
        schema.upgrade(database)
    with database.core_read() as connection:
        assert inspect(connection).get_table_names() == ["issued_tokens"]


def test_processes_that_start_together_migrate_once_and_a_later_start_needs_no_alembic(
    database: Database, empty_database_url: str
):
    command = [sys.executable, "-c", START, empty_database_url]
    starts = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(schema.__file__).parents[2])
        for _ in range(3)
    ]
    answers = [start.communicate(timeout=60)[0].split() for start in starts]
    assert [start.returncode for start in starts] == [0, 0, 0]
    assert sorted(answer[0] for answer in answers) == ["False", "False", "True"]
    assert schema.check(database) == []
    again = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert again.stdout.split() == ["False", "False"]


def test_a_migration_can_be_written_from_the_models(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import shutil

    copy = tmp_path / "migrations"
    shutil.copytree(Path(schema.__file__).parent / "migrations", copy)
    monkeypatch.setattr(schema, "_FOLDER", copy)
    schema.upgrade(database)
    with database.core_write() as connection:
        connection.execute(text("DROP TABLE one_time_links"))
    schema.make_revision(database, "bring it back", "9998")
    (written,) = (copy / "versions").glob("9998_*.py")
    assert 'create_table("one_time_links"' in written.read_text().replace("'", '"')

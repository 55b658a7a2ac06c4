"""Tenant isolation per table, generated: what a session of one tenant does never touches another's rows.

Every table that belongs to a tenant is tried; a new table is here without anybody adding it.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import JSON, BigInteger, Boolean, Integer, LargeBinary, String, delete, func, select, update
from sqlalchemy.orm import Session, aliased

from broker.kernel.database import Base, Database, TenantScoped
from tests.builders.minting import import_models

import_models()
MODELS = sorted(
    (mapper.class_ for mapper in Base.registry.mappers if issubclass(mapper.class_, TenantScoped)),
    key=lambda model: model.__tablename__,
)
MINE, THEIRS = "ten_mine", "ten_theirs"


def test_every_table_with_a_tenant_is_scoped():
    scoped = {model.__tablename__ for model in MODELS}
    with_tenant = {name for name, table in Base.metadata.tables.items() if "tenant_id" in table.columns}
    assert scoped == with_tenant
    assert len(scoped) > 15


def filled(model: Any, tenant_id: str, number: int) -> dict[str, Any]:
    """Values for every column that needs one; keys differ by ``number``."""
    values: dict[str, Any] = {}
    for column in model.__table__.columns:
        if column.name == "tenant_id":
            values[column.name] = tenant_id
        elif isinstance(column.type, BigInteger | Integer):
            values[column.name] = number
        elif isinstance(column.type, Boolean):
            values[column.name] = number > 0
        elif isinstance(column.type, JSON):
            values[column.name] = {}
        elif isinstance(column.type, LargeBinary):
            values[column.name] = b"x"
        else:
            values[column.name] = f"{tenant_id[-4:]}{number}"
    return values


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    Base.metadata.create_all(database.engine)
    with database.core_write() as connection:
        for model in MODELS:
            for tenant_id in (MINE, THEIRS):
                # A table of one row per tenant takes only the first.
                count = 1 if [c.name for c in model.__table__.primary_key.columns] == ["tenant_id"] else 2
                rows = [filled(model, tenant_id, number) for number in range(count)]
                connection.execute(model.__table__.insert(), rows)
    yield database
    database.close()


def everything(database: Database, tenant_id: str) -> dict[str, list[Any]]:
    """All rows of a tenant, read without the session's help."""
    with database.core_read() as connection:
        found = {}
        for model in MODELS:
            table = model.__table__
            statement = (
                select(table).where(table.c.tenant_id == tenant_id).order_by(*table.primary_key.columns)
            )
            found[model.__tablename__] = connection.execute(statement).all()
        return found


def key_of(session: Session, model: Any, tenant_id: str) -> tuple[Any, ...]:
    table = model.__table__
    columns = table.primary_key.columns
    row = session.connection().execute(select(*columns).where(table.c.tenant_id == tenant_id)).first()
    assert row is not None
    return tuple(row)


def change_of(model: Any) -> dict[str, Any]:
    """A new value for one column that is in no key and no unique rule; empty if there is none."""
    table = model.__table__
    unique = {column.name for rule in table.constraints for column in getattr(rule, "columns", ())}
    for column in table.columns:
        if column.name not in unique and isinstance(column.type, BigInteger | Integer | String):
            return {column.key: "new" if isinstance(column.type, String) else 77}
    return {}


def test_reading_shows_own_rows_only(database: Database):
    with database.read(MINE) as session:
        for model in MODELS:
            rows = session.scalars(select(model)).all()
            assert {row.tenant_id for row in rows} == {MINE}, model
            other = aliased(model)
            assert {row.tenant_id for row in session.scalars(select(other))} == {MINE}, model
            assert session.scalars(select(model).where(model.tenant_id == THEIRS)).all() == []
            count = session.scalar(select(func.count()).select_from(model))
            assert count == len(rows), model


def test_a_row_of_another_tenant_cannot_be_got_by_its_key(database: Database):
    with database.read(MINE) as session:
        for model in MODELS:
            assert session.get(model, key_of(session, model, THEIRS)) is None, model
            assert session.get(model, key_of(session, model, MINE)) is not None, model


def test_changing_and_deleting_touch_own_rows_only(database: Database):
    before = everything(database, THEIRS)
    with database.write(MINE) as session:
        for model in MODELS:
            if change := change_of(model):
                session.execute(update(model).values(change))
            session.execute(delete(model))
    assert everything(database, THEIRS) == before
    assert all(rows == [] for rows in everything(database, MINE).values())


def test_a_row_of_another_tenant_cannot_be_written(database: Database):
    for model in MODELS:
        before = everything(database, THEIRS)[model.__tablename__]

        def write(tenant_id: str | None, chosen: Any = model) -> None:
            values = filled(chosen, tenant_id or "none", 9)
            if tenant_id is None:
                del values["tenant_id"]
            with database.write(MINE) as session:
                session.execute(delete(chosen))
                session.add(chosen(**values))

        with pytest.raises(RuntimeError, match="another tenant"):
            write(THEIRS)
        assert everything(database, THEIRS)[model.__tablename__] == before
        write(None)
        assert len(everything(database, MINE)[model.__tablename__]) == 1


def test_an_own_row_cannot_be_given_to_another_tenant(database: Database):
    def give_away(chosen: Any) -> None:
        with database.write(MINE) as session:
            row = session.scalars(select(chosen)).first()
            assert row is not None
            row.tenant_id = THEIRS

    before = everything(database, THEIRS)
    for model in MODELS:
        with pytest.raises(RuntimeError, match="another tenant"):
            give_away(model)
    assert everything(database, THEIRS) == before


def test_a_session_without_a_tenant_does_not_run(database: Database):
    def read(session: Session) -> None:
        session.scalars(select(MODELS[0])).all()

    with Session(database.engine) as session, pytest.raises(RuntimeError, match="no tenant"):
        read(session)
    with pytest.raises(ValueError, match="needs a tenant"), database.read(""):
        pass
    with database.unscoped() as session:
        assert {row.tenant_id for row in session.scalars(select(MODELS[0]))} == {MINE, THEIRS}

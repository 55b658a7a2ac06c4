"""Statements of the hot path: written in SQLAlchemy Core, compiled once, run on the driver's own cursor.

What SQLAlchemy does around each execution costs ten times the look-up itself. The statement, the types of
its values and the transaction stay SQLAlchemy's; only the way through is short.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import BindParameter, CompoundSelect, Connection, Insert, Select, Update, bindparam
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from broker.kernel.upsert import insert_of

Convert = Callable[[Any], Any]
Reading = Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]
Statement = Reading | Insert | Update
Written = Callable[[Callable[[Any], Any]], Insert]
"""Writes an INSERT with the ``insert`` of a dialect, for what each dialect says in its own way."""
Key = Callable[[str], BindParameter[Any]]
"""Gives the place of one of a key's values, by name, in a statement about many keys."""


class Prepared:
    """A statement whose values all come by name; a module makes it once and keeps it."""

    __slots__ = ("_plans", "_statement")

    def __init__(self, statement: Statement | Written) -> None:
        self._statement = statement
        self._plans: dict[type[Dialect], _Plan] = {}

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        """Return all rows as named tuples; raises what SQLAlchemy would (``DBAPIError`` and its kinds).

        Runs in the transaction that is open on the connection. With none it sees one state of the
        database for itself, and the connection must go back to its pool before it writes.
        """
        plan = self._plan(connection.dialect)

        def fetch(cursor: Any) -> Any:
            cursor.execute(plan.sql, plan.bind(values))
            return cursor.fetchall()

        return [plan.read(row) for row in _with_cursor(connection, plan.sql, fetch)]

    def run(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Run an INSERT or UPDATE in the write transaction that is open; returns how many rows it hit.

        Raises what SQLAlchemy would (``DBAPIError`` and its kinds).
        """
        plan = self._plan(connection.dialect)
        if _is_watched(connection):
            return connection.exec_driver_sql(plan.sql, plan.bind(values)).rowcount

        def write(cursor: Any) -> Any:
            cursor.execute(plan.sql, plan.bind(values))
            return cursor.rowcount

        hit: int = _with_cursor(connection, plan.sql, write)
        return hit

    def run_many(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run the statement once for each of ``rows``, at least one, in one call of the driver."""
        plan = self._plan(connection.dialect)
        bound = [plan.bind(row) for row in rows]
        if _is_watched(connection):
            connection.exec_driver_sql(plan.sql, bound)
            return
        _with_cursor(connection, plan.sql, lambda cursor: cursor.executemany(plan.sql, bound))

    def _plan(self, dialect: Dialect) -> "_Plan":
        # By driver, not by dialect object: every engine has its own, and tests open many.
        driver = dialect.__class__
        plan = self._plans.get(driver)
        if plan is None:
            told = self._statement
            if not isinstance(told, Select | CompoundSelect | Insert | Update):
                told = told(insert_of(dialect.name))
            plan = self._plans[driver] = _compile(told, dialect)
        return plan


MOST_KEYS = 8
"""Keys of one statement: longer ones psycopg would read anew each time, and PostgreSQL plan for long."""


class PreparedForMany:
    """A statement about many keys at once; compiled for a few sizes, whose last key fills what is left."""

    __slots__ = ("_make", "_sizes")

    def __init__(self, make: Callable[[Sequence[Key]], Reading]) -> None:
        self._make = make
        self._sizes: dict[int, Prepared] = {}

    def rows(self, connection: Connection, keys: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Return what ``Prepared.rows`` would for all of the keys; a row may come twice."""
        parts = (keys[first : first + MOST_KEYS] for first in range(0, len(keys), MOST_KEYS))
        return [row for part in parts for row in self._some(connection, part)]

    def _some(self, connection: Connection, keys: Sequence[Mapping[str, Any]]) -> list[Any]:
        size = 1 << (len(keys) - 1).bit_length()
        prepared = self._sizes.get(size)
        if prepared is None:
            places = [partial(_place, number) for number in range(size)]
            prepared = self._sizes[size] = Prepared(self._make(places))
        filled = [*keys, *[keys[-1]] * (size - len(keys))]
        values = {f"{name}_{number}": key[name] for number, key in enumerate(filled) for name in key}
        return prepared.rows(connection, values)


def _place(number: int, name: str) -> BindParameter[Any]:
    return bindparam(f"{name}_{number}")


@dataclass(frozen=True, slots=True)
class _Plan:
    """A compiled statement: where each value goes, and how values and columns are converted."""

    sql: str
    constants: Mapping[str, Any]
    order: tuple[str, ...] | None  # None: the driver takes values by name
    to_driver: tuple[tuple[str, Convert], ...]
    from_driver: tuple[tuple[int, Convert], ...]
    row: Callable[[Iterable[Any]], Any]

    def bind(self, values: Mapping[str, Any]) -> Any:
        """Return the values as the driver takes them."""
        bound = {**self.constants, **values}
        for name, convert in self.to_driver:
            bound[name] = convert(bound[name])
        return bound if self.order is None else tuple([bound[name] for name in self.order])

    def read(self, row: Any) -> Any:
        """Return a row of the driver with its columns converted."""
        if not self.from_driver:
            return self.row(row)
        columns = list(row)
        for place, convert in self.from_driver:
            columns[place] = convert(columns[place])
        return self.row(columns)


def _is_watched(connection: Connection) -> bool:
    """Whether somebody listens to what is written, who would not hear of the short way."""
    told = connection.dispatch
    return bool(told.before_cursor_execute or told.after_cursor_execute)


def _with_cursor(connection: Connection, sql: str, use: Callable[[Any], Any]) -> Any:
    try:
        cursor = connection.connection.cursor()
        try:
            return use(cursor)
        finally:
            cursor.close()
    except connection.dialect.loaded_dbapi.Error as fault:
        raise _wrapped(connection, sql, fault) from fault


def _compile(statement: Statement, dialect: Dialect) -> _Plan:
    compiled = statement.compile(dialect=dialect)
    binds = compiled.binds
    columns = list(statement.selected_columns) if isinstance(statement, Select | CompoundSelect) else []
    made = ((name, _to_driver(bind.type, dialect)) for name, bind in binds.items())
    read = ((place, _from_driver(column.type, dialect)) for place, column in enumerate(columns))
    order = compiled.positiontup
    row: Any = namedtuple("Row", [column.name for column in columns], rename=True)  # type: ignore[misc]
    return _Plan(
        sql=str(compiled),
        constants={name: bind.effective_value for name, bind in binds.items() if not bind.required},
        order=tuple(order) if order is not None else None,
        to_driver=tuple((name, convert) for name, convert in made if convert is not None),
        from_driver=tuple((place, convert) for place, convert in read if convert is not None),
        row=row._make,
    )


def _to_driver(kind: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _from_driver(kind: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    return kind.dialect_impl(dialect).result_processor(dialect, None)


def _wrapped(connection: Connection, sql: str, fault: Exception) -> BaseException:
    """Return the driver's fault as SQLAlchemy's, having given up a connection that is gone."""
    dialect = connection.dialect
    is_gone = dialect.is_disconnect(fault, connection.connection, None)  # type: ignore[arg-type]
    if is_gone:
        connection.invalidate(fault)
    return DBAPIError.instance(
        sql,
        None,
        fault,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=is_gone,
        dialect=dialect,
    )

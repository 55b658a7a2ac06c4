"""The INSERT of a dialect that can say what happens when the row is there already."""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Connection

if TYPE_CHECKING:
    from sqlalchemy.dialects import sqlite


def dialect_insert(connection: Connection) -> "Callable[[Any], sqlite.Insert]":
    """Return the ``insert`` of the connection's dialect; each has ``on_conflict_do_update``.

    A dialect's module is imported when a connection needs it: PostgreSQL's brings all of its drivers.
    """
    return insert_of(connection.dialect.name)


def insert_of(dialect: str) -> "Callable[[Any], sqlite.Insert]":
    """Return the ``insert`` of the dialect of that name ("sqlite" or "postgresql")."""
    module = importlib.import_module(f"sqlalchemy.dialects.{dialect}")
    return cast("Callable[[Any], sqlite.Insert]", module.insert)

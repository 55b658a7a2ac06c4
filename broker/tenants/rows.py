"""Bringing one row to a declared state: made when absent, changed where it differs, else left alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from broker.kernel.database import Base
from broker.kernel.versions import bump

Row = TypeVar("Row", bound=Base)


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to one thing; ``fields`` names the changed columns and never holds values."""

    action: Literal["create", "change"]
    noun: str
    name: str
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        sign = "+" if self.action == "create" else "~"
        return f"{sign} {self.noun} {self.name}" + (f" ({', '.join(self.fields)})" if self.fields else "")


def find_row(session: Session, model: type[Row], key: Mapping[str, Any]) -> Row | None:
    """Return the one row with these column values, or None."""
    conditions = [getattr(model, name) == value for name, value in key.items()]
    return session.scalars(select(model).where(*conditions)).one_or_none()


def put(
    session: Session,
    row: Row | None,
    model: type[Row],
    *,
    key: Mapping[str, Any],
    wanted: Mapping[str, Any],
    first: Mapping[str, Any],
    noun: str,
    name: str,
) -> tuple[Row, Change | None]:
    """Return the row and what was done: ``first`` is added to ``wanted`` when the row is made.

    ``key`` holds ``tenant_id``, or ``first`` the id of a new tenant; its version is counted up with every
    change, so that no process keeps an old copy.
    """
    change: Change | None = None
    if row is None:
        row = model(**{**first, **key, **wanted})
        session.add(row)
        change = Change("create", noun, name)
    else:
        differing = [field for field, value in wanted.items() if getattr(row, field) != value]
        for field in differing:
            setattr(row, field, wanted[field])
        if differing:
            change = Change("change", noun, name, tuple(sorted(differing)))
    if change is not None:
        session.flush()
        bump(session.connection(), key.get("tenant_id") or row.id)  # type: ignore[attr-defined]
    return row, change

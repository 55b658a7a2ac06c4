"""What one connection has pushed so far, in numbers, for administrators."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from broker.directory.models import ProvisionedPerson
from broker.scim.models import ScimGroup, ScimLink, ScimUser


@dataclass(frozen=True, slots=True)
class ScimState:
    """Counts and times (epoch seconds) of one connection's provisioning.

    ``is_linked`` is False before the first token and after the last has ended; ``waiting`` people are known
    to no user yet.
    """

    is_linked: bool
    matching: str
    last_request_at: int | None
    people: int
    inactive: int
    waiting: int
    groups: int


def read_state(session: Session, tenant_id: str, connection_id: str) -> ScimState:
    """Return the state of a connection's provisioning; one that never pushed has zeros."""
    link = session.scalar(
        select(ScimLink).where(ScimLink.tenant_id == tenant_id, ScimLink.connection_id == connection_id)
    )
    people = ScimUser.tenant_id == tenant_id, ScimUser.connection_id == connection_id
    groups = ScimGroup.tenant_id == tenant_id, ScimGroup.connection_id == connection_id
    waiting = (
        ProvisionedPerson.tenant_id == tenant_id,
        ProvisionedPerson.connection_id == connection_id,
        ProvisionedPerson.user_id.is_(None),
        ProvisionedPerson.state != "deleted",
    )
    return ScimState(
        is_linked=link is not None,
        matching=link.matching if link is not None else "external_id",
        last_request_at=link.last_request_at if link is not None else None,
        people=_count(session, ScimUser, *people),
        inactive=_count(session, ScimUser, *people, ScimUser.active.is_(False)),
        waiting=_count(session, ProvisionedPerson, *waiting),
        groups=_count(session, ScimGroup, *groups),
    )


def _count(session: Session, model: type[object], *conditions: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(model).where(*conditions)) or 0

"""What administrators see of people: the list with its filters and the roles that each person holds now."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select, tuple_
from sqlalchemy.orm import Session

from broker.admin.changes import Desk
from broker.admin.paging import Page
from broker.directory.models import IdentityLink, User
from broker.directory.people import find_person
from broker.directory.roles import live_roles

PAGE_SIZE = 25
"""Roles are computed for every person of a page, so a page is short."""

STATES = ("active", "disabled")


@dataclass(frozen=True, slots=True)
class PeopleFilter:
    """Part of a name or e-mail address, and a state; empty does not filter."""

    q: str = ""
    state: str = ""


def list_people(desk: Desk, wanted: PeopleFilter, after: str) -> Page[dict[str, Any]]:
    """Return a page of the tenant's people by name, as rows of ``admin/people.html``."""
    with desk.rt.database.read(desk.tenant.id) as session:
        conditions = _conditions(desk.tenant.id, wanted)
        total = session.scalar(select(func.count()).select_from(User).where(*conditions)) or 0
        users = session.scalars(_behind(session, desk, select(User).where(*conditions), after)).all()
        shown = users[:PAGE_SIZE]
        names = _connection_names(session, desk, [one.id for one in shown])
        rows = tuple(_row(session, desk, one, names.get(one.id, "")) for one in shown)
    return Page(rows, total, shown[-1].id if len(users) > PAGE_SIZE else "")


def _behind(session: Session, desk: Desk, query: Select[User], after: str) -> Select[User]:
    last = find_person(session, desk.tenant.id, after) if after else None
    if last is not None:
        query = query.where(tuple_(User.display_name, User.id) > (last.display_name, last.id))
    return query.order_by(User.display_name, User.id).limit(PAGE_SIZE + 1)


def _conditions(tenant_id: str, wanted: PeopleFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [User.tenant_id == tenant_id]
    if wanted.state:
        found.append(User.state == wanted.state)
    if text := wanted.q.strip():
        found.append(
            or_(
                User.display_name.icontains(text, autoescape=True),
                User.email.icontains(text, autoescape=True),
            )
        )
    return found


def _connection_names(session: Session, desk: Desk, user_ids: list[str]) -> dict[str, str]:
    links = session.scalars(
        select(IdentityLink)
        .where(IdentityLink.tenant_id == desk.tenant.id, IdentityLink.user_id.in_(user_ids))
        .order_by(IdentityLink.created_at)
    )
    names = {}
    for link in links:
        connection = desk.tenant.connections.get(link.connection_id)
        names[link.user_id] = connection.name if connection else ""
    return names


def _row(session: Session, desk: Desk, user: User, connection_name: str) -> dict[str, Any]:
    live = live_roles(session.connection(), desk.rt, desk.tenant.id, user.id, desk.now)
    return {
        "user_id": user.id,
        "name": user.display_name,
        "email": user.email or "",
        "connection_name": connection_name,
        "state": user.state,
        "roles": sorted(live.roles),
        "groups_state": live.groups_state,
        "last_sign_in_at": user.last_sign_in_at,
    }

"""Reading people for administration pages; switching a person off is the cascade's work, not ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection, Table, bindparam, select, tuple_
from sqlalchemy.orm import Session

from broker.directory.models import GroupSnapshot, IdentityLink, User
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.prepared import Prepared

MAX_PAGE = 200
_LINKS = cast(Table, IdentityLink.__table__)
_FIND_USERS = Prepared(
    select(_LINKS.c.user_id)
    .distinct()
    .where(
        _LINKS.c.tenant_id == bindparam("tenant"),
        _LINKS.c.connection_id == bindparam("of_connection"),
        _LINKS.c.subject == bindparam("of_subject"),
    )
)


@dataclass(frozen=True, slots=True)
class PersonView:
    """One person as a list shows them; times are epoch seconds."""

    id: str
    display_name: str
    email: str | None
    email_verified_by: str
    state: str
    created_at: int
    last_sign_in_at: int | None


@dataclass(frozen=True, slots=True)
class PeoplePage:
    """People in order of name; ``next_after`` is what to ask with for more, None at the end."""

    people: tuple[PersonView, ...]
    next_after: str | None


@dataclass(frozen=True, slots=True)
class GroupsTold:
    """What one connection last told of a person's groups, how complete that was, and what went wrong.

    Times are epoch seconds; ``refresh_at`` is when the source is asked again, None if only a sign-in tells.
    """

    connection_id: str
    groups: Sequence[Mapping[str, str]]
    state: str
    source: str
    fetched_at: int
    complete_at: int | None
    problem: str
    refresh_at: int | None


@dataclass(frozen=True, slots=True)
class IdentityView:
    """One upstream identity that is bound to a person."""

    connection_id: str
    issuer: str
    subject_kind: str
    subject: str
    created_at: int


@dataclass(frozen=True, slots=True)
class PersonDetail:
    """A person with their upstream identities and the facts about their groups."""

    person: PersonView
    identities: tuple[IdentityView, ...]
    groups: tuple[GroupsTold, ...]


def list_people(session: Session, tenant_id: str, *, after: str = "", limit: int = 50) -> PeoplePage:
    """Return up to ``limit`` people by (name, id) behind the person ``after`` (unknown: from the start)."""
    limit = max(1, min(limit, MAX_PAGE))
    query = select(User).where(User.tenant_id == tenant_id).order_by(User.display_name, User.id)
    last = find_person(session, tenant_id, after) if after else None
    if last is not None:
        query = query.where(tuple_(User.display_name, User.id) > (last.display_name, last.id))
    rows = session.scalars(query.limit(limit + 1)).all()
    people = tuple(_view(row) for row in rows[:limit])
    return PeoplePage(people, people[-1].id if len(rows) > limit else None)


def find_person(session: Session, tenant_id: str, user_id: str) -> PersonView | None:
    """Return the tenant's person of that id, or None; another tenant's is None as well."""
    row = session.scalar(select(User).where(User.tenant_id == tenant_id, User.id == user_id))
    return _view(row) if row is not None else None


def get_person(session: Session, tenant_id: str, user_id: str) -> PersonDetail:
    """Return everything that is known of a person; raises ``Refusal(not_found)``."""
    person = find_person(session, tenant_id, user_id)
    if person is None:
        raise Refusal(
            ErrorCode.NOT_FOUND, "There is no such person.", reason="unknown_user", whose_move=WhoseMove.YOU
        )
    links = session.scalars(
        select(IdentityLink)
        .where(IdentityLink.tenant_id == tenant_id, IdentityLink.user_id == user_id)
        .order_by(IdentityLink.created_at, IdentityLink.id)
    )
    told = session.scalars(
        select(GroupSnapshot)
        .where(GroupSnapshot.tenant_id == tenant_id, GroupSnapshot.user_id == user_id)
        .order_by(GroupSnapshot.connection_id)
    )
    return PersonDetail(
        person=person,
        identities=tuple(
            IdentityView(one.connection_id, one.issuer, one.subject_kind, one.subject, one.created_at)
            for one in links
        ),
        groups=tuple(
            GroupsTold(
                connection_id=one.connection_id,
                groups=one.groups,
                state=one.state,
                source=one.source,
                fetched_at=one.fetched_at,
                complete_at=one.complete_at,
                problem=one.problem,
                refresh_at=one.refresh_at,
            )
            for one in told
        ),
    )


def _view(row: User) -> PersonView:
    return PersonView(
        id=row.id,
        display_name=row.display_name,
        email=row.email,
        email_verified_by=row.email_verified_by,
        state=row.state,
        created_at=row.created_at,
        last_sign_in_at=row.last_sign_in_at,
    )


def find_users(core: Connection, tenant_id: str, connection_id: str, subject: str) -> list[str]:
    """Return the ids of all who signed in through the connection with that subject, of whatever issuer."""
    wanted = {"tenant": tenant_id, "of_connection": connection_id, "of_subject": subject}
    return [row.user_id for row in _FIND_USERS.rows(core, wanted)]

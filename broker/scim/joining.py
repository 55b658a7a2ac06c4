"""Pushed people whom no rule matched: found, joined with who signs in by an administrator's word, separated.

Nothing here compares addresses or names: a person decides who is who, sees both sides first, and is named.
"""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, exists, func, or_, select, tuple_

from broker.audit.events import AuditEvent
from broker.directory.models import IdentityLink, ProvisionedPerson, User
from broker.directory.provisioning import Provisioned, bind, find_provisioned, is_bound_by_hand, unbind
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.scim.desk import ScimDesk
from broker.scim.models import ScimUser
from broker.scim.people import switch_person_off
from broker.scim.spelling import is_plain_id, key_of
from broker.tokens.lost_roles import ending_lost_roles

Kind = Literal["unmatched", "expected", "joined"]
KINDS: tuple[Kind, ...] = ("unmatched", "expected", "joined")
"""Whom nobody will recognise; who is recognised when they first sign in; who was joined by hand."""


@dataclass(frozen=True, slots=True)
class PushedPerson:
    """A pushed record as an administrator compares it; times are epoch seconds.

    ``groups`` are the names of the groups that were pushed; ``user_id`` is None until somebody is bound.
    """

    id: str
    user_name: str
    display_name: str
    external_id: str
    emails: tuple[str, ...]
    is_active: bool
    created_at: int
    has_key: bool
    user_id: str | None
    is_joined_by_hand: bool
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PushedPage:
    """Pushed people in the order in which they came; ``next_after`` is what to ask with for more."""

    people: tuple[PushedPerson, ...]
    total: int
    next_after: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who signs in through the connection and is bound to no record of it."""

    user_id: str
    name: str
    email: str
    email_verified_by: str
    state: str
    subject: str
    last_sign_in_at: int | None


def list_pushed(
    core: Connection, desk: ScimDesk, kind: Kind, text: str, *, after: str = "", limit: int = 25
) -> PushedPage:
    """Return a page of the connection's pushed people of that kind whose name or key holds ``text``."""
    conditions = [*_of_connection(desk), *_of_kind(kind), *_with_text(text)]
    found = select(ScimUser.__table__, *_KNOWN).join(ProvisionedPerson, _SAME).where(*conditions)
    total = core.execute(select(func.count()).select_from(found.subquery())).scalar() or 0
    if after and is_plain_id(after):
        last = core.execute(
            select(ScimUser.created_at).where(
                ScimUser.tenant_id == desk.tenant.id,
                ScimUser.connection_id == desk.connection.id,
                ScimUser.id == after,
            )
        ).scalar()
        if last is not None:
            found = found.where(tuple_(ScimUser.created_at, ScimUser.id) > (last, after))
    rows = core.execute(found.order_by(ScimUser.created_at, ScimUser.id).limit(limit + 1)).all()
    people = tuple(_pushed(row, is_joined_by_hand=kind == "joined") for row in rows[:limit])
    return PushedPage(people, total, people[-1].id if len(rows) > limit else "")


def get_pushed(core: Connection, desk: ScimDesk, person_id: str) -> PushedPerson:
    """Return a pushed person of the connection; raises ``Refusal(not_found)`` for any other id."""
    row = None
    if is_plain_id(person_id):
        query = select(ScimUser.__table__, *_KNOWN).join(ProvisionedPerson, _SAME)
        row = core.execute(query.where(*_of_connection(desk), ScimUser.id == person_id)).first()
    if row is None:
        raise Refusal(
            ErrorCode.NOT_FOUND,
            "No page has this address.",
            reason="unknown_pushed_person",
            whose_move=WhoseMove.YOU,
        )
    return _pushed(row, is_joined_by_hand=is_bound_by_hand(core, desk.tenant.id, _known(core, desk, row.id)))


def list_candidates(core: Connection, desk: ScimDesk, text: str, *, limit: int = 10) -> list[Candidate]:
    """Return who signs in through the connection and is bound to none of its records, last seen first."""
    query = _candidates(desk)
    if text.strip():
        query = query.where(_contains(text.strip(), User.display_name, User.email, IdentityLink.subject))
    rows = core.execute(query.order_by(User.last_sign_in_at.desc(), User.id).limit(limit))
    return [_candidate(row) for row in rows]


def find_candidate(core: Connection, desk: ScimDesk, user_id: str) -> Candidate | None:
    """Return the candidate of that id, or None for anybody who cannot be joined."""
    if not is_plain_id(user_id):
        return None
    row = core.execute(_candidates(desk).where(User.id == user_id)).first()
    return _candidate(row) if row is not None else None


def join(core: Connection, desk: ScimDesk, person_id: str, user_id: str) -> None:
    """Bind a pushed person to a user by the word of the desk's actor, with everything that follows.

    Pushed groups count from now on, and who was switched off there is switched off here. Raises
    ``Refusal(bad_form)`` where `bind` does, ``Refusal(not_found)`` for an unknown person.
    """
    person = get_pushed(core, desk, person_id)
    if find_candidate(core, desk, user_id) is None:
        raise Refusal(
            ErrorCode.BAD_FORM,
            "This person cannot be joined: unknown here, or joined with another record already.",
            reason="user_not_bindable",
            whose_move=WhoseMove.ADMIN,
        )
    with ending_lost_roles(core, desk.rt, desk.tenant.id, [user_id], desk.now) as watch:
        bind(core, desk.tenant.id, desk.connection.id, person_id, user_id)
    desk.write_down(
        core, AuditEvent.SCIM_PERSON_BOUND, target_id=person_id, subject_id=user_id, reason="by_admin"
    )
    desk.write_losses_down(core, watch.losses)
    if not person.is_active:
        switch_person_off(core, desk, person_id, "bound_inactive")


def separate(core: Connection, desk: ScimDesk, person_id: str) -> str:
    """Take back a binding that was made by hand and return the user, who keeps no group of the record.

    Who was switched off by it stays so until an administrator enables them. Raises ``Refusal(bad_form)``
    for a person who is not bound, or by their key; ``Refusal(not_found)`` for an unknown one.
    """
    person = get_pushed(core, desk, person_id)
    concerned = [person.user_id] if person.user_id else []
    with ending_lost_roles(core, desk.rt, desk.tenant.id, concerned, desk.now) as watch:
        user_id = unbind(core, desk.tenant.id, desk.connection.id, person_id, desk.now)
    desk.write_down(
        core, AuditEvent.SCIM_PERSON_UNBOUND, target_id=person_id, subject_id=user_id, reason="by_admin"
    )
    desk.write_losses_down(core, watch.losses)
    return user_id


_KNOWN = (ProvisionedPerson.user_id, ProvisionedPerson.match_key, ProvisionedPerson.groups)
_SAME = (ProvisionedPerson.tenant_id == ScimUser.tenant_id) & (ProvisionedPerson.id == ScimUser.id)


def _of_connection(desk: ScimDesk) -> tuple[ColumnElement[bool], ...]:
    return ScimUser.tenant_id == desk.tenant.id, ScimUser.connection_id == desk.connection.id


def _of_kind(kind: Kind) -> tuple[ColumnElement[bool], ...]:
    if kind == "unmatched":
        return ProvisionedPerson.user_id.is_(None), ProvisionedPerson.match_key.is_(None)
    if kind == "expected":
        return ProvisionedPerson.user_id.is_(None), ProvisionedPerson.match_key.is_not(None)
    by_key = exists().where(
        IdentityLink.tenant_id == ProvisionedPerson.tenant_id,
        IdentityLink.connection_id == ProvisionedPerson.connection_id,
        IdentityLink.user_id == ProvisionedPerson.user_id,
        IdentityLink.subject == ProvisionedPerson.match_key,
    )
    return ProvisionedPerson.user_id.is_not(None), ~by_key


def _with_text(text: str) -> tuple[ColumnElement[bool], ...]:
    wanted = key_of(text.strip())
    if not wanted:
        return ()
    keys = ScimUser.user_name_key, ScimUser.display_key, func.lower(ScimUser.external_id)
    return (_contains(wanted, *keys),)


def _contains(text: str, *columns: Any) -> ColumnElement[bool]:
    return or_(*(column.icontains(text, autoescape=True) for column in columns))


def _candidates(desk: ScimDesk) -> Select[Any]:
    bound = exists().where(
        ProvisionedPerson.tenant_id == desk.tenant.id,
        ProvisionedPerson.connection_id == desk.connection.id,
        ProvisionedPerson.user_id == User.id,
    )
    signs_in = (
        (IdentityLink.tenant_id == User.tenant_id)
        & (IdentityLink.user_id == User.id)
        & (IdentityLink.connection_id == desk.connection.id)
    )
    return (
        select(User.__table__, IdentityLink.subject)
        .join(IdentityLink, signs_in)
        .where(User.tenant_id == desk.tenant.id, ~bound)
    )


def _known(core: Connection, desk: ScimDesk, person_id: str) -> Provisioned:
    person = find_provisioned(core, desk.tenant.id, person_id)
    if person is None:
        raise LookupError("a pushed person is missing in the directory")
    return person


def _pushed(row: Any, *, is_joined_by_hand: bool) -> PushedPerson:
    emails = (one.get("value") for one in row.resource.get("emails") or ())
    return PushedPerson(
        id=row.id,
        user_name=row.user_name,
        display_name=str(row.resource.get("displayName") or ""),
        external_id=row.external_id or "",
        emails=tuple(str(one) for one in emails if one),
        is_active=row.active,
        created_at=row.created_at,
        has_key=row.match_key is not None,
        user_id=row.user_id,
        is_joined_by_hand=is_joined_by_hand,
        groups=tuple(one["display"] or one["value"] for one in row.groups or () if one["kind"] == "name"),
    )


def _candidate(row: Any) -> Candidate:
    return Candidate(
        user_id=row.id,
        name=row.display_name,
        email=row.email or "",
        email_verified_by=row.email_verified_by,
        state=row.state,
        subject=row.subject,
        last_sign_in_at=row.last_sign_in_at,
    )

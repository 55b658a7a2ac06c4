"""People whom provisioning knows: recognised at sign-in by their key, and their pushed groups.

The rooms that receive what providers push write here; a sign-in reads it. An e-mail address binds nobody.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, String, Table, bindparam, select, update
from sqlalchemy import cast as cast_to

from broker.directory.group_facts import MAX_FACTS, ToldGroups, store_groups, store_many
from broker.directory.models import IdentityLink, ProvisionedPerson, User
from broker.directory.people import find_users
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.prepared import Prepared

SOURCE = "scim"
_SLICE = 500
_PEOPLE = cast(Table, ProvisionedPerson.__table__)
_TELL = Prepared(
    update(_PEOPLE)
    .where(_PEOPLE.c.tenant_id == bindparam("tenant"), _PEOPLE.c.id == bindparam("of_person"))
    .values(groups=bindparam("to_groups"), fetched_at=bindparam("now"))
)
# Without the cast: SQLite would read all bound people of the tenant rather than look these up by their ids.
_BOUND = select(_PEOPLE.c.id, _PEOPLE.c.user_id).where(
    cast_to(_PEOPLE.c.tenant_id, String) == bindparam("tenant"),
    _PEOPLE.c.id.in_(bindparam("ids", expanding=True)),
    _PEOPLE.c.user_id.is_not(None),
)
_FACTS = select(
    _PEOPLE.c.id,
    _PEOPLE.c.user_id,
    _PEOPLE.c.state,
    _PEOPLE.c.switched_off,
    _PEOPLE.c.groups,
    _PEOPLE.c.fetched_at,
).where(_PEOPLE.c.tenant_id == bindparam("tenant"))
_AT_CONNECTION = _FACTS.where(_PEOPLE.c.connection_id == bindparam("of_connection"))
_FIND = Prepared(_FACTS.where(_PEOPLE.c.id == bindparam("of_person")))
_FIND_BY_KEY = Prepared(_AT_CONNECTION.where(_PEOPLE.c.match_key == bindparam("of_subject")))
_FIND_BOUND = Prepared(_AT_CONNECTION.where(_PEOPLE.c.user_id == bindparam("of_user")))


@dataclass(frozen=True, slots=True)
class Provisioned:
    """A provisioned person; ``groups`` is None where provisioning told nothing of groups."""

    id: str
    user_id: str | None
    state: str
    switched_off: bool
    groups: Sequence[Mapping[str, str]] | None
    fetched_at: int

    @property
    def is_active(self) -> bool:
        """Whether the provider says that this person may be here."""
        return self.state == "active"


def recognise(core: Connection, tenant_id: str, connection_id: str, subject: str) -> Provisioned | None:
    """Return the person whom this connection provisions under the subject they sign in with, or None."""
    key = {"tenant": tenant_id, "of_connection": connection_id, "of_subject": subject}
    return _first(_FIND_BY_KEY.rows(core, key))


def find_provisioned(core: Connection, tenant_id: str, person_id: str) -> Provisioned | None:
    """Return the tenant's provisioned person of that id, or None."""
    return _first(_FIND.rows(core, {"tenant": tenant_id, "of_person": person_id}))


def claim_person(
    core: Connection, tenant_id: str, connection_id: str, user_id: str, person: Provisioned | None
) -> bool:
    """Bind ``person`` to the user who just signed in; returns whether their groups are pushed.

    A person that is bound to somebody else stays theirs. Pushed groups become the user's snapshot.
    """
    bound = _bound_to(core, tenant_id, connection_id, user_id)
    if bound is None and person is not None and person.user_id is None:
        core.execute(
            update(ProvisionedPerson)
            .where(
                ProvisionedPerson.tenant_id == tenant_id,
                ProvisionedPerson.id == person.id,
                ProvisionedPerson.user_id.is_(None),
            )
            .values(user_id=user_id)
        )
        bound = person
    if bound is None or bound.groups is None:
        return False
    store_groups(core, tenant_id, connection_id, user_id, _told(bound.groups, bound.fetched_at))
    return True


def bind_known_user(
    core: Connection, tenant_id: str, connection_id: str, person_id: str, subject: str
) -> str | None:
    """Bind a person to the one user who has signed in here with that subject; returns the user or None.

    Two users (of two issuers behind one connection), or a user who is bound already, leave the person
    pending. Without this: a guess would put one person's groups and fate on another.
    """
    found = find_users(core, tenant_id, connection_id, subject)
    if len(found) != 1 or _bound_to(core, tenant_id, connection_id, found[0]) is not None:
        return None
    bind(core, tenant_id, connection_id, person_id, found[0])
    return found[0]


def bind(core: Connection, tenant_id: str, connection_id: str, person_id: str, user_id: str) -> None:
    """Bind a pending person to a user of the tenant, by their key or by an administrator's word.

    Raises ``Refusal(bad_form)`` if the person is bound, the user is unknown, has no identity at this
    connection, or is bound to another person of it.
    """
    known = core.execute(
        select(User.id)
        .join(
            IdentityLink,
            (IdentityLink.user_id == User.id)
            & (IdentityLink.tenant_id == tenant_id)
            & (IdentityLink.connection_id == connection_id),
        )
        .where(User.tenant_id == tenant_id, User.id == user_id)
    ).first()
    if known is None or _bound_to(core, tenant_id, connection_id, user_id) is not None:
        raise _cannot_bind("user_not_bindable")
    changed = core.execute(
        update(ProvisionedPerson)
        .where(
            ProvisionedPerson.tenant_id == tenant_id,
            ProvisionedPerson.connection_id == connection_id,
            ProvisionedPerson.id == person_id,
            ProvisionedPerson.user_id.is_(None),
            ProvisionedPerson.state != "deleted",
        )
        .values(user_id=user_id)
    )
    if changed.rowcount != 1:
        raise _cannot_bind("person_not_pending")
    person = find_provisioned(core, tenant_id, person_id)
    if person is not None and person.groups is not None:
        store_groups(core, tenant_id, connection_id, user_id, _told(person.groups, person.fetched_at))


def unbind(core: Connection, tenant_id: str, connection_id: str, person_id: str, now: int) -> str:
    """Take back by whose word a person was bound, and with it their groups; returns the user.

    Who is bound by their key stays so: the next sign-in would bind them again. Raises ``Refusal(bad_form)``.
    """
    person = find_provisioned(core, tenant_id, person_id)
    if person is None or person.user_id is None or not is_bound_by_hand(core, tenant_id, person):
        raise _cannot_unbind()
    changed = core.execute(
        update(ProvisionedPerson)
        .where(
            ProvisionedPerson.tenant_id == tenant_id,
            ProvisionedPerson.connection_id == connection_id,
            ProvisionedPerson.id == person_id,
            ProvisionedPerson.user_id == person.user_id,
        )
        .values(user_id=None, switched_off=False)
    )
    if changed.rowcount != 1:
        raise _cannot_unbind()
    # Without this: the groups of the record would stay with somebody whom it does not speak of.
    if person.groups is not None:
        store_groups(core, tenant_id, connection_id, person.user_id, ToldGroups([], "absent", SOURCE, now))
    return person.user_id


def is_bound_by_hand(core: Connection, tenant_id: str, person: Provisioned) -> bool:
    """Whether a person is bound, and not by the subject that their user signs in with."""
    if person.user_id is None:
        return False
    by_key = select(ProvisionedPerson.id).join(
        IdentityLink,
        (IdentityLink.tenant_id == ProvisionedPerson.tenant_id)
        & (IdentityLink.connection_id == ProvisionedPerson.connection_id)
        & (IdentityLink.user_id == ProvisionedPerson.user_id)
        & (IdentityLink.subject == ProvisionedPerson.match_key),
    )
    found = core.execute(
        by_key.where(ProvisionedPerson.tenant_id == tenant_id, ProvisionedPerson.id == person.id)
    )
    return found.first() is None


def tell_groups(
    core: Connection,
    tenant_id: str,
    connection_id: str,
    told: Mapping[str, Sequence[Mapping[str, str]]],
    bound: Mapping[str, str],
    now: int,
) -> None:
    """Store the complete groups of provisioned people by their id; who is bound has them at the next mint.

    ``bound`` are the users of those among them who are, from `find_bound`.
    """
    rows = [
        {"tenant": tenant_id, "of_person": one, "to_groups": list(groups), "now": now}
        for one, groups in told.items()
    ]
    if rows:
        _TELL.run_many(core, rows)
    users = {user_id: _told(told[person_id], now) for person_id, user_id in bound.items()}
    store_many(core, tenant_id, connection_id, users)


def find_bound(core: Connection, tenant_id: str, person_ids: Collection[str]) -> dict[str, str]:
    """Return the users of those among these provisioned people who are bound, by the person's id."""
    ids, found = list(person_ids), {}
    for first in range(0, len(ids), _SLICE):
        wanted = {"tenant": tenant_id, "ids": ids[first : first + _SLICE]}
        found.update({row.id: str(row.user_id) for row in core.execute(_BOUND, wanted)})
    return found


def release_groups(core: Connection, tenant_id: str, connection_id: str) -> int:
    """Stop counting a connection's pushed groups as told; the next sign-ins tell them. Returns how many."""
    return core.execute(
        update(ProvisionedPerson)
        .where(
            ProvisionedPerson.tenant_id == tenant_id,
            ProvisionedPerson.connection_id == connection_id,
            ProvisionedPerson.groups.is_not(None),
        )
        .values(groups=None)
    ).rowcount


def _told(groups: Sequence[Mapping[str, str]], now: int) -> ToldGroups:
    state = "complete" if len(groups) <= MAX_FACTS else "truncated"
    return ToldGroups(groups[:MAX_FACTS], state, SOURCE, now)


def _bound_to(core: Connection, tenant_id: str, connection_id: str, user_id: str) -> Provisioned | None:
    key = {"tenant": tenant_id, "of_connection": connection_id, "of_user": user_id}
    return _first(_FIND_BOUND.rows(core, key))


def _first(rows: Sequence[Any]) -> Provisioned | None:
    return Provisioned(*rows[0]) if rows else None


def _cannot_unbind() -> Refusal:
    return Refusal(
        ErrorCode.BAD_FORM,
        "These two were not joined by hand, or are not joined any more.",
        reason="person_not_bound_by_hand",
        whose_move=WhoseMove.ADMIN,
    )


def _cannot_bind(reason: str) -> Refusal:
    return Refusal(
        ErrorCode.BAD_FORM,
        "These two cannot be joined: one of them is unknown here, or joined already.",
        reason=reason,
        whose_move=WhoseMove.ADMIN,
    )

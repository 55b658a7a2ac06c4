"""What follows from a pushed person: recognised, switched off with all that acts for them, let in again.

Everything happens in the transaction of the push, so that an answer 2xx means that it is done (C05).
"""

from typing import cast

from sqlalchemy import Connection, Table, Update, bindparam, delete, insert, select, update

from broker.audit.events import AuditEvent
from broker.directory.models import ProvisionedPerson, User
from broker.directory.people import find_users
from broker.directory.provisioning import Provisioned, bind_known_user, find_provisioned
from broker.kernel.prepared import Prepared
from broker.scim.access import matching_of
from broker.scim.desk import ScimDesk
from broker.tenants.snapshot import ConnectionView
from broker.tokens.cascade import Ended
from broker.tokens.lost_roles import ending_lost_roles
from broker.tokens.switching_off import end_agents_of, end_user, switch_on

CAUSE = "deprovisioned"

_PEOPLE = cast(Table, ProvisionedPerson.__table__)
_INSERT = Prepared(insert(_PEOPLE))
_FORMER = Prepared(
    select(_PEOPLE.c.id).where(
        _PEOPLE.c.tenant_id == bindparam("tenant"),
        _PEOPLE.c.connection_id == bindparam("of_connection"),
        _PEOPLE.c.match_key == bindparam("key"),
        _PEOPLE.c.state == "deleted",
    )
)


def welcome(core: Connection, desk: ScimDesk, person_id: str, external_id: str | None, active: bool) -> None:
    """Enter a pushed person into the directory and bind them if their key says who they are.

    Who was deleted under the same key comes back as the same person; the same address or name under
    another key is somebody new, who inherits nothing (C07).
    """
    key = _match_key(core, desk, external_id)
    former = _take_former(core, desk, key)
    _INSERT.run(
        core,
        {
            "id": person_id,
            "tenant_id": desk.tenant.id,
            "connection_id": desk.connection.id,
            "match_key": key,
            "user_id": former.user_id if former else None,
            "state": "active",
            "switched_off": former.switched_off if former else False,
            "groups": None,
            "fetched_at": desk.now,
        },
    )
    desk.write_down(core, AuditEvent.SCIM_PERSON_CREATED, target_id=person_id)
    if former is None:
        _recognise(core, desk, person_id, key)
    if not active:
        switch_person_off(core, desk, person_id, "created_inactive")
    elif former is not None:
        _let_in(core, desk, person_id)


def rename_key(core: Connection, desk: ScimDesk, person_id: str, external_id: str | None) -> bool:
    """Give a pending person another key; returns False, and changes nothing, if they are bound.

    Without this: a record that is bound to one person could be turned into another's (C04).
    """
    person = _get(core, desk, person_id)
    if person.user_id is not None:
        return False
    key = _match_key(core, desk, external_id)
    _take_former(core, desk, key)
    core.execute(_update(desk, person_id).values(match_key=key))
    _recognise(core, desk, person_id, key)
    if not person.is_active:
        switch_person_off(core, desk, person_id, "bound_inactive")
    return True


def is_bound(core: Connection, desk: ScimDesk, person_id: str) -> bool:
    """Whether the directory knows which user this person is."""
    return _get(core, desk, person_id).user_id is not None


def switch_person_off(core: Connection, desk: ScimDesk, person_id: str, reason: str) -> None:
    """Disable a person: sessions, grants and tokens end, and the agents that they own are suspended."""
    person = _get(core, desk, person_id)
    core.execute(_update(desk, person_id).values(state="disabled"))
    ended = _end(core, desk, person)
    desk.write_down(
        core,
        AuditEvent.SCIM_PERSON_DEACTIVATED,
        target_id=person_id,
        subject_id=person.user_id or "",
        reason=reason,
        data=_counts(ended),
    )


def switch_person_on(core: Connection, desk: ScimDesk, person_id: str) -> None:
    """Let a person in again; what ended stays ended, and suspended agents wait for an administrator."""
    person = _get(core, desk, person_id)
    core.execute(_update(desk, person_id).values(state="active"))
    desk.write_down(
        core, AuditEvent.SCIM_PERSON_REACTIVATED, target_id=person_id, subject_id=person.user_id or ""
    )
    _let_in(core, desk, person_id)


def forget_person(core: Connection, desk: ScimDesk, person_id: str) -> None:
    """Switch a deleted person off and keep their key, so that it lets nobody in as somebody new."""
    person = _get(core, desk, person_id)
    ended = _end(core, desk, person)
    core.execute(_update(desk, person_id).values(state="deleted"))
    desk.write_down(
        core,
        AuditEvent.SCIM_PERSON_DELETED,
        target_id=person_id,
        subject_id=person.user_id or "",
        data=_counts(ended),
    )


def _match_key(core: Connection, desk: ScimDesk, external_id: str | None) -> str | None:
    # Without the second half: a connection whose externalId is an e-mail address would recognise people
    # by what anybody may set in a mail directory (C10). Such a person waits for an administrator.
    if external_id is None or "@" in external_id:
        return None
    if matching_of(core, desk.tenant.id, desk.connection.id) != "external_id":
        return None
    return _subject_of(desk.connection, external_id)


def _subject_of(connection: ConnectionView, object_id: str) -> str | None:
    """Return the subject that a sign-in proves for this ``externalId``, None where it cannot be known.

    An Entra subject is directory and object (``oid+tid``); Entra pushes the object's id alone.
    """
    if connection.config.get("subject") != "oid+tid":
        return object_id
    directories = list(connection.config.get("tenant_ids") or ())
    # Without the count: of two directories behind one connection, one could push the other's people.
    return f"{directories[0]}/{object_id}" if len(directories) == 1 else None


def _take_former(core: Connection, desk: ScimDesk, key: str | None) -> Provisioned | None:
    """Remove and return what is left of a person who was deleted under this key."""
    if key is None:
        return None
    wanted = {"tenant": desk.tenant.id, "of_connection": desk.connection.id, "key": key}
    former_id = next((row.id for row in _FORMER.rows(core, wanted)), None)
    if former_id is None:
        return None
    former = _get(core, desk, former_id)
    core.execute(
        delete(ProvisionedPerson).where(
            ProvisionedPerson.tenant_id == desk.tenant.id, ProvisionedPerson.id == former_id
        )
    )
    return former


def _recognise(core: Connection, desk: ScimDesk, person_id: str, key: str | None) -> None:
    if key is None:
        return
    known = find_users(core, desk.tenant.id, desk.connection.id, key)
    with ending_lost_roles(core, desk.rt, desk.tenant.id, known, desk.now) as watch:
        user_id = bind_known_user(core, desk.tenant.id, desk.connection.id, person_id, key)
    desk.write_losses_down(core, watch.losses)
    if user_id is not None:
        desk.write_down(
            core, AuditEvent.SCIM_PERSON_BOUND, target_id=person_id, subject_id=user_id, reason="key"
        )


def _let_in(core: Connection, desk: ScimDesk, person_id: str) -> None:
    """Enable the user again if it was provisioning that disabled them; an administrator's word stands."""
    person = _get(core, desk, person_id)
    if person.user_id is None or not person.switched_off:
        return
    core.execute(_update(desk, person_id).values(switched_off=False))
    if switch_on(core, desk.tenant.id, "user", person.user_id, desk.now):
        desk.write_down(
            core, AuditEvent.USER_ENABLED, target_id=person.user_id, subject_id=person.user_id, reason="scim"
        )


def _end(core: Connection, desk: ScimDesk, person: Provisioned) -> Ended:
    if person.user_id is None:
        return Ended()
    user = core.execute(
        select(User.state, User.email, User.email_verified_by).where(
            User.tenant_id == desk.tenant.id, User.id == person.user_id
        )
    ).first()
    if user is None or user.state != "active":
        return Ended()
    ended = end_user(core, desk.tenant.id, person.user_id, CAUSE, desk.now)
    core.execute(_update(desk, person.id).values(switched_off=True))
    desk.write_down(
        core,
        AuditEvent.USER_DISABLED,
        target_id=person.user_id,
        subject_id=person.user_id,
        reason=CAUSE,
        data={"address_known_by": user.email_verified_by, **_counts(ended)},
    )
    if user.email and user.email_verified_by == "idp_verified_domain":
        ended += _suspend_agents(core, desk, person.user_id, user.email)
    return ended


def _suspend_agents(core: Connection, desk: ScimDesk, user_id: str, email: str) -> Ended:
    """Suspend the agents whose owner's address is this person's, as their provider proved it."""
    total = Ended()
    suspended = end_agents_of(core, desk.tenant.id, email, "owner_deprovisioned", desk.now)
    for agent_id, ended in suspended.items():
        desk.write_down(
            core,
            AuditEvent.AGENT_SUSPENDED,
            target_id=agent_id,
            subject_id=user_id,
            reason="owner_deprovisioned",
            data={"owner_known_by": "verified_address", **_counts(ended)},
        )
        total += ended
    return total


def _counts(ended: Ended) -> dict[str, int]:
    return {"token_count": ended.tokens, "grant_count": ended.grants, "session_count": ended.sessions}


def _get(core: Connection, desk: ScimDesk, person_id: str) -> Provisioned:
    person = find_provisioned(core, desk.tenant.id, person_id)
    if person is None:
        raise LookupError("a pushed person is missing in the directory")
    return person


def _update(desk: ScimDesk, person_id: str) -> Update:
    return update(ProvisionedPerson).where(
        ProvisionedPerson.tenant_id == desk.tenant.id, ProvisionedPerson.id == person_id
    )

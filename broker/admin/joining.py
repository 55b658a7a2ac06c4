"""What administrators see and do of pushed people whom no rule matched: find, compare, join, take back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection as CoreConnection

from broker.admin.changes import Desk, bad_form, change, find_done
from broker.admin.connections import get_connection
from broker.audit.events import AuditEvent
from broker.directory.people import find_person
from broker.scim.desk import ScimDesk
from broker.scim.joining import (
    KINDS,
    Candidate,
    Kind,
    PushedPerson,
    find_candidate,
    get_pushed,
    join,
    list_candidates,
    list_pushed,
    separate,
)
from broker.tenants.snapshot import ConnectionView

_SHOWN_GROUPS = 12


def people_context(desk: Desk, connection_id: str, kind: str, text: str, after: str) -> dict[str, Any]:
    """Return the context of ``admin/pushed_people.html``; raises ``Refusal(not_found)``."""
    connection = get_connection(desk, connection_id)
    chosen: Kind = next((one for one in KINDS if one == kind), KINDS[0])
    with desk.rt.database.core_read() as core:
        page = list_pushed(core, _scim(desk, connection), chosen, text, after=after)
    return {
        "connection": _words_of(connection),
        "people": page.people,
        "total": page.total,
        "next_after": page.next_after,
        "filters": {"kind": chosen, "q": text},
    }


def person_context(
    desk: Desk, connection_id: str, person_id: str, text: str, user_id: str, done: str
) -> dict[str, Any]:
    """Return the context of ``admin/pushed_person.html``; raises ``Refusal(not_found)``.

    ``user_id`` is who was chosen to be compared; who cannot be joined is not.
    """
    connection = get_connection(desk, connection_id)
    here = _scim(desk, connection)
    with desk.rt.database.read(desk.tenant.id) as session:
        core = session.connection()
        person = get_pushed(core, here, person_id)
        chosen = find_candidate(core, here, user_id) if user_id and person.user_id is None else None
        bound = find_person(session, desk.tenant.id, person.user_id) if person.user_id else None
        candidates = list_candidates(core, here, text) if person.user_id is None and chosen is None else []
    return {
        "connection": _words_of(connection),
        "person": person,
        "groups": {"shown": person.groups[:_SHOWN_GROUPS], "left": len(person.groups[_SHOWN_GROUPS:])},
        "bound": bound,
        "chosen": chosen,
        "effects": _effects(person, chosen) if chosen is not None else [],
        "candidates": candidates,
        "q": text,
        "receipt": _find_receipt(desk, person_id, done),
    }


def join_people(desk: Desk, connection_id: str, person_id: str, user_id: str) -> None:
    """Join a pushed person with a user; raises ``Refusal``: ``not_found``, ``bad_form``."""
    with _changing(desk, connection_id) as (core, here):
        join(core, here, person_id, user_id)


def separate_people(desk: Desk, connection_id: str, person_id: str) -> None:
    """Take a binding by hand back; raises ``Refusal``: ``not_found``, ``bad_form``."""
    with _changing(desk, connection_id) as (core, here):
        separate(core, here, person_id)


@contextmanager
def _changing(desk: Desk, connection_id: str) -> Iterator[tuple[CoreConnection, ScimDesk]]:
    connection = get_connection(desk, connection_id)
    if not connection.is_active:
        raise bad_form("The connection is disabled. Enable it first.")
    with change(desk) as session:
        yield session.connection(), _scim(desk, connection)


def _scim(desk: Desk, connection: ConnectionView) -> ScimDesk:
    return ScimDesk(desk.rt, desk.tenant, connection, desk.who.actor, desk.ctx)


def _words_of(connection: ConnectionView) -> dict[str, Any]:
    return {
        "connection_id": connection.id,
        "name": connection.name,
        "is_active": connection.is_active,
    }


def _effects(person: PushedPerson, chosen: Candidate) -> list[str]:
    """Return what joining the two does, each as a sentence, so that nobody is surprised by it."""
    found = [
        f"Groups that the provider pushes for {person.user_name} become the groups of {chosen.name}, "
        "and roles follow from them at once."
    ]
    if not person.is_active:
        found.append(
            f"The record is switched off: {chosen.name} is disabled here, and sessions, permissions and "
            "tokens end."
        )
    else:
        found.append(f"When the provider switches the record off, {chosen.name} is disabled here.")
    return found


_RECEIPTS = {
    AuditEvent.SCIM_PERSON_BOUND.value: (
        "The two are one person now.",
        "What the provider pushes for this record counts for them from now on.",
    ),
    AuditEvent.SCIM_PERSON_UNBOUND.value: (
        "The two were separated.",
        "The groups of the record are gone from the person. Whoever was disabled by it stays so until you "
        "enable them on their own page.",
    ),
}


def _find_receipt(desk: Desk, person_id: str, done: str) -> dict[str, str] | None:
    event = find_done(desk, done, target_id=person_id)
    if event is None or event.event not in _RECEIPTS:
        return None
    title, text = _RECEIPTS[event.event]
    return {"title": title, "text": text}

"""What administrators do to people: end their sessions, disable them with all that acts for them, enable."""

from collections.abc import Callable, Mapping

from broker.admin.changes import Desk, bad_form, change, find_done, not_found, write_down
from broker.admin.names import ended_words
from broker.audit.events import AuditEvent
from broker.audit.reading import EventView
from broker.directory.people import find_person
from broker.tokens.cascade import GRANTS, end_sessions_of_user
from broker.tokens.reading import measure_reach, tokens_where_grants
from broker.tokens.switching_off import end_user, switch_on


def act_on_person(desk: Desk, user_id: str, action: str) -> None:
    """End a person's sessions, disable or enable them; the event says what ended.

    Raises ``Refusal``: ``not_found``, and ``bad_form`` for an action that is not offered.
    """
    with desk.rt.database.read(desk.tenant.id) as session:
        if find_person(session, desk.tenant.id, user_id) is None:
            raise not_found("user")
    act = _ACTIONS.get(action)
    if act is None:
        raise bad_form("Choose one of the actions that the page offers.")
    act(desk, user_id)


def find_receipt(desk: Desk, user_id: str, request_id: str) -> dict[str, str] | None:
    """Return the receipt of an action on this person, by the id of its request, or None."""
    event = find_done(desk, request_id, target_id=user_id)
    return None if event is None or event.event not in _TITLES else _receipt(event)


def _receipt(event: EventView) -> dict[str, str]:
    ended = ended_words(event)
    text = f"{ended} ended just now." if ended else "Nothing had to end."
    if event.event == AuditEvent.USER_ENABLED:
        text = "They may sign in again. What ended stays ended."
    return {"title": _TITLES[event.event], "text": text}


_TITLES = {
    AuditEvent.SESSION_ENDED.value: "The sessions were ended.",
    AuditEvent.USER_DISABLED.value: "The person was disabled.",
    AuditEvent.USER_ENABLED.value: "The person was enabled.",
}


def _end_sessions(desk: Desk, user_id: str) -> None:
    with change(desk) as session:
        count = end_sessions_of_user(session.connection(), desk.tenant.id, user_id, desk.now)
        write_down(
            session,
            desk,
            AuditEvent.SESSION_ENDED,
            target_id=user_id,
            subject_id=user_id,
            reason="ended_by_admin",
            data={"session_count": count},
        )


def _disable(desk: Desk, user_id: str) -> None:
    with change(desk) as session:
        core = session.connection()
        owned = GRANTS.c.user_id == user_id
        reach = measure_reach(
            core, desk.tenant.id, tokens_where_grants(owned, desk.tenant.id), owned, desk.now, agent_id=""
        )
        ended = end_user(core, desk.tenant.id, user_id, "user_disabled", desk.now)
        write_down(
            session,
            desk,
            AuditEvent.USER_DISABLED,
            target_id=user_id,
            subject_id=user_id,
            data={
                "token_count": reach.tokens,
                "grant_count": reach.grants,
                "session_count": ended.sessions,
            },
        )


def _enable(desk: Desk, user_id: str) -> None:
    with change(desk) as session:
        if not switch_on(session.connection(), desk.tenant.id, "user", user_id, desk.now):
            raise bad_form("This person is enabled already.")
        write_down(session, desk, AuditEvent.USER_ENABLED, target_id=user_id, subject_id=user_id)


_ACTIONS: Mapping[str, Callable[[Desk, str], None]] = {
    "end_sessions": _end_sessions,
    "disable": _disable,
    "enable": _enable,
}

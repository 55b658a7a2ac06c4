"""Who came in through a connection, who did not, and which field of its provider's console is meant."""

from typing import Any

from sqlalchemy import Connection as CoreConnection

from broker.admin.changes import Desk
from broker.admin.names import load_names
from broker.audit.events import AuditEvent
from broker.audit.reading import EventFilter, EventView, list_events
from broker.audit.wording import tone_of, words_of
from broker.tenants.snapshot import ConnectionView
from idp_connectors.base import ConnectorErrorCode
from idp_connectors.presets.preset import Mishap, Side, explain

_SHOWN, _SEARCHED = 10, 200


def list_sign_ins(core: CoreConnection, desk: Desk, connection: ConnectionView) -> list[dict[str, Any]]:
    """Return what lately happened at the connection's door, newest first, as moments of a timeline."""
    events = _last_events(core, desk, connection, "sign_in")
    names = load_names(core, desk, events)
    return [
        {
            "at": event.at,
            "title": names.of(event.subject_id) if event.subject_id else words_of(event.event),
            "detail": event.reason.replace("_", " "),
            "tone": tone_of(event.event, event.outcome),
        }
        for event in events
    ]


def list_refused(
    core: CoreConnection, desk: Desk, connection: ConnectionView, side: Side | None
) -> list[dict[str, Any]]:
    """Return the connection's last refused sign-ins, newest first, each with the likeliest cause and cure.

    What the provider sent is not kept, so a cause that shows only in its words is not guessed at: that is
    what a connection test is for.
    """
    return [
        {
            "at": event.at,
            "request_id": event.request_id,
            "words": _words(connection, event.reason),
            "mishap": _likeliest(side, event.reason),
        }
        for event in _last_events(core, desk, connection, AuditEvent.SIGN_IN_REFUSED.value)
    ]


def _words(connection: ConnectionView, reason: str) -> str:
    # A directory refuses for one reason; providers that people are sent to have many of their own.
    if connection.kind == "ldap" and reason == ConnectorErrorCode.UPSTREAM_REFUSED:
        return "The directory did not accept user name and password"
    return reason.replace("_", " ").capitalize()


def _last_events(core: CoreConnection, desk: Desk, connection: ConnectionView, event: str) -> list[EventView]:
    page = list_events(core, desk.tenant.id, EventFilter(event=event), limit=_SEARCHED)
    return [one for one in page.events if one.target_id == connection.id][:_SHOWN]


def _likeliest(side: Side | None, reason: str) -> Mishap | None:
    if side is None or reason not in set(ConnectorErrorCode):
        return None
    known = explain(side, ConnectorErrorCode(reason))
    return next((one for one in known if not one.sign), None)

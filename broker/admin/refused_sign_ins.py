"""Why people did not get in through a connection, and which field of its provider's console is meant."""

from typing import Any

from sqlalchemy import Connection as CoreConnection

from broker.admin.changes import Desk
from broker.audit.events import AuditEvent
from broker.audit.reading import EventFilter, list_events
from broker.tenants.snapshot import ConnectionView
from idp_connectors.base import ConnectorErrorCode
from idp_connectors.presets.preset import Mishap, Side, explain

_SHOWN, _SEARCHED = 10, 200


def list_refused(
    core: CoreConnection, desk: Desk, connection: ConnectionView, side: Side | None
) -> list[dict[str, Any]]:
    """Return the connection's last refused sign-ins, newest first, each with the likeliest cause and cure.

    What the provider sent is not kept, so a cause that shows only in its words is not guessed at: that is
    what a connection test is for.
    """
    wanted = EventFilter(event=AuditEvent.SIGN_IN_REFUSED.value)
    page = list_events(core, desk.tenant.id, wanted, limit=_SEARCHED)
    events = [one for one in page.events if one.target_id == connection.id][:_SHOWN]
    return [
        {
            "at": event.at,
            "request_id": event.request_id,
            "reason": event.reason,
            "words": event.reason.replace("_", " ").capitalize(),
            "mishap": _likeliest(side, event.reason),
        }
        for event in events
    ]


def _likeliest(side: Side | None, reason: str) -> Mishap | None:
    if side is None or reason not in set(ConnectorErrorCode):
        return None
    known = explain(side, ConnectorErrorCode(reason))
    return next((one for one in known if not one.sign), None)

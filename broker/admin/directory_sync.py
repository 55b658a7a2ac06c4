"""What administrators see and do of a directory's walk: how far it is, confirm, cancel, begin."""

from collections.abc import Mapping
from typing import Any

from broker.admin.changes import Desk, bad_form
from broker.admin.connections import get_connection
from broker.federation.directory_sync import SyncDesk, cancel_sync, confirm_sync, start_sync, sync_status
from idp_connectors.base import Connector

_ACTIONS = {"start": start_sync, "confirm": confirm_sync, "cancel": cancel_sync}


def sync_context(desk: Desk, connection_id: str) -> dict[str, Any]:
    """Return the context of ``admin/directory_sync.html``; raises ``Refusal(not_found)``."""
    connection = get_connection(desk, connection_id)
    return {
        "connection": {"connection_id": connection.id, "name": connection.name},
        "walk": sync_status(desk.rt, desk.tenant.id, connection.id),
    }


def act_on_sync(desk: Desk, connection_id: str, connectors: Mapping[str, Connector], action: str) -> None:
    """Begin, confirm or cancel the walk of a connection's directory; raises ``Refusal``."""
    connection = get_connection(desk, connection_id)
    act = _ACTIONS.get(action)
    if act is None:
        raise bad_form("Choose one of the actions that the page offers.")
    act(SyncDesk(desk.rt, connectors, desk.tenant, connection, desk.ctx, desk.who.actor))

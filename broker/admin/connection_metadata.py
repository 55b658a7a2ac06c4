"""What administrators see and do of a provider's metadata: read it, compare, take or refuse what is new."""

from collections.abc import Iterable, Mapping
from typing import Any

from broker.admin.changes import Desk, bad_form, change, find_done, not_found, write_down
from broker.admin.connection_reading import certificate_words
from broker.admin.connection_wizard import Kit
from broker.admin.connections import get_connection
from broker.audit.events import AuditEvent
from broker.federation.connection_warnings import read_certificates
from broker.federation.metadata_offers import MetadataState, find_state, refuse_offer, take_offer
from broker.federation.metadata_refresh import describe_changes, refresh_connection
from broker.tenants.snapshot import ConnectionView
from broker.web.formatting import in_words
from idp_connectors.base import Connector, FollowsMetadata

BY_PERSON = "refused_by_administrator"

_PROBLEMS = {
    "unreachable": "The address did not answer, or with too much. See whether the provider has moved it.",
    "unsigned": "It carries no signature, and this connection accepts none without.",
    "signature_invalid": "A certificate that this connection does not trust signed it.",
    "expired": "It says of itself that it is no longer valid. The provider has to publish it anew.",
    "other_entity": "It describes another provider than this connection's entity ID.",
    "unusable": "Its keys or addresses cannot be used: too short a key, or no https address.",
    "metadata": "It is not the SAML metadata of one provider.",
    "malformed": "It is not put together as SAML metadata is.",
    "unsigned_change": "It says something new that no trusted certificate has signed.",
}
_TITLES = {"sso_url": "Sign-in URL"}


def metadata_context(desk: Desk, kit: Kit, connection_id: str, done: str) -> dict[str, Any]:
    """Return the context of ``admin/connection_metadata.html``; raises ``Refusal(not_found)``."""
    connection, connector = _followed(desk, kit.connectors, connection_id)
    with desk.rt.database.read(desk.tenant.id) as session:
        state = find_state(session, desk.tenant.id, connection.id)
    side = kit.side_of(connection)
    console = next((one.console for one in (side.takes if side else ()) if one.name == "certificate"), "")
    return {
        "connection": {"connection_id": connection.id, "name": connection.name},
        "metadata_url": connector.metadata_url(connection.config),
        "state": state,
        "problem": _PROBLEMS.get(state.problem, "It cannot be used.") if state and state.problem else "",
        "addresses": _addresses(connection, state),
        "certificates": _certificates(desk, connection, state),
        "console": console,
        "receipt": _find_receipt(desk, connection.id, done),
    }


def act_on_metadata(
    desk: Desk, connectors: Mapping[str, Connector], connection_id: str, action: str, stamp: str
) -> None:
    """Read the metadata now, or take or refuse the changes that ``stamp`` names; raises ``Refusal``."""
    connection, connector = _followed(desk, connectors, connection_id)
    if action == "read":
        refresh_connection(desk.rt, connector, desk.tenant.id, connection, desk.now)
        return
    if action not in ("take", "refuse"):
        raise bad_form("Choose one of the actions that the page offers.")
    tenant_id = desk.tenant.id
    with change(desk) as session:
        if action == "take":
            event, reason = AuditEvent.CONNECTION_METADATA_TAKEN, ""
            changes = take_offer(session, connectors, tenant_id, connection.id, stamp, desk.now)
        else:
            event, reason = AuditEvent.CONNECTION_METADATA_REFUSED, BY_PERSON
            changes = refuse_offer(session, tenant_id, connection.id, stamp)
        told = describe_changes(connection.config, changes)
        write_down(session, desk, event, target_id=connection.id, reason=reason, data=told)


def _followed(
    desk: Desk, connectors: Mapping[str, Connector], connection_id: str
) -> tuple[ConnectionView, FollowsMetadata]:
    connection = get_connection(desk, connection_id)
    connector = connectors.get(connection.kind)
    if not isinstance(connector, FollowsMetadata):
        raise not_found("metadata")
    return connection, connector


def _addresses(connection: ConnectionView, state: MetadataState | None) -> list[dict[str, str]]:
    """Return the settings other than certificates that would change."""
    changes = state.changes if state else {}
    return [
        {"label": _TITLES.get(name, name), "now": str(connection.config.get(name, "")), "then": str(value)}
        for name, value in sorted(changes.items())
        if name != "certificates"
    ]


def _certificates(
    desk: Desk, connection: ConnectionView, state: MetadataState | None
) -> list[dict[str, Any]]:
    """Return certificates in force and offered, each with what would become of it."""
    in_force = set(connection.config.get("certificates", ()))
    offered = set(state.changes["certificates"]) if state and "certificates" in state.changes else in_force
    marks: tuple[tuple[str, Iterable[str]], ...] = (
        ("new", offered - in_force),
        ("kept", offered & in_force),
        ("gone", in_force - offered),
    )
    return [
        {**certificate_words(one, desk.now), "mark": mark}
        for mark, texts in marks
        for one in read_certificates(texts)
    ]


def _find_receipt(desk: Desk, connection_id: str, done: str) -> dict[str, str] | None:
    event = find_done(desk, done, target_id=connection_id)
    if event is None:
        return None
    if event.event == AuditEvent.CONNECTION_METADATA_TAKEN:
        fields = in_words(str(one).replace("_", " ") for one in event.data.get("fields", ()))
        return {"title": "The changes were taken over.", "text": f"Changed: {fields}. It counts from now on."}
    if event.event == AuditEvent.CONNECTION_METADATA_REFUSED and event.reason == BY_PERSON:
        return {
            "title": "The changes were refused.",
            "text": "What is in force stays. You are told again when the metadata offers something else.",
        }
    return None

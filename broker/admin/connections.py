"""What administrators see and do of identity providers: state, people, and the addresses to paste there."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from broker.admin.changes import Desk, bad_form, change, find_done, not_found, write_down
from broker.admin.connection_form import is_foreign
from broker.admin.connection_reading import certificate_words
from broker.admin.connection_wizard import Kit, guide_of, kind_words
from broker.admin.names import ended_words
from broker.admin.sign_in_history import list_refused, list_sign_ins
from broker.audit.events import AuditEvent
from broker.directory.models import IdentityLink
from broker.federation.addresses import POSTED_ANSWERS
from broker.federation.connection_warnings import (
    ConnectionWarning,
    WarningCode,
    certificates_of,
    list_warnings,
    read_pasted,
)
from broker.tenants.models import Connection
from broker.tenants.snapshot import ConnectionView
from broker.tokens.cascade import GRANTS
from broker.tokens.reading import measure_reach, tokens_where_grants
from broker.tokens.switching_off import end_connection, switch_on
from broker.web.formatting import absolute_time, in_words
from idp_connectors.base import Connector, FollowsMetadata, SignsInByPassword, secret_fields

_TITLES = {
    AuditEvent.CONNECTION_DISABLED.value: "The connection was disabled.",
    AuditEvent.CONNECTION_ENABLED.value: "The connection was enabled.",
    AuditEvent.CONNECTION_CREATED.value: "The connection was saved, switched off.",
    AuditEvent.CONNECTION_CHANGED.value: "The connection was changed.",
}

_WARNINGS: dict[WarningCode, tuple[str, str]] = {
    "certificate_ends": (
        "The provider's signing certificate ends soon.",
        "Add the provider's next certificate beside it; both are accepted meanwhile.",
    ),
    "certificate_ended": (
        "The provider's signing certificate has ended.",
        "Sign-ins go by its key and still work. Ask the provider for its new certificate.",
    ),
    "own_certificate_ends": (
        "Our own certificate towards this provider ends soon.",
        "Publish the next one, bring it to the provider, then use it.",
    ),
    "metadata_failed": (
        "The provider's metadata could not be taken over.",
        "What was read before stays in use. See whether its address still answers.",
    ),
    "metadata_unsigned_change": (
        "The provider's metadata changed, and nobody we trust signed it.",
        "What was read before stays in use. Compare with the provider's console, then take it or refuse it.",
    ),
    "metadata_ends": (
        "The provider's metadata is about to end.",
        "The provider has to publish it anew.",
    ),
}


_LINKS: dict[WarningCode, tuple[str, str]] = {
    "certificate_ends": ("admin.edit_connection", "Edit the connection"),
    "certificate_ended": ("admin.edit_connection", "Edit the connection"),
    "own_certificate_ends": ("admin.connection_keys", "Our keys"),
    "metadata_failed": ("admin.connection_metadata", "The provider's metadata"),
    "metadata_unsigned_change": ("admin.connection_metadata", "Compare"),
    "metadata_ends": ("admin.connection_metadata", "The provider's metadata"),
}
"""The page on which something is done about a warning, and what a link to it says."""


_AT_WORDS: dict[WarningCode, str] = {
    "certificate_ends": "ends",
    "certificate_ended": "ended",
    "own_certificate_ends": "The last one ends",
    "metadata_failed": "Last good reading",
    "metadata_unsigned_change": "Last good reading",
    "metadata_ends": "Valid until",
}


def list_connections(desk: Desk, kit: Kit) -> list[dict[str, Any]]:
    """Return every connection of the tenant by name, as ``admin/connections.html`` shows it."""
    with desk.rt.database.read(desk.tenant.id) as session:
        facts = _facts(session, desk.tenant.id)
    ordered = sorted(desk.tenant.connections.values(), key=lambda one: (one.name.casefold(), one.slug))
    return [_words(one, facts.get(one.id, (None, 0)), kit) for one in ordered]


def get_connection(desk: Desk, connection_id: str) -> ConnectionView:
    """Return the tenant's connection in whatever state; raises ``Refusal(not_found)``."""
    connection = desk.tenant.connections.get(connection_id)
    if connection is None:
        raise not_found("connection")
    return connection


def connection_context(desk: Desk, connection_id: str, kit: Kit, done: str) -> dict[str, Any]:
    """Return the context of ``admin/connection.html``; raises ``Refusal(not_found)``."""
    connection = get_connection(desk, connection_id)
    connector = kit.connectors.get(connection.kind)
    with desk.rt.database.read(desk.tenant.id) as session:
        facts = _facts(session, desk.tenant.id).get(connection.id, (None, 0))
        core = session.connection()
        sign_ins = list_sign_ins(core, desk, connection)
        refused = list_refused(core, desk, connection, kit.side_of(connection))
        warnings = list_warnings(core, desk.tenant.id, connection, desk.now)
    return {
        "connection": _words(connection, facts, kit),
        "addresses": _addresses(desk, connection, kit),
        "settings": _settings(connection, connector),
        "certificates": [certificate_words(one, desk.now) for one in certificates_of(connection)],
        "has_keys": connection.kind in POSTED_ANSWERS,
        "has_metadata": isinstance(connector, FollowsMetadata),
        "warnings": [_warning_words(one) for one in warnings],
        "refused": refused,
        "sign_ins": sign_ins,
        "receipt": _find_receipt(desk, connection.id, done),
    }


def act_on_connection(desk: Desk, connection_id: str, action: str) -> None:
    """Disable a connection with all that came in through it, or enable it; raises ``Refusal``."""
    connection = get_connection(desk, connection_id)
    if action == "disable":
        _disable(desk, connection)
    elif action == "enable":
        _enable(desk, connection)
    else:
        raise bad_form("Choose one of the actions that the page offers.")


def _warning_words(warning: ConnectionWarning) -> dict[str, Any]:
    title, text = _WARNINGS[warning.code]
    endpoint, words = _LINKS[warning.code]
    told = {
        "detail": warning.detail,
        "at": warning.at,
        "at_words": _AT_WORDS[warning.code],
        "endpoint": endpoint,
        "link_words": words,
    }
    return {"title": title, "text": text, **told}


def _facts(session: Session, tenant_id: str) -> dict[str, tuple[int | None, int]]:
    """Return by connection when somebody last signed in, and how many people have."""
    people = {
        row[0]: row[1]
        for row in session.execute(
            select(IdentityLink.connection_id, func.count(IdentityLink.user_id.distinct()))
            .where(IdentityLink.tenant_id == tenant_id)
            .group_by(IdentityLink.connection_id)
        )
    }
    rows = session.execute(
        select(Connection.id, Connection.last_sign_in_at).where(Connection.tenant_id == tenant_id)
    )
    return {row[0]: (row[1], people.get(row[0], 0)) for row in rows}


def _words(connection: ConnectionView, facts: tuple[int | None, int], kit: Kit) -> dict[str, Any]:
    return {
        "connection_id": connection.id,
        "slug": connection.slug,
        "name": connection.name,
        "kind": connection.kind,
        "kind_words": kind_words(connection.kind, kit.connectors),
        "state": "enabled" if connection.is_active else "disabled",
        "last_sign_in_at": facts[0],
        "people_count": facts[1],
    }


def _addresses(desk: Desk, connection: ConnectionView, kit: Kit) -> list[dict[str, str]]:
    """Return what to paste into the provider's console, under the names of that console's fields."""
    # A directory is asked, and sends nobody back.
    if isinstance(kit.connectors.get(connection.kind), SignsInByPassword):
        return []
    guide = guide_of(desk.tenant, connection, kit.side_of(connection))
    return [
        {"label": give["what"], "url": give["url"], "console_field": give["label"]} for give in guide["gives"]
    ]


def _settings(connection: ConnectionView, connector: Connector | None) -> list[dict[str, str]]:
    """Return the connector's fields that are set, by their titles; never what the model calls secret."""
    domains = {"label": "Offered to people of", "value": ", ".join(sorted(connection.domains)) or "everybody"}
    if connector is None:
        return [domains]
    model = connector.config_model
    hidden = secret_fields(model) | {"certificates"}
    return [domains] + [
        {"label": info.title or name, "value": _value_words(connection.config[name])}
        for name, info in model.model_fields.items()
        if name not in hidden
        and connection.config.get(name) not in (None, "", [], {})
        and not (is_foreign(model, name, connection.preset) and connection.config[name] == info.default)
    ]


def _value_words(value: Any) -> str:
    if certificates := read_pasted(value):
        return ", ".join(f"{one.subject}, until {absolute_time(one.expires_at)}" for one in certificates)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={part}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(part) for part in value)
    return str(value)


def _disable(desk: Desk, connection: ConnectionView) -> None:
    if not connection.is_active:
        raise bad_form("This connection is disabled already.")
    owned = GRANTS.c.connection_id == connection.id
    with change(desk) as session:
        core = session.connection()
        tokens = tokens_where_grants(owned, desk.tenant.id)
        reach = measure_reach(core, desk.tenant.id, tokens, owned, desk.now, agent_id="")
        ended = end_connection(core, desk.tenant.id, connection.id, "connection_disabled", desk.now)
        counts = {
            "token_count": reach.tokens,
            "grant_count": reach.grants,
            "session_count": ended.sessions,
        }
        write_down(session, desk, AuditEvent.CONNECTION_DISABLED, target_id=connection.id, data=counts)


def _enable(desk: Desk, connection: ConnectionView) -> None:
    with change(desk) as session:
        if not switch_on(session.connection(), desk.tenant.id, "connection", connection.id, desk.now):
            raise bad_form("This connection is enabled already.")
        write_down(session, desk, AuditEvent.CONNECTION_ENABLED, target_id=connection.id)


def find_removal(desk: Desk, done: str) -> dict[str, str] | None:
    """Return what the list says after a connection was removed."""
    event = find_done(desk, done)
    if event is None or event.event != AuditEvent.CONNECTION_REMOVED:
        return None
    ended = ended_words(event)
    text = f"{ended} ended just now." if ended else "Nothing had to end."
    return {"title": f"The connection {event.data.get('slug', '')} was removed.", "text": text}


def _find_receipt(desk: Desk, connection_id: str, done: str) -> dict[str, str] | None:
    event = find_done(desk, done, target_id=connection_id)
    if event is None or event.event not in _TITLES:
        return None
    ended = ended_words(event)
    changed = [str(one).replace("_", " ") for one in event.data.get("fields", ())]
    text = {
        AuditEvent.CONNECTION_ENABLED.value: "People may sign in through it. What ended before stays ended.",
        AuditEvent.CONNECTION_CREATED.value: (
            "Nobody sees it on the sign-in page yet. Enable it when you have tried it."
        ),
        AuditEvent.CONNECTION_CHANGED.value: f"Changed: {in_words(changed)}." if changed else "",
    }.get(event.event, f"{ended} ended just now." if ended else "Nothing had to end.")
    return {"title": _TITLES[event.event], "text": text}

"""What administrators see and do of our own keys towards a SAML provider: publish, use, drop, hand over."""

import textwrap
from typing import Any

from broker.admin.changes import Desk, bad_form, change, find_done, not_found, write_down
from broker.admin.connection_reading import certificate_words
from broker.admin.connection_wizard import Kit
from broker.admin.connections import get_connection
from broker.audit.events import AuditEvent
from broker.federation.addresses import POSTED_ANSWERS, addresses_of
from broker.federation.service_keys import (
    OVERLAP_SECONDS,
    drop_former_keys,
    list_service_keys,
    publish_next_keys,
    use_next_keys,
)
from broker.tenants.snapshot import ConnectionView
from idp_connectors.base import read_certificate

_RECEIPTS = {
    "publish": ("The next keys are published.", "They stand in our metadata beside those in use."),
    "use": ("The next keys are in use.", "What is encrypted for the former ones is still opened."),
    "drop": ("The former keys are gone.", "Nothing opens any more what was encrypted for them."),
}


def keys_context(desk: Desk, kit: Kit, connection_id: str, done: str) -> dict[str, Any]:
    """Return the context of ``admin/connection_keys.html``; raises ``Refusal(not_found)``."""
    connection = _saml_connection(desk, connection_id)
    with desk.rt.database.core_read() as core:
        rows = list_service_keys(core, desk.tenant.id, connection.id)
    side = kit.side_of(connection)
    ready_at = max((row["created_at"] for row in rows if row["state"] == "next"), default=0) + OVERLAP_SECONDS
    return {
        "connection": {"connection_id": connection.id, "slug": connection.slug, "name": connection.name},
        "keys": [
            {**row, **certificate_words(read_certificate(row["certificate"]), desk.now)} for row in rows
        ],
        "states": {row["state"] for row in rows},
        "ready_at": ready_at,
        "is_ready": desk.now >= ready_at,
        "metadata_url": addresses_of(desk.tenant, connection).entity_id,
        "console": side.our_keys if side else "",
        "signs": bool(connection.config.get("sign_requests")),
        "signs_out": bool(connection.config.get("slo_url")),
        "encryption": str(connection.config.get("encryption", "off")),
        "receipt": _find_receipt(desk, connection.id, done),
    }


def act_on_keys(desk: Desk, connection_id: str, action: str, *, is_brought: bool) -> None:
    """Publish the next keys, use them or drop the former ones; raises ``Refusal``.

    ``is_brought`` says that the administrator has brought the next certificate to the provider, so that
    nobody has to wait until it reads our metadata.
    """
    connection = _saml_connection(desk, connection_id)
    with change(desk) as session:
        core, tenant_id = session.connection(), desk.tenant.id
        if action == "publish":
            number = publish_next_keys(core, desk.rt, tenant_id, connection.id, desk.now)
        elif action == "use":
            number = use_next_keys(core, tenant_id, connection.id, desk.now, before_overlap=is_brought)
        elif action == "drop":
            number = drop_former_keys(core, tenant_id, connection.id)
        else:
            raise bad_form("Choose one of the actions that the page offers.")
        told = {"number": number, "at_once": is_brought}
        write_down(
            session,
            desk,
            AuditEvent.CONNECTION_KEYS_CHANGED,
            target_id=connection.id,
            reason=action,
            data=told,
        )


def certificate_file(desk: Desk, connection_id: str, use: str, number: str) -> tuple[str, str]:
    """Return (file name, PEM) of one of our certificates, without a number of the one in use.

    Raises ``Refusal(not_found)``.
    """
    connection = _saml_connection(desk, connection_id)
    with desk.rt.database.core_read() as core:
        rows = [row for row in list_service_keys(core, desk.tenant.id, connection.id) if row["use"] == use]
    column = "number" if number else "state"
    found = next((row for row in rows if str(row[column]) == (number or "active")), None)
    if found is None:
        raise not_found("certificate")
    lines = textwrap.wrap(found["certificate"], 64)
    pem = "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])
    return f"{desk.tenant.slug}-{connection.slug}-{use}-{found['number']}.pem", pem


def _saml_connection(desk: Desk, connection_id: str) -> ConnectionView:
    connection = get_connection(desk, connection_id)
    if connection.kind not in POSTED_ANSWERS:
        raise not_found("keys")
    return connection


def _find_receipt(desk: Desk, connection_id: str, done: str) -> dict[str, str] | None:
    event = find_done(desk, done, target_id=connection_id)
    if event is None or event.event != AuditEvent.CONNECTION_KEYS_CHANGED or event.reason not in _RECEIPTS:
        return None
    title, text = _RECEIPTS[event.reason]
    return {"title": title, "text": text}

"""Changing a stored connection: its name, make, domains and settings; a secret left empty stays."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from broker.admin.changes import Desk, change, not_found, write_down
from broker.admin.connection_form import (
    FormValues,
    edit_fields,
    fill_edit,
    read_settings,
    secret_names,
)
from broker.admin.connection_reading import Reading, reading_context
from broker.admin.connection_wizard import Kit, domain_fault, kind_words, name_fault, read_domains
from broker.admin.connections import get_connection
from broker.admin.kept_secrets import keep, marked, restore
from broker.audit.events import AuditEvent
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.sealing import SealBroken
from broker.tenants.connections import open_secrets
from broker.tenants.models import Connection, ConnectionDomain
from broker.tenants.registry import save_connection, save_domains
from broker.tenants.rows import find_row
from broker.tenants.snapshot import ConnectionView
from idp_connectors.base import secret_fields

_CHANGED_MEANWHILE = (
    "Somebody else changed this connection while you were at it. Nothing was saved; what is below is yours, "
    "open the page again to see theirs."
)


def edit_context(
    desk: Desk,
    kit: Kit,
    connection_id: str,
    form: FormValues | None = None,
    errors: Mapping[str, str] | None = None,
    reading: Reading | None = None,
) -> dict[str, Any]:
    """Return the context of ``admin/connection_edit.html``, of the stored connection or of a sent form."""
    connection = get_connection(desk, connection_id)
    connector = kit.connectors[connection.kind]
    model, faults = connector.config_model, errors or {}
    sent = reading.form if reading else form
    values = read_settings(model, sent, list(model.model_fields)) if sent else connection.config
    needed, rest = edit_fields(model, values, readable_secrets(desk, connection.id), faults)
    kept = keep(desk, form, secret_names(model, None), connection.id, wrong=faults) if form else []
    domains = read_domains(sent.get("domains")) if sent else tuple(sorted(connection.domains))
    picked = sent.getlist("domain") if sent else sorted(connection.domains)
    return {
        **reading_context(desk, connector, form or FormValues({}), reading),
        "connection": {
            "connection_id": connection.id,
            "kind_words": kind_words(connection.kind, kit.connectors),
        },
        "name": sent.get("name") if sent else connection.name,
        "stored_name": connection.name,
        "preset": sent.get("preset") if sent else connection.preset,
        "presets": _makes(kit, connection.kind),
        "seen": sent.get("seen") if sent else stamp_of(connection),
        "domains": _domain_choices(desk, connection, picked),
        "new_domains": "\n".join(one for one in domains if one not in picked) if sent else "",
        "needed": marked(needed, kept),
        "rest": marked(rest, kept),
        "kept": kept,
        "errors": faults,
    }


def restore_form(desk: Desk, kit: Kit, connection_id: str, form: FormValues) -> FormValues:
    """Return the form with the secrets that were typed on an earlier showing of it."""
    connection = get_connection(desk, connection_id)
    model = kit.connectors[connection.kind].config_model
    return restore(desk, form, secret_names(model, None), connection.id)


def edit_connection(desk: Desk, kit: Kit, connection_id: str, form: FormValues) -> dict[str, str]:
    """Store what the form says and return nothing, or return what is wrong by field and store nothing."""
    connection = get_connection(desk, connection_id)
    model = kit.connectors[connection.kind].config_model
    stored = readable_secrets(desk, connection.id)
    filled = fill_edit(model, form, stored)
    domains = tuple(dict.fromkeys([*form.getlist("domain"), *read_domains(form.get("domains"))]))
    preset = form.get("preset")
    faults = {"name": name_fault(form.get("name").strip()), "domains": domain_fault(domains)}
    if preset and kit.find_side(preset, connection.kind) is None:
        faults["preset"] = "Choose one of the list."
    errors = {**{name: fault for name, fault in faults.items() if fault}, **filled.errors}
    if errors:
        return errors
    given = {"name": form.get("name").strip(), "preset": preset, "config": filled.given}
    rotated = [one for one in sorted(secret_fields(model)) if stored.get(one) != filled.given.get(one)]
    try:
        with change(desk) as session:
            _require_unchanged(session, desk, connection_id, form.get("seen"))
            row, made = save_connection(
                session, desk.rt, desk.tenant.id, connection.slug, given, kit.connectors, desk.now
            )
            moved = save_domains(session, row, domains)
            if made or moved:
                fields = [*(made.fields if made else ()), *(moved.fields if moved else ())]
                told = {"fields": _changed_fields(connection, row, fields), "rotated": rotated}
                write_down(session, desk, AuditEvent.CONNECTION_CHANGED, target_id=row.id, data=told)
    except Refusal as refusal:
        if refusal.code is not ErrorCode.BAD_CONFIGURATION:
            raise
        return {"": refusal.public}
    return {}


def stamp_of(connection: ConnectionView) -> str:
    """Return a word for the state that a form was made from, so that two editors do not undo each other."""
    return _stamp(connection.name, connection.preset, connection.config, connection.domains)


def readable_secrets(desk: Desk, connection_id: str) -> dict[str, str]:
    """Return a connection's opened secrets, none where they cannot be opened; for use at once."""
    with desk.rt.database.core_read() as core:
        try:
            return open_secrets(desk.rt, core, desk.tenant.id, connection_id)
        except SealBroken:
            return {}


def _require_unchanged(session: Session, desk: Desk, connection_id: str, seen: str) -> None:
    """Refuse a form that was made from an older state of the connection."""
    row = find_row(session, Connection, {"tenant_id": desk.tenant.id, "id": connection_id})
    if row is None:
        raise not_found("connection")
    domains = session.scalars(
        select(ConnectionDomain.domain).where(
            ConnectionDomain.tenant_id == desk.tenant.id, ConnectionDomain.connection_id == connection_id
        )
    )
    # Without this: the second of two administrators silently undoes what the first one changed.
    if _stamp(row.name, row.preset, row.config, domains) != seen:
        raise Refusal(ErrorCode.BAD_CONFIGURATION, _CHANGED_MEANWHILE, reason="changed_meanwhile")


def _stamp(name: str, preset: str, config: Mapping[str, Any], domains: Iterable[str]) -> str:
    state = orjson.dumps([name, preset, dict(config), sorted(domains)], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(state).hexdigest()


def _changed_fields(before: ConnectionView, row: Connection, columns: Iterable[str]) -> list[str]:
    """Return the names of what changed, settings by their own; never a value."""
    named = [column for column in columns if column not in ("config", "sealed_secrets")]
    both = before.config.keys() | row.config.keys()
    return sorted([*named, *(one for one in both if before.config.get(one) != row.config.get(one))])


def _makes(kit: Kit, kind: str) -> list[dict[str, str]]:
    makes = [{"preset": name, "title": one.title} for name, one in kit.presets.items() if kind in one.sides]
    return [{"preset": "", "title": "Not named"}, *makes]


def _domain_choices(desk: Desk, connection: ConnectionView, picked: Iterable[str]) -> list[dict[str, Any]]:
    """Return every domain of the tenant's connections, and which others each leads to."""
    chosen = set(picked)
    leads: dict[str, list[str]] = {domain: [] for domain in sorted(chosen)}
    for one in desk.tenant.connections.values():
        for domain in one.domains:
            names = leads.setdefault(domain, [])
            if one.id != connection.id:
                names.append(one.name)
    return [
        {"domain": domain, "is_picked": domain in chosen, "others": sorted(names)}
        for domain, names in sorted(leads.items())
    ]

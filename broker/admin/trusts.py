"""What administrators see of other parties, and do to them: make, change, switch off, remove."""

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from broker.admin.changes import Desk, bad_form, change, find_done, not_found, write_down
from broker.admin.trust_form import KIND_WORDS, read_trust_form, trust_fields, typed_fields
from broker.agents.models import Trust
from broker.agents.trusts.kinds import KINDS, Kind
from broker.agents.trusts.registry import Place, save_trust
from broker.audit.events import AuditEvent
from broker.kernel.errors import ErrorCode, Refusal
from broker.tokens.cascade import end_grants_of

_RECEIPTS = {
    AuditEvent.TRUST_CREATED.value: "{name} was made.",
    AuditEvent.TRUST_CHANGED.value: "{name} was changed.",
    AuditEvent.TRUST_DISABLED.value: "{name} was switched off.",
    AuditEvent.TRUST_ENABLED.value: "{name} was switched on.",
    AuditEvent.TRUST_REMOVED.value: "{name} was removed.",
}


def trusts_context(desk: Desk, done: str) -> dict[str, Any]:
    """Return the context of ``admin/trusts.html``."""
    with desk.rt.database.read(desk.tenant.id) as session:
        rows = session.scalars(
            select(Trust)
            .where(Trust.tenant_id == desk.tenant.id)
            .order_by(Trust.kind, Trust.name, Trust.slug)
        )
        trusts = [_words(row) for row in rows]
    kinds = [{"kind": kind, "name": name, "text": text} for kind, (name, text) in KIND_WORDS.items()]
    return {"trusts": trusts, "kinds": kinds, "receipt": _receipt(desk, done)}


def trust_form_context(desk: Desk, trust_id: str, kind: str) -> dict[str, Any]:
    """Return the context of ``admin/trust.html`` for a stored trust, or a new one of that kind.

    Raises ``Refusal(not_found)``.
    """
    stored: dict[str, Any] | None = None
    if trust_id:
        with desk.rt.database.read(desk.tenant.id) as session:
            row = _get(session, desk, trust_id)
            stored, kind = {**_words(row), "config": row.config}, row.kind
    if kind not in KINDS:
        raise not_found("trust_kind")
    shown = stored["config"] if stored else {}
    return {
        "trust": stored,
        "kind": kind,
        "kind_name": KIND_WORDS[kind][0],
        "kind_text": KIND_WORDS[kind][1],
        "fields": trust_fields(cast(Kind, kind), shown),
        "slug_typed": "",
        "name_typed": "",
        "error": "",
    }


def refused_form(desk: Desk, kind: str, typed: Mapping[str, Any], refusal: Refusal) -> dict[str, Any]:
    """Return the context of ``admin/trust.html`` with what was typed and why it was not saved."""
    slug = str(typed.get("slug", ""))[:63]
    with desk.rt.database.read(desk.tenant.id) as session:
        known = session.scalar(
            select(Trust.id).where(Trust.tenant_id == desk.tenant.id, Trust.slug == slug, Trust.kind == kind)
        )
    context = trust_form_context(desk, known or "", kind)
    return {
        **context,
        "fields": typed_fields(cast(Kind, kind), typed),
        "slug_typed": slug,
        "name_typed": str(typed.get("name", ""))[:200],
        "error": refusal.public,
    }


def put_trust(desk: Desk, kind: str, form: Mapping[str, Any], lists: Mapping[str, list[str]]) -> None:
    """Make or change a trust as the form says; raises ``Refusal`` (``bad_form``, ``bad_configuration``)."""
    if kind not in KINDS:
        raise bad_form("Choose one of the kinds that the page offers.")
    given = {
        "kind": kind,
        "name": str(form.get("name", "")).strip(),
        "config": read_trust_form(cast(Kind, kind), form, lists),
    }
    with change(desk) as session:
        place = Place(desk.tenant.id, desk.tenant.issuer, desk.now)
        row, done = save_trust(session, place, str(form.get("slug", "")).strip(), given)
        if done is not None:
            event = AuditEvent.TRUST_CREATED if done.action == "create" else AuditEvent.TRUST_CHANGED
            write_down(session, desk, event, target_id=row.id, data=_data(row))


def switch_trust(desk: Desk, trust_id: str, action: str) -> None:
    """Switch a trust off or on, or remove it; raises ``Refusal`` (``not_found``, ``bad_form``).

    Nothing more comes in by one that is off. What a workload's client holds ends with it; access tokens of
    people that came by an assertion run out within the hour.
    """
    with change(desk) as session:
        row = _get(session, desk, trust_id)
        if action == "enable":
            row.state, event = "active", AuditEvent.TRUST_ENABLED
        elif action == "disable":
            row.state, event = "disabled", AuditEvent.TRUST_DISABLED
        elif action == "remove":
            session.delete(row)
            event = AuditEvent.TRUST_REMOVED
        else:
            raise bad_form("Choose one of the actions that the page offers.")
        data = _data(row)
        if row.kind == "workload" and action != "enable":
            ended = end_grants_of(
                session.connection(),
                desk.tenant.id,
                "trust_ended",
                desk.now,
                client_id=row.config["client"],
            )
            data["grant_count"] = ended.grants
        write_down(session, desk, event, target_id=row.id, data=data)


def is_about_the_form(refusal: Refusal) -> bool:
    """Say whether a refusal is to be shown beside the form that caused it."""
    return refusal.code in (ErrorCode.BAD_CONFIGURATION, ErrorCode.BAD_FORM)


def _get(session: Session, desk: Desk, trust_id: str) -> Trust:
    row = session.scalar(select(Trust).where(Trust.tenant_id == desk.tenant.id, Trust.id == trust_id))
    if row is None:
        raise not_found("trust")
    return row


def _words(row: Trust) -> dict[str, Any]:
    config = row.config
    return {
        "trust_id": row.id,
        "slug": row.slug,
        "name": row.name,
        "kind": row.kind,
        "kind_name": KIND_WORDS[row.kind][0],
        "state": row.state,
        "with": str(config.get("issuer") or config.get("connection", "")),
        "who": config.get("agents") or list(config.get("clients", ())) or [config.get("client", "")],
        "scopes": list(config.get("scopes", ())),
    }


def _data(row: Trust) -> dict[str, Any]:
    return {
        "trust": row.slug,
        "name": row.name,
        "kind": row.kind,
        "scopes": list(row.config.get("scopes", ())),
    }


def _receipt(desk: Desk, done: str) -> str:
    event = find_done(desk, done)
    if event is None or event.event not in _RECEIPTS:
        return ""
    return _RECEIPTS[event.event].format(name=event.data.get("name", "It"))

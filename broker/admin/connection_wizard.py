"""Adding a connection, step by step: which provider, for whom, what to do there, what to bring back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from broker.admin.changes import Desk, change, not_found, write_down
from broker.admin.connection_form import FormValues, carried, fill_new, new_fields, secret_names
from broker.admin.connection_reading import Reading, reading_context
from broker.admin.kept_secrets import keep, marked, restore
from broker.audit.events import AuditEvent
from broker.federation.addresses import POSTED_ANSWERS, addresses_of
from broker.kernel.errors import ErrorCode, Refusal
from broker.tenants.models import Connection
from broker.tenants.registry import is_domain, save_connection, save_domains
from broker.tenants.rows import find_row
from broker.tenants.snapshot import SLUG, ConnectionView, TenantSnapshot
from idp_connectors.base import Connector
from idp_connectors.presets.preset import Given, Preset, Side

KIND_WORDS: Mapping[str, str] = {
    "oidc": "OpenID Connect",
    "saml": "SAML 2.0",
    "ldap": "LDAP / Active Directory",
}
_GIVEN_WORDS = {
    "callback_url": "Where answers go",
    "entity_id": "Our entity ID",
    "base_url": "Our address",
    "sign_out_url": "Where sign-outs are told",
    "signed_out_url": "Where people go after signing out",
}
_USUAL_GIVES: Mapping[str, list[tuple[str, Given, bool]]] = {
    "oidc": [
        ("Redirect URI", "callback_url", True),
        ("Back-channel logout URI", "sign_out_url", False),
        ("Post-logout redirect URI", "signed_out_url", False),
    ],
    "saml": [
        ("ACS URL", "callback_url", True),
        ("Entity ID", "entity_id", True),
        ("Single logout service (HTTP-Redirect)", "sign_out_url", False),
    ],
}
"""What to copy where no preset says how the console calls it: name of the field, address, whether needed."""
_MAX_DOMAINS = 200
GENERIC = "generic"
"""The preset of providers that no other preset is about."""


@dataclass(frozen=True, slots=True)
class Kit:
    """What this broker can connect to: connectors by kind, makes of provider by name."""

    connectors: Mapping[str, Connector]
    presets: Mapping[str, Preset]

    def find_side(self, preset: str, kind: str) -> Side | None:
        """Return what is known of a make of provider by one protocol, or None."""
        found = self.presets.get(preset)
        return found.sides.get(kind) if found else None

    def side_of(self, connection: ConnectionView) -> Side | None:
        """Return what is known of a connection's provider; of an unnamed make, what holds for any."""
        return self.find_side(connection.preset or GENERIC, connection.kind)


@dataclass(frozen=True, slots=True)
class Draft:
    """A connection that is being added; nothing of it is stored before its last step."""

    preset: str
    kind: str
    name: str
    slug: str
    domains: tuple[str, ...]


def kind_words(kind: str, connectors: Mapping[str, Connector]) -> str:
    """Return what a kind of connection is called, by its connector's model if we do not know it."""
    if kind in KIND_WORDS or kind not in connectors:
        return KIND_WORDS.get(kind, kind)
    return str(connectors[kind].config_model.model_config.get("title") or kind)


def list_offers(kit: Kit) -> list[dict[str, Any]]:
    """Return what can be connected, as ``admin/connection_new.html`` shows it: makes, then bare protocols."""
    offers = [
        {
            "title": preset.title,
            "preset": name,
            "kinds": [
                {"kind": kind, "words": kind_words(kind, kit.connectors)}
                for kind in preset.sides
                if kind in kit.connectors
            ],
        }
        for name, preset in kit.presets.items()
    ]
    bare = [{"kind": kind, "words": kind_words(kind, kit.connectors)} for kind in kit.connectors]
    offers.append({"title": "Every setting by hand", "preset": "", "kinds": bare})
    return [offer for offer in offers if offer["kinds"]]


def read_draft(desk: Desk, kit: Kit, form: FormValues) -> Draft:
    """Return the draft that a form or address names; raises ``Refusal(not_found)`` for unknown kinds."""
    preset, kind = form.get("preset"), form.get("kind")
    if kind not in kit.connectors or (preset and kit.find_side(preset, kind) is None):
        raise not_found("kind_of_connection")
    is_known = preset not in ("", GENERIC)
    title = kit.presets[preset].title if is_known else kind_words(kind, kit.connectors)
    return Draft(
        preset=preset,
        kind=kind,
        name=form.get("name", title).strip(),
        slug=form.get("slug", _free_slug(desk.tenant, preset if is_known else kind)).strip().lower(),
        domains=read_domains(form.get("domains")),
    )


def restore_form(desk: Desk, kit: Kit, draft: Draft, form: FormValues) -> FormValues:
    """Return the form with the secrets that were typed on an earlier showing of it."""
    side = kit.find_side(draft.preset, draft.kind)
    return restore(desk, form, secret_names(kit.connectors[draft.kind].config_model, side), _place(draft))


def read_domains(text: str) -> tuple[str, ...]:
    """Return the e-mail domains in a text, one a line or between commas, in lower case."""
    words = text.replace(",", "\n").split()
    return tuple(dict.fromkeys(word.strip("@").lower() for word in words))


def domain_fault(domains: tuple[str, ...]) -> str:
    """Return what is wrong with these domains, or an empty string."""
    odd = next((one for one in domains if not is_domain(one)), None)
    if odd is not None:
        return f"“{odd[:80]}” is not a domain, such as corp.example."
    return "These are more domains than one connection can have." if len(domains) > _MAX_DOMAINS else ""


def name_fault(name: str) -> str:
    """Return what is wrong with a connection's name, or an empty string."""
    is_right = name and len(name) <= 200 and name.isprintable()
    return "" if is_right else "A name has 1 to 200 characters on one line."


def draft_faults(desk: Desk, draft: Draft) -> dict[str, str]:
    """Return what is wrong with who the connection is for, by field."""
    faults = {"name": name_fault(draft.name), "domains": domain_fault(draft.domains)}
    if not SLUG.fullmatch(draft.slug):
        faults["slug"] = "Use lower-case letters, digits and inner hyphens, at most 63."
    elif desk.tenant.find_connection(draft.slug) is not None:
        faults["slug"] = "Another connection has this word in its address already."
    return {name: fault for name, fault in faults.items() if fault}


def name_context(
    desk: Desk, kit: Kit, draft: Draft, form: FormValues, errors: Mapping[str, str]
) -> dict[str, Any]:
    """Return the context of ``admin/connection_name.html``."""
    model, side = kit.connectors[draft.kind].config_model, kit.find_side(draft.preset, draft.kind)
    return {
        "draft": draft,
        "made_by": _made_by(kit, draft),
        "base": f"{desk.tenant.issuer}/{draft.kind}/",
        "carried": [
            *carried(model, side, form),
            *keep(desk, form, secret_names(model, side), _place(draft)),
        ],
        "errors": errors,
    }


def setup_context(
    desk: Desk,
    kit: Kit,
    draft: Draft,
    form: FormValues,
    errors: Mapping[str, str],
    reading: Reading | None = None,
) -> dict[str, Any]:
    """Return the context of ``admin/connection_setup.html``."""
    side, connector = kit.find_side(draft.preset, draft.kind), kit.connectors[draft.kind]
    model = connector.config_model
    filled = reading.form if reading else form
    brought, rest = new_fields(model, side, filled, errors, make=draft.preset)
    kept = keep(desk, form, secret_names(model, side), _place(draft), wrong=errors)
    return {
        **reading_context(desk, connector, form, reading),
        "draft": draft,
        "made_by": _made_by(kit, draft),
        "guide": guide_of(desk.tenant, _as_view(draft), side),
        "brought": marked(brought, kept),
        "rest": marked(rest, kept),
        "kept": kept,
        "errors": errors,
    }


def guide_of(tenant: TenantSnapshot, connection: ConnectionView, side: Side | None) -> dict[str, Any]:
    """Return what to do in the provider's console: copy fields by the console's words, steps, advice."""
    ours = addresses_of(tenant, connection)
    values = {**asdict(ours), "base_url": tenant.issuer}
    if side is not None:
        gives = [(give.console, give.value, give.is_required) for give in side.gives]
    else:
        gives = _USUAL_GIVES.get(connection.kind, [])
    return {
        "gives": [
            {"label": console, "what": _GIVEN_WORDS[name], "url": values[name], "is_required": is_required}
            for console, name, is_required in gives
        ],
        "metadata_url": ours.entity_id if connection.kind in POSTED_ANSWERS else "",
        "steps": list(side.steps) if side else [],
        "advice": side.groups.advice if side else "",
        "subject_why": side.subject_why if side else "",
        "subject_is_weak": bool(side and side.subject_is_weak),
    }


def create_connection(desk: Desk, kit: Kit, draft: Draft, form: FormValues) -> tuple[str, dict[str, str]]:
    """Store the connection, switched off, and return its id, or what is wrong by field and no id.

    It is off until it was tried or somebody enables it. Without this: a half-filled connection would be
    offered to everybody on the sign-in page.
    """
    filled = fill_new(kit.connectors[draft.kind].config_model, kit.find_side(draft.preset, draft.kind), form)
    errors = {**draft_faults(desk, draft), **filled.errors}
    if errors:
        return "", errors
    given = {"kind": draft.kind, "name": draft.name, "preset": draft.preset, "config": filled.given}
    try:
        with change(desk) as session:
            if find_row(session, Connection, {"tenant_id": desk.tenant.id, "slug": draft.slug}) is not None:
                return "", {"slug": "Another connection has this word in its address already."}
            row, _ = save_connection(
                session, desk.rt, desk.tenant.id, draft.slug, given, kit.connectors, desk.now,
                state="disabled",
            )  # fmt: skip
            save_domains(session, row, draft.domains)
            told = {"kind": draft.kind, "preset": draft.preset, "slug": draft.slug}
            write_down(session, desk, AuditEvent.CONNECTION_CREATED, target_id=row.id, data=told)
            return row.id, {}
    except Refusal as refusal:
        if refusal.code is not ErrorCode.BAD_CONFIGURATION:
            raise
        return "", {"": refusal.public}


def _place(draft: Draft) -> str:
    return f"new/{draft.kind}/{draft.preset}"


def _made_by(kit: Kit, draft: Draft) -> dict[str, str]:
    title = kit.presets[draft.preset].title if draft.preset not in ("", GENERIC) else ""
    return {"title": title, "kind_words": kind_words(draft.kind, kit.connectors)}


def _free_slug(tenant: TenantSnapshot, wanted: str) -> str:
    names = (wanted, *(f"{wanted}-{number}" for number in range(2, 100)))
    return next((name for name in names if tenant.find_connection(name) is None), "")


def _as_view(draft: Draft) -> ConnectionView:
    return ConnectionView(
        id="", slug=draft.slug, kind=draft.kind, name=draft.name, state="disabled", cutoff_at=0, config={},
        domains=frozenset(draft.domains), preset=draft.preset,
    )  # fmt: skip

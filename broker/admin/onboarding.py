"""The tenant's policy for clients that introduce themselves: shown in words, changed in one form."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import select, update

from broker.admin.changes import Desk, bad_form, change, find_done, write_down
from broker.admin.connection_form import FormValues
from broker.agents.client_documents import is_admitted, is_document_id
from broker.agents.models import ClientRegistration
from broker.agents.snapshot import AgentsSnapshot, load_agents
from broker.agents.taking_back import narrow_to_policy
from broker.audit.events import AuditEvent
from broker.directory.roles import load_roles
from broker.kernel.errors import Refusal
from broker.oauth.client_changes import end_what_it_holds
from broker.oauth.grants import GRANTS
from broker.tenants.models import Tenant
from broker.tenants.onboarding import OnboardingPolicy
from broker.tenants.registry import save_tenant
from broker.tenants.settings import parse_settings

_TEMPLATE_LISTS = ("scopes", "roles", "resources")


def policy_context(
    desk: Desk, form: FormValues | None = None, error: str = "", done: str = ""
) -> dict[str, Any]:
    """Return the context of ``admin/onboarding.html``: the stored policy, or the form that was refused."""
    known = load_agents(desk.rt, desk.tenant.id)
    stored = asdict(desk.tenant.settings.onboarding)
    policy = stored if form is None else {**stored, **_given(form)}
    policy["template"] = {**stored["template"], **policy["template"]}
    return {
        "policy": policy,
        "error": error,
        "receipt": _find_receipt(desk, done),
        "agents": sorted(
            ({"slug": one.slug, "name": one.name} for one in known.agents.values()),
            key=lambda one: one["name"].casefold(),
        ),
        "resources": _resources(known),
        "roles": sorted(load_roles(desk.rt, desk.tenant.id).role_scopes),
        "grant_types": list(GRANTS),
    }


def save_policy(desk: Desk, form: FormValues) -> str:
    """Store the policy that a form says; returns what is wrong with it, empty when it was stored.

    What is no longer admitted ends at once, and documents are read again soon, so that every client is held
    to the new limits.
    """
    given = _given(form)
    try:
        policy = _checked(given, load_agents(desk.rt, desk.tenant.id))
    except Refusal as refusal:
        return refusal.public
    with change(desk) as session:
        row = session.scalar(select(Tenant).where(Tenant.id == desk.tenant.id))
        stored = dict(row.settings) if row is not None else {}
        before = stored.get("onboarding", {})
        stored["onboarding"] = _differing(policy)
        save_tenant(session, desk.tenant.slug, {"settings": stored}, desk.now)
        session.execute(
            update(ClientRegistration)
            .where(ClientRegistration.tenant_id == desk.tenant.id, ClientRegistration.source == "cimd")
            .values(refresh_at=desk.now)
            .execution_options(synchronize_session=False)
        )
        narrow_to_policy(session, desk.tenant.id, policy)
        ended = 0
        for client_id in load_agents(desk.rt, desk.tenant.id).clients:
            if is_document_id(client_id, may_use_loopback=True) and not is_admitted(policy, client_id):
                ended += end_what_it_holds(
                    session, desk.tenant.id, client_id, "client_not_admitted", desk.now
                )
        write_down(
            session,
            desk,
            AuditEvent.TENANT_CHANGED,
            target_id=desk.tenant.id,
            reason="onboarding",
            data={
                "fields": sorted(
                    name
                    for name in {*before, *stored["onboarding"]}
                    if before.get(name) != stored["onboarding"].get(name)
                ),
                "cimd": policy.cimd,
                "registration": policy.registration,
                "grants_ended": ended,
            },
        )
    return ""


def _given(form: FormValues) -> dict[str, Any]:
    template: dict[str, Any] = {name: tuple(form.getlist(name)) for name in _TEMPLATE_LISTS}
    for name in ("agent", "owner", "contact_name", "contact_email"):
        template[name] = form.get(name).strip()
    for name in ("ttl_seconds", "max_depth", "expires_in_days"):
        template[name] = _number(form.get(name))
    return {
        "cimd": form.get("cimd"),
        "cimd_listed": tuple(dict.fromkeys(form.get("cimd_listed").split())),
        "registration": form.get("registration"),
        "registration_quarantine": form.get("registration_quarantine") == "on",
        "grant_types": tuple(form.getlist("grant_types")),
        "changed_client": form.get("changed_client"),
        "max_clients": _number(form.get("max_clients")),
        "template": template,
    }


def _checked(given: Mapping[str, Any], known: AgentsSnapshot) -> OnboardingPolicy:
    policy = parse_settings({"onboarding": given}).onboarding
    template = policy.template
    admits = policy.cimd != "off" or policy.registration == "open"
    names = {one.slug for one in known.agents.values()}
    if template.agent and template.agent not in names:
        raise bad_form("The agent that they are to act as does not exist.")
    if policy.cimd == "listed" and not policy.cimd_listed:
        raise bad_form("List a host or an address, or admit nobody by address.")
    if any("/" in one and "://" not in one for one in policy.cimd_listed):
        raise bad_form("A listed entry is a host name, or a whole address that begins with https://.")
    needs_contact = admits and not template.agent and template.owner == "contact"
    if needs_contact and not (template.contact_name and "@" in template.contact_email):
        raise bad_form("Name somebody who answers for such agents, with an e-mail address.")
    return policy


def _differing(policy: OnboardingPolicy) -> dict[str, Any]:
    """Return only what differs from the defaults, as it is stored."""
    default, given = asdict(OnboardingPolicy()), asdict(policy)
    template = {
        name: value for name, value in given["template"].items() if value != default["template"][name]
    }
    names = [field.name for field in fields(OnboardingPolicy) if field.name != "template"]
    found = {name: given[name] for name in names if given[name] != default[name]}
    stored = {**found, "template": template} if template else found
    return {name: _plain(value) for name, value in stored.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else -1


def _resources(known: AgentsSnapshot) -> list[dict[str, Any]]:
    return [
        {
            "identifier": one.identifier,
            "name": one.name,
            "scopes": [
                {"name": name, "sentence": scope.description, "kind": scope.effect}
                for name, scope in sorted(one.scopes.items())
            ],
        }
        for one in sorted(known.resources.values(), key=lambda one: one.name.casefold())
    ]


def _find_receipt(desk: Desk, done: str) -> dict[str, str] | None:
    event = find_done(desk, done)
    if event is None or event.event != AuditEvent.TENANT_CHANGED or event.reason != "onboarding":
        return None
    ended = int(event.data.get("grants_ended", 0))
    text = "It counts from now on."
    return {
        "title": "The policy was saved.",
        "text": f"{text} What is no longer admitted ended." if ended else text,
    }

"""The tenant at a glance: what it holds, what needs somebody's attention, what happened lately."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, func, select

from broker.admin.changes import Desk
from broker.admin.clients import changed_lately, count_waiting
from broker.admin.names import list_moments
from broker.agents.snapshot import AgentsSnapshot, AgentView, load_agents
from broker.audit.reading import EventFilter
from broker.directory.models import GroupSnapshot, User
from broker.directory.roles import load_roles
from broker.federation.connection_warnings import certificates_of
from broker.tenants.models import Tenant
from broker.tokens.reading import count_live_tokens
from broker.web.formatting import absolute_time, count, in_words

SOON_SECONDS = 30 * 86400
"""What ends within thirty days is shown before it does."""

LATELY_SECONDS = 7 * 86400
"""What changed within a week is told."""

_NAMES_SHOWN = 3
_WELL_KNOWN = (
    ("Agent discovery", "/.well-known/agent-broker-configuration"),
    ("OpenID Connect discovery", "/.well-known/openid-configuration"),
    ("Signing keys (JWKS)", "/jwks"),
)


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that needs attention; ``endpoint`` is the page where it can be looked at, "" for none."""

    tone: Literal["caution", "bad"]
    title: str
    text: str
    endpoint: str = ""
    action_label: str = ""


@dataclass(frozen=True, slots=True)
class Count:
    """A number of the tenant and the page that lists what it counts."""

    label: str
    value: int
    endpoint: str


def overview_context(desk: Desk) -> dict[str, Any]:
    """Return the context of ``admin/overview.html``; pages are named by endpoint, for ``page_of``."""
    known = load_agents(desk.rt, desk.tenant.id)
    with desk.rt.database.core_read() as connection:
        created_at = connection.execute(select(Tenant.created_at).where(Tenant.id == desk.tenant.id)).scalar()
        history = list_moments(connection, desk, EventFilter(), limit=10)
        counts = _counts(connection, desk, known)
        people_without_groups = _incomplete(connection, desk.tenant.id)
        changed = changed_lately(connection, desk.tenant.id, desk.now - LATELY_SECONDS)
    return {
        "tenant": {
            "name": desk.tenant.name,
            "slug": desk.tenant.slug,
            "issuer": desk.tenant.issuer,
            "state": desk.tenant.state,
            "created_at": created_at,
        },
        "links": [{"label": label, "url": desk.tenant.issuer + path} for label, path in _WELL_KNOWN],
        "counts": counts,
        "attention": [
            *_about_connections(desk),
            *_about_agents(desk, known),
            *_about_clients(known, changed),
            *_about_roles(desk, people_without_groups),
        ],
        "history": history,
    }


def _counts(connection: Connection, desk: Desk, known: AgentsSnapshot) -> list[Count]:
    people = connection.execute(
        select(func.count()).select_from(User).where(User.tenant_id == desk.tenant.id)
    ).scalar_one()
    live = sum(one.is_active(desk.now) for one in known.agents.values())
    return [
        Count("active agents", live, "admin.agents"),
        Count("live tokens", count_live_tokens(connection, desk.tenant.id, desk.now), "admin.agents"),
        Count("people", people, "admin.people"),
        Count("connections", len(desk.tenant.connections), "admin.connections"),
        Count("resources", len(known.resources), "admin.resources"),
    ]


def _about_connections(desk: Desk) -> Iterator[Notice]:
    page = ("admin.connections", "Connections")
    connections = desk.tenant.connections.values()
    if not any(one.is_active for one in connections):
        yield Notice("bad", "Nobody can sign in.", "No identity provider is connected and enabled.", *page)
    for one in connections:
        if not one.is_active:
            yield Notice(
                "caution",
                f"{one.name} is disabled.",
                "Nobody signs in through it until it is enabled.",
                *page,
            )
        for certificate in certificates_of(one):
            ends = certificate.expires_at
            if ends <= desk.now:
                text = f"It ended on {absolute_time(ends)}. Put the provider's new one beside it."
                yield Notice("bad", f"A signing certificate of {one.name} has run out.", text, *page)
            elif ends <= desk.now + SOON_SECONDS:
                text = f"It ends on {absolute_time(ends)}. Put the provider's new one beside it before."
                yield Notice("caution", f"A signing certificate of {one.name} ends soon.", text, *page)


def _about_agents(desk: Desk, known: AgentsSnapshot) -> Iterator[Notice]:
    page = ("admin.agents", "Agents")
    agents = sorted(known.agents.values(), key=lambda one: one.name.casefold())
    working = [one for one in agents if one.state == "active"]
    expired = [one for one in working if one.expires_at <= desk.now]
    ending = [one for one in working if desk.now < one.expires_at <= desk.now + SOON_SECONDS]
    stopped = [one for one in agents if one.state == "suspended"]
    if expired:
        text = "They get no tokens until the declaration gives them a later end."
        yield Notice("bad", f"The registration of {_list(expired)} has run out.", text, *page)
    if ending:
        text = "Look at them again and give those that are still needed a later end."
        yield Notice("caution", f"The registration of {_list(ending)} ends within 30 days.", text, *page)
    if stopped:
        yield Notice("caution", f"Suspended: {_list(stopped)}.", "Revive or kill what was stopped.", *page)


def _about_clients(known: AgentsSnapshot, changed: list[str]) -> Iterator[Notice]:
    page = ("admin.clients", "Clients")
    waiting = count_waiting(known)
    if waiting:
        text = "They may do nothing until you release or refuse them."
        yield Notice("caution", f"{count(waiting, 'application')} waiting for you.", text, *page)
    if changed:
        names = [view.name for one in changed if (view := known.clients.get(one)) is not None]
        text = "What it held was dealt with as your policy says; look whether you still want it."
        if names:
            title = f"Says something else of itself since this week: {in_words(names[:_NAMES_SHOWN])}."
            yield Notice("caution", title, text, *page)


def _about_roles(desk: Desk, incomplete: int) -> Iterator[Notice]:
    book = load_roles(desk.rt, desk.tenant.id)
    given = {rule.role for rule in book.rules}
    loose = sorted(book.role_scopes.keys() - given)
    if loose:
        text = "Add a rule from a group, or remove what is not needed."
        yield Notice(
            "caution", f"No group gives {in_words(loose[:_NAMES_SHOWN])}.", text, "admin.roles", "Roles"
        )
    if incomplete:
        yield Notice(
            "caution",
            f"The groups of {count(incomplete, 'person', 'people')} are not complete.",
            "Incomplete groups grant nothing new until the identity provider sends all of them.",
            "admin.people",
            "People",
        )


def _list(agents: list[AgentView]) -> str:
    names = [one.name for one in agents[:_NAMES_SHOWN]]
    more = len(agents) - len(names)
    return in_words([*names, f"{more} more"] if more else names)


def _incomplete(connection: Connection, tenant_id: str) -> int:
    return connection.execute(
        select(func.count(GroupSnapshot.user_id.distinct())).where(
            GroupSnapshot.tenant_id == tenant_id, GroupSnapshot.state.not_in(("complete", "absent"))
        )
    ).scalar_one()

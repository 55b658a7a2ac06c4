"""Which scopes each agent could get for one person now, by the same rule that will mint."""

from collections.abc import Iterable
from dataclasses import dataclass

from broker.admin.changes import Desk
from broker.agents.snapshot import AgentsSnapshot, AgentView, ClientView, ResourceView, load_agents
from broker.directory.roles import LiveRoles
from broker.policy.narrowing import narrow
from broker.policy.values import Actor, Delegated, Denial, Parent, Wish

MAX_AGENTS = 200
"""Agents that one page computes; a tenant with more is told so."""

_OWN_GRANT = "client_credentials"


@dataclass(frozen=True, slots=True)
class AgentReach:
    """What one agent could get for the person at one resource, and what is withheld and by which limit."""

    agent: AgentView
    resource: ResourceView
    scopes: frozenset[str]
    withheld: tuple[tuple[str, str], ...]


def reach_for_person(desk: Desk, live: LiveRoles) -> tuple[list[AgentReach], int]:
    """Return what the tenant's active agents could get if the person agreed to everything, and how many.

    Nothing of it is granted yet: the person's consent and each request narrow it further.
    """
    known = load_agents(desk.rt, desk.tenant.id)
    agents = sorted(
        (one for one in known.agents.values() if one.is_active(desk.now)),
        key=lambda one: (one.name.casefold(), one.id),
    )
    clients: dict[str, list[ClientView]] = {}
    for client in known.clients.values():
        if client.is_active and client.agent_id and client.grant_types - {_OWN_GRANT}:
            clients.setdefault(client.agent_id, []).append(client)
    found = [
        reach
        for agent in agents[:MAX_AGENTS]
        for resource in _resources_of(agent, known)
        if (reach := _reach(desk, agent, clients.get(agent.id, []), resource, live)) is not None
    ]
    return found, len(agents)


def _resources_of(agent: AgentView, known: AgentsSnapshot) -> list[ResourceView]:
    found = (known.resource(identifier) for identifier in sorted(agent.resources))
    return [one for one in found if one is not None and one.is_active]


def _reach(
    desk: Desk, agent: AgentView, clients: Iterable[ClientView], resource: ResourceView, live: LiveRoles
) -> AgentReach | None:
    """Return what the agent could get there by any of its clients, None if it has none for people."""
    granted: set[str] = set()
    withheld: dict[str, str] = {}
    has_client = False
    for client in clients:
        has_client = True
        outcome = narrow(
            parent=_everything(agent, resource, live),
            actor=Actor(desk.tenant.issuer, agent.id),
            agent=agent.ceiling,
            client=client.scopes,
            resource=resource.limits,
            wish=Wish(scopes=frozenset(resource.scopes), resource=resource.identifier),
            live_roles=live.roles,
            role_scopes=live.role_scopes,
            role_gated=live.role_gated,
            tenant=desk.tenant.settings.limits,
            now=desk.now,
        )
        if isinstance(outcome, Delegated):
            granted |= outcome.scopes
            withheld |= {one.value: one.by for one in outcome.dropped if one.kind == "scope"}
        else:
            withheld |= {scope: _first_limit(scope, agent, client, outcome) for scope in resource.scopes}
    if not has_client:
        return None
    left = tuple(sorted((scope, by) for scope, by in withheld.items() if scope not in granted))
    return AgentReach(agent, resource, frozenset(granted), left)


def _first_limit(scope: str, agent: AgentView, client: ClientView, denial: Denial) -> str:
    """Return which limit took the scope where nothing at all was left, else the reason of the denial."""
    if denial.reason != "nothing_left":
        return denial.reason
    if scope not in agent.scopes:
        return "agent"
    return "role" if scope in client.scopes else "client"


def _everything(agent: AgentView, resource: ResourceView, live: LiveRoles) -> Parent:
    """Return the consent of a person who agreed to all that the resource offers."""
    return Parent.agreed(
        agent_id=agent.id,
        scopes=frozenset(resource.scopes),
        resources=frozenset({resource.identifier}),
        expires_at=agent.expires_at,
        roles=live.roles,
    )

"""What administrators see of agents: the list with its filters, and one agent with all that it holds."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from broker.admin.changes import Desk, not_found
from broker.admin.names import list_moments, load_people
from broker.admin.paging import Page, cut_page
from broker.agents.models import Agent
from broker.agents.snapshot import AgentsSnapshot, AgentView, load_agents
from broker.audit.events import AuditEvent
from broker.audit.models import AuditRecord
from broker.audit.reading import EventFilter, last_events, list_events
from broker.tokens.cascade import GRANTS
from broker.tokens.reading import (
    Holding,
    Reach,
    holdings_of,
    list_tokens,
    measure_reach,
    tokens_through,
)
from broker.tokens.tasks import TASKS, list_live_tasks, task_words
from broker.web.token_trees import draw_forest

ENDED_SECONDS = 86_400
"""Tokens that ended stay on an agent's page for a day."""

STATES = ("active", "suspended", "killed")
_USES = (AuditEvent.TOKEN_ISSUED.value, AuditEvent.TOKEN_EXCHANGED.value)
_STATE_EVENTS = {"suspended": AuditEvent.AGENT_SUSPENDED, "killed": AuditEvent.AGENT_KILLED}


@dataclass(frozen=True, slots=True)
class AgentFilter:
    """Part of a name or owner, and a state; empty does not filter."""

    q: str = ""
    state: str = ""


def list_agents(desk: Desk, wanted: AgentFilter, after: str) -> tuple[Page[AgentView], list[dict[str, Any]]]:
    """Return a page of the tenant's agents by name, and the rows that the page shows."""
    found = [one for one in load_agents(desk.rt, desk.tenant.id).agents.values() if _fits(one, wanted)]
    found.sort(key=lambda one: (one.name.casefold(), one.id))
    page = cut_page(found, lambda one: one.id, after)
    ids = [one.id for one in page.items]
    with desk.rt.database.core_read() as connection:
        holdings = holdings_of(connection, desk.tenant.id, ids, desk.now)
        used = last_events(connection, desk.tenant.id, AuditRecord.agent_id, ids, _USES)
    return page, [_row(one, holdings[one.id], used.get(one.id)) for one in page.items]


def get_agent(desk: Desk, agent_id: str) -> AgentView:
    """Return the tenant's agent in whatever state; raises ``Refusal(not_found)``."""
    agent = load_agents(desk.rt, desk.tenant.id).agent(agent_id)
    if agent is None:
        raise not_found("agent")
    return agent


def reach_of_agent(connection: Connection, desk: Desk, agent_id: str) -> Reach:
    """Return what ending the agent would end now."""
    return measure_reach(
        connection,
        desk.tenant.id,
        tokens_through(agent_id, desk.tenant.id),
        GRANTS.c.agent_id == agent_id,
        desk.now,
        agent_id=agent_id,
    )


def agent_context(desk: Desk, agent_id: str) -> dict[str, Any]:
    """Return the context of ``admin/agent.html`` but for the receipt; raises ``Refusal(not_found)``."""
    agent, known = get_agent(desk, agent_id), load_agents(desk.rt, desk.tenant.id)
    tenant_id = desk.tenant.id
    with desk.rt.database.core_read() as connection:
        created_at = connection.execute(
            select(Agent.created_at).where(Agent.tenant_id == tenant_id, Agent.id == agent_id)
        ).scalar()
        rows = list_tokens(
            connection, tenant_id, tokens_through(agent_id, tenant_id), since=desk.now - ENDED_SECONDS
        )
        reach = reach_of_agent(connection, desk, agent_id)
        used = last_events(connection, tenant_id, AuditRecord.agent_id, [agent_id], _USES)
        history = list_moments(connection, desk, EventFilter(agent_id=agent_id))
        tasks = list_live_tasks(connection, tenant_id, TASKS.c.agent_id == agent_id, desk.now)
        people = load_people(connection, tenant_id, {row.user_id for row in rows if row.user_id})
        changed_at, note = _state_change(connection, tenant_id, agent)
    return {
        "agent": {
            "agent_id": agent.id,
            "name": agent.name,
            "description": agent.description,
            "owner_name": agent.owner_name,
            "owner_email": agent.owner_email,
            "state": agent.state,
            "state_reason": note,
            "state_changed_at": changed_at,
            "created_at": created_at,
            "expires_at": agent.expires_at,
            "last_used_at": used.get(agent.id),
        },
        "ceiling": _ceiling(agent, known),
        "clients": _clients(agent, known),
        "tokens": draw_forest(rows, tenant=desk.tenant, agents=known, now=desk.now, people=people),
        "blast": {
            "tokens": reach.tokens,
            "people": reach.people,
            "sub_agents": reach.sub_agents,
            "grants": reach.grants,
        },
        "tasks": [task_words(task) for task in tasks],
        "history": history,
    }


def _fits(agent: AgentView, wanted: AgentFilter) -> bool:
    text = wanted.q.casefold().strip()
    words = (agent.name, agent.slug, agent.owner_name, agent.owner_email)
    return (not wanted.state or agent.state == wanted.state) and (
        not text or any(text in word.casefold() for word in words)
    )


def _row(agent: AgentView, holding: Holding, used_at: int | None) -> dict[str, Any]:
    return {
        "agent_id": agent.id,
        "name": agent.name,
        "owner_name": agent.owner_name,
        "state": agent.state,
        "people_count": holding.people,
        "live_tokens": holding.tokens,
        "last_used_at": used_at,
    }


def _state_change(connection: Connection, tenant_id: str, agent: AgentView) -> tuple[int | None, str]:
    """Return when an agent was stopped and the reason that was given."""
    event = _STATE_EVENTS.get(agent.state)
    if event is None:
        return None, ""
    wanted = EventFilter(event=event.value, agent_id=agent.id)
    for one in list_events(connection, tenant_id, wanted, limit=1).events:
        return one.at, str(one.data.get("note", ""))
    return None, ""


def _ceiling(agent: AgentView, known: AgentsSnapshot) -> dict[str, Any]:
    successors = [known.agent(one) for one in agent.delegable_to]
    return {
        "scopes": sorted(agent.scopes),
        "roles": sorted(agent.roles),
        "resources": sorted(agent.resources),
        "ttl_seconds": agent.ttl_seconds,
        "max_depth": agent.max_depth,
        "hands_to": sorted(one.name for one in successors if one is not None),
    }


def _clients(agent: AgentView, known: AgentsSnapshot) -> list[dict[str, Any]]:
    return [
        {
            "client_id": client.client_id,
            "name": client.name,
            "auth_method": client.auth_method,
            "grant_types": sorted(client.grant_types),
            "redirect_uris": list(client.redirect_uris),
            "state": client.state,
        }
        for client in sorted(known.clients.values(), key=lambda one: one.client_id)
        if client.agent_id == agent.id
    ]

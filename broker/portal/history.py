"""What happened between a person and one agent of theirs: events as moments, and the chain it built."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from sqlalchemy import Connection

from broker.agents.snapshot import AgentsSnapshot
from broker.audit.reading import EventFilter, EventView, list_events
from broker.audit.wording import tone_of, words_of
from broker.portal.my_agents import MyAgent
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.liveness import TokenRow, why_dead
from broker.web.drawing import ChainEdge, ChainNode, draw_chain
from broker.web.formatting import absolute_time, in_words
from broker.web.token_trees import audience_name

MAX_MOMENTS = 20


def list_moments(
    connection: Connection, tenant: TenantSnapshot, agents: AgentsSnapshot, user_id: str, mine: MyAgent
) -> list[dict[str, Any]]:
    """Return the newest events about this person and this agent as moments of a timeline."""
    wanted = EventFilter(subject_id=user_id, agent_id=mine.agent.id)
    page = list_events(connection, tenant.id, wanted, limit=MAX_MOMENTS)
    return [
        {
            "at": event.at,
            "title": words_of(event.event),
            "detail": _detail(event, tenant, agents),
            "tone": tone_of(event.event, event.outcome),
        }
        for event in page.events
    ]


def draw_longest_chain(
    rows: Sequence[TokenRow], tenant: TenantSnapshot, agents: AgentsSnapshot, now: int
) -> Markup | str:
    """Return the picture of the longest live chain from the person to a resource, or an empty string.

    Only a chain with more than one agent is drawn: the tree below says the rest.
    """
    live = [row for row in rows if why_dead(row, tenant=tenant, agents=agents, now=now) is None]
    longest = max(live, key=lambda row: (len(row.chain), row.issued_at), default=None)
    if longest is None or len(longest.chain) < 2:
        return ""
    links = _ancestry(longest, {row.jti: row for row in rows})
    nodes = [ChainNode("person", "You")]
    nodes += [ChainNode("agent", _agent_name(agent_id, agents)) for agent_id in reversed(longest.chain)]
    nodes.append(ChainNode("resource", audience_name(longest.audience, tenant, agents)))
    edges = [_edge(links, index, len(nodes) - 1) for index in range(len(nodes) - 1)]
    return draw_chain(nodes, edges, title="Who acts for whom")


def _ancestry(row: TokenRow, known: dict[str, TokenRow]) -> list[TokenRow]:
    """Return the first token of each chain length on the way from the root to ``row``."""
    way = [known[jti] for jti in row.path.strip("/").split("/") if jti in known]
    first: dict[int, TokenRow] = {}
    for one in way:
        first.setdefault(len(one.chain), one)
    first[len(row.chain)] = row
    return [first[length] for length in sorted(first)]


def _edge(links: list[TokenRow], index: int, edges: int) -> ChainEdge:
    here = links[min(index, len(links) - 1)]
    before = links[index - 1].scopes if 0 < index < len(links) else here.scopes
    ends = f"until {absolute_time(here.expires_at).rsplit(', ', 1)[1]}" if index == edges - 1 else ""
    return ChainEdge(passes=tuple(sorted(here.scopes)), drops=tuple(sorted(before - here.scopes)), ends=ends)


def _agent_name(agent_id: str, agents: AgentsSnapshot) -> str:
    agent = agents.agent(agent_id)
    return agent.name if agent else agent_id


def _detail(event: EventView, tenant: TenantSnapshot, agents: AgentsSnapshot) -> str:
    data = event.data
    if "audience" in data and "scopes" in data:
        where = audience_name(str(data["audience"]), tenant, agents)
        return f"{where}: {in_words(data['scopes']) or 'nothing'}"
    if "ttl_seconds" in data and "scopes" in data:
        return in_words(data["scopes"])
    if "token_count" in data:
        tokens = int(data["token_count"])
        return f"{tokens} {'token' if tokens == 1 else 'tokens'} ended"
    return ""

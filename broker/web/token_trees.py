"""Issued tokens as pages draw them: a forest of nodes with names, and whether each still counts."""

from collections.abc import Mapping, Sequence
from typing import Any

from broker.agents.snapshot import AgentsSnapshot
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.liveness import TokenRow, why_dead

_BECAUSE = {
    "agent_killed": "an administrator killed the agent",
    "agent_suspended": "an administrator suspended the agent",
    "client_disabled": "the client was disabled",
    "code_reused": "its code was used twice",
    "connection_disabled": "the identity provider was disabled",
    "refresh_reused": "its refresh token was used twice",
    "revoked_by_admin": "an administrator revoked it",
    "revoked_by_client": "the agent gave it back",
    "revoked_by_person": "{person} revoked it",
    "trust_ended": "the platform that vouched for the agent is no longer trusted",
    "task_ended": "its task was ended",
    "user_disabled": "the person was disabled",
}
_WHY_DEAD = {
    "grant_ended": "the permission ended",
    "grant_expired": "the permission ran out",
    "agent_expired": "the agent's registration ran out",
    "resource_disabled": "the resource is disabled",
    "resource_gone": "the resource was removed",
}


def draw_forest(
    rows: Sequence[TokenRow],
    *,
    tenant: TenantSnapshot,
    agents: AgentsSnapshot,
    now: int,
    people: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return the nodes of ``parts/tokens.html`` for rows in the order of their paths.

    A token whose parent is not among the rows stands at the top. ``people`` are names by id for a page that
    shows tokens of several people; without it the page is the person's own.
    """
    nodes: dict[str, dict[str, Any]] = {}
    roots: list[dict[str, Any]] = []
    for row in rows:
        node = _node(row, tenant, agents, now, people)
        nodes[row.jti] = node
        parent = nodes.get(row.parent_jti or "")
        (roots if parent is None else parent["children"]).append(node)
    return sorted(roots, key=lambda node: (node["state"] != "live", -int(node["issued_at"])))


def audience_name(audience: str, tenant: TenantSnapshot, agents: AgentsSnapshot) -> str:
    """Return the name of what accepts a token: a resource, the broker itself, or the bare identifier."""
    if audience == tenant.issuer:
        return tenant.name
    resource = agents.resource(audience)
    return resource.name if resource else audience


def because(cause: str, person: str = "the person") -> str:
    """Return why something ended, as the end of a sentence; an empty string for a cause without words."""
    return _BECAUSE.get(cause, "").format(person=person)


def _node(
    row: TokenRow,
    tenant: TenantSnapshot,
    agents: AgentsSnapshot,
    now: int,
    people: Mapping[str, str] | None,
) -> dict[str, Any]:
    why = why_dead(row, tenant=tenant, agents=agents, now=now)
    agent = agents.agent(row.agent_id or "")
    is_over = row.expires_at <= now and row.ended_at is None
    cause = because(row.ended_by, "you" if people is None else "the person")
    return {
        "jti": row.jti,
        "holder_name": agent.name if agent else row.client_id,
        "audience_name": audience_name(row.audience, tenant, agents),
        "person_name": (people or {}).get(row.user_id or "", ""),
        "scopes": sorted(row.scopes),
        "issued_at": row.issued_at,
        "expires_at": row.expires_at,
        "state": "live" if why is None else "expired" if is_over else "revoked",
        "because": "" if why is None or is_over else cause or _WHY_DEAD.get(why, "it ended"),
        "children": [],
    }

"""The agent discovery document for one agent: the public members, and what this agent may reach.

Shown for a token that was issued for this issuer and for nobody else. Without this: a resource that was
handed a token could read what else its agent may reach.
"""

from typing import Any

import orjson

from broker.agents.snapshot import AgentsSnapshot, AgentView, load_agents
from broker.directory.roles import load_roles
from broker.discovery.metadata import AGENT_DOCUMENT
from broker.discovery.signed import with_signature
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.plain import NO_STORE, PlainReply, PlainRequest
from broker.kernel.runtime import Runtime
from broker.oauth.own_token import challenge, require_own_token
from broker.resource_server.issuer_client import well_known_url
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.liveness import load_token_rows

MAX_BYTES = 32_768
"""DISC-06: no reader need take more."""

TYP = "agent-broker-config+jwt"


def agent_view(
    rt: Runtime, tenant: TenantSnapshot, public: dict[str, Any], request: PlainRequest
) -> PlainReply:
    """Return the document with the members for the agent whose token was presented, or a challenge."""
    try:
        verified = require_own_token(rt, tenant, request, f".well-known/{AGENT_DOCUMENT}")
        agents = load_agents(rt, tenant.id)
        agent = _presenter(rt, tenant, agents, verified.jti)
    except Refusal as refusal:
        reply = challenge(rt, tenant, refusal, request)
        return PlainReply(reply.status, reply.body, [*reply.headers, ("Vary", "Authorization")])
    document = {
        **public,
        "agent": agent.id,
        "role_catalog": _roles(rt, tenant, agent),
        "delegable_to": sorted(
            one
            for one in agent.delegable_to
            if (found := agents.agent(one)) and found.is_active(request.ctx.now)
        ),
        "trust_anchors": {tenant.issuer: public["jwks_uri"]},
    }
    headers = [("Content-Type", "application/json"), NO_STORE, ("Vary", "Authorization")]
    return PlainReply(200, _fitting(rt, tenant, document, _resources(agents, agent)), headers)


def _presenter(rt: Runtime, tenant: TenantSnapshot, agents: AgentsSnapshot, jti: str) -> AgentView:
    with rt.database.core_read() as connection:
        row = load_token_rows(connection, tenant.id, [jti]).get(jti)
    agent = agents.agent(row.chain[0]) if row and row.chain else None
    if agent is None:
        raise Refusal(ErrorCode.INVALID_TOKEN, "This token is not an agent's.", reason="no_agent")
    return agent


def _resources(agents: AgentsSnapshot, agent: AgentView) -> list[dict[str, Any]]:
    found = [agents.resource(identifier) for identifier in sorted(agent.resources)]
    return [
        {
            "resource": one.identifier,
            "name": one.name,
            "protected_resource_metadata": well_known_url(one.identifier, "oauth-protected-resource"),
            "scopes": sorted(agent.scopes & one.scopes.keys()),
        }
        for one in found
        if one is not None and one.is_active
    ]


def _roles(rt: Runtime, tenant: TenantSnapshot, agent: AgentView) -> list[dict[str, Any]]:
    known = load_roles(rt, tenant.id).role_scopes
    return [{"role": one, "scopes": sorted(known[one])} for one in sorted(agent.roles) if one in known]


def _fitting(
    rt: Runtime, tenant: TenantSnapshot, document: dict[str, Any], resources: list[dict[str, Any]]
) -> bytes:
    """Return the document with as many resources as fit, and whether that is all of them."""
    count = len(resources)
    while True:
        shown = {**document, "resources": resources[:count], "resources_complete": count == len(resources)}
        body = orjson.dumps(with_signature(rt, tenant, shown, TYP))
        if len(body) <= MAX_BYTES or count == 0:
            return body
        count = count * 3 // 4

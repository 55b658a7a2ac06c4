"""What a person would grant if they agreed now, and what was asked for in vain: shown before they decide."""

from typing import Any

from broker.agents.snapshot import AgentsSnapshot
from broker.directory.roles import LiveRoles
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.runtime import Runtime
from broker.oauth.authorization_request import AuthorizationRequest
from broker.oauth.calls import Call
from broker.oauth.params import Params
from broker.oauth.targets import IDENTITY_SCOPES, ceiling_at, client_scopes, find_target
from broker.policy.narrowing import narrow
from broker.policy.values import Actor, Delegated, Parent, Wish
from broker.tenants.snapshot import TenantSnapshot

_NO_PARAMS = Params({}, {})


def preview(
    rt: Runtime,
    tenant: TenantSnapshot,
    agents: AgentsSnapshot,
    request: AuthorizationRequest,
    roles: LiveRoles,
    ctx: CallContext,
) -> dict[str, Any]:
    """Return ``{"granted": [scope…], "dropped": [{"value", "by"}…]}``, by the same rule that will mint.

    Raises ``Refusal(invalid_scope)`` when nothing of what was asked could be granted.
    """
    client = agents.client(request.client_id)
    agent = agents.agent_of(client) if client else None
    if client is None or agent is None:
        raise Refusal(ErrorCode.UNAUTHORIZED_CLIENT, "The application has gone.", reason="unknown_client")
    call = Call(rt, tenant, agents, client, _NO_PARAMS, ctx)
    asked = frozenset(request.scopes)
    granted = asked & IDENTITY_SCOPES
    dropped: dict[str, str] = {}
    for identifier in request.resources:
        outcome = narrow(
            parent=_all_that_was_asked(request, roles, agent.id, agent.expires_at),
            actor=Actor(tenant.issuer, agent.id),
            agent=ceiling_at(call, agent, identifier),
            client=client_scopes(client),
            resource=find_target(call, identifier),
            wish=Wish(
                scopes=asked - (frozenset() if identifier == tenant.issuer else IDENTITY_SCOPES),
                resource=identifier,
            ),
            live_roles=roles.roles,
            role_scopes=roles.role_scopes,
            role_gated=roles.role_gated,
            tenant=tenant.settings.limits,
            now=ctx.now,
        )
        if isinstance(outcome, Delegated):
            granted |= outcome.scopes
            dropped.update({one.value: one.by for one in outcome.dropped if one.kind == "scope"})
        else:
            dropped.update(dict.fromkeys(asked - IDENTITY_SCOPES, outcome.reason))
    if not granted:
        raise Refusal(
            ErrorCode.INVALID_SCOPE, "Nothing of what was asked can be granted.", reason="nothing_left"
        )
    refused = [{"value": value, "by": by} for value, by in sorted(dropped.items()) if value not in granted]
    return {"granted": sorted(granted), "dropped": refused}


def _all_that_was_asked(
    request: AuthorizationRequest, roles: LiveRoles, agent_id: str, expires_at: int
) -> Parent:
    return Parent.agreed(
        agent_id=agent_id,
        scopes=frozenset(request.scopes),
        resources=frozenset(request.resources),
        expires_at=expires_at,
        roles=roles.roles,
    )

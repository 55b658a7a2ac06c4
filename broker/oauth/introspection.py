"""Introspection (RFC 7662): a resource asks whether a token for it still counts, and gets its claims."""

from typing import Any

from broker.agents.snapshot import ResourceView, load_agents
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.plain import PlainReply, PlainRequest, json_reply
from broker.kernel.runtime import Runtime
from broker.oauth.calls import Call
from broker.oauth.client_auth import authenticate_client
from broker.oauth.dpop import TOKEN_TYPE
from broker.oauth.params import parse_form
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.access import verify_access_token
from broker.tokens.liveness import why_jti_dead

INACTIVE: dict[str, Any] = {"active": False}


def introspection_endpoint(rt: Runtime, tenant: TenantSnapshot, request: PlainRequest) -> PlainReply:
    """Answer a resource about one token.

    Unknown, expired, ended, or meant for another resource: all get the same ``{"active": false}``
    (INT-02). Without this: any registered resource could read what others are told (CVE-2026-37979).
    """
    params = parse_form(request)
    agents = load_agents(rt, tenant.id)
    caller = authenticate_client(rt, tenant, agents, request, params)
    client = caller.client
    resource = agents.resources_by_id.get(client.resource_id or "")
    if resource is None or not resource.is_active or client.auth_method == "none":
        raise Refusal(
            ErrorCode.UNAUTHORIZED_CLIENT,
            "Only a resource may introspect its tokens.",
            reason="not_a_resource",
        )
    if client.auth_method == "private_key_jwt":
        rt.committer.submit(lambda tx: caller.spend(tx.connection))
    call = Call(rt, tenant, agents, client, params, request.ctx)
    return json_reply(200, _introspect(call, resource, params.require("token")))


def _introspect(call: Call, resource: ResourceView, token: str) -> dict[str, Any]:
    try:
        verified = verify_access_token(call.rt, call.tenant, token, now=call.ctx.now)
    except Refusal:
        return INACTIVE
    # Without this: a token for one resource would count at another (CVE-2025-69196).
    if verified.claims["aud"] != resource.identifier:
        return INACTIVE
    if why_jti_dead(call.rt, call.tenant, call.agents, verified.jti, now=call.ctx.now) is not None:
        return INACTIVE
    token_type = TOKEN_TYPE if verified.jkt else "Bearer"
    return {"active": True, "token_type": token_type, **verified.claims}

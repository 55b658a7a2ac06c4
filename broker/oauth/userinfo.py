"""Userinfo (OpenID Connect Core §5.3): the person's claims, for a token meant for this very endpoint."""

from broker.agents.snapshot import load_agents
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.plain import PlainReply, PlainRequest, json_reply
from broker.kernel.runtime import Runtime
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.access import VerifiedAccessToken, verify_access_token
from broker.tokens.id_tokens import person_claims
from broker.tokens.liveness import why_jti_dead


def userinfo_endpoint(rt: Runtime, tenant: TenantSnapshot, request: PlainRequest) -> PlainReply:
    """Answer GET and POST with a bearer token in the header; challenges as RFC 6750 §3 says."""
    try:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return _challenge("", request.ctx)
        verified = _live_token(rt, tenant, token.strip(), request.ctx)
    except Refusal as refusal:
        return _challenge(refusal.code.value, request.ctx)
    scopes = frozenset(str(verified.claims["scope"]).split())
    with rt.database.core_read() as connection:
        claims = person_claims(connection, tenant.id, str(verified.claims["sub"]), scopes)
    return json_reply(200, claims)


def _live_token(rt: Runtime, tenant: TenantSnapshot, token: str, ctx: CallContext) -> VerifiedAccessToken:
    verified = verify_access_token(rt, tenant, token, now=ctx.now)
    # Without this: an MCP server that received a token for itself could read the person's profile here.
    if verified.claims["aud"] != tenant.issuer or "openid" not in str(verified.claims["scope"]).split():
        raise Refusal(ErrorCode.INVALID_TOKEN, "This token is not for userinfo.", reason="wrong_audience")
    dead = why_jti_dead(rt, tenant, load_agents(rt, tenant.id), verified.jti, now=ctx.now)
    if dead is not None:
        raise Refusal(ErrorCode.INVALID_TOKEN, "The access token is not valid.", reason=dead)
    return verified


def _challenge(error: str, ctx: CallContext) -> PlainReply:
    value = f'Bearer error="{error}"' if error else "Bearer"
    document = {"error": error or ErrorCode.INVALID_REQUEST.value, "request_id": ctx.request_id}
    return json_reply(401, document, [("WWW-Authenticate", value)])

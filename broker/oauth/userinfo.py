"""Userinfo (OpenID Connect Core §5.3): the person's claims, for a token meant for this very endpoint."""

from broker.agents.snapshot import load_agents
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.plain import PlainReply, PlainRequest, json_reply
from broker.kernel.runtime import Runtime
from broker.oauth.dpop import ALGORITHMS, current_nonce, read_proof, refused
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.access import VerifiedAccessToken, verify_access_token
from broker.tokens.id_tokens import person_claims
from broker.tokens.liveness import why_jti_dead


def userinfo_endpoint(rt: Runtime, tenant: TenantSnapshot, request: PlainRequest) -> PlainReply:
    """Answer GET and POST with a token in the header; challenges as RFC 6750 §3 and RFC 9449 §7.1 say."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    is_bound = scheme.lower() == "dpop"
    try:
        if scheme.lower() not in {"bearer", "dpop"} or not token:
            return _challenge(rt, tenant, None, request.ctx, is_bound=is_bound)
        verified = _live_token(rt, tenant, token.strip(), request.ctx)
        _require_holder(rt, tenant, verified, token.strip(), request, is_bound)
    except Refusal as refusal:
        return _challenge(rt, tenant, refusal, request.ctx, is_bound=is_bound)
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


def _require_holder(
    rt: Runtime,
    tenant: TenantSnapshot,
    verified: VerifiedAccessToken,
    token: str,
    request: PlainRequest,
    is_bound: bool,
) -> None:
    """Raise unless the scheme fits the token, and a bound one comes with a proof of its key."""
    # Without this: whoever copied a bound token could use it as if it were a bearer token (RFC 9449 §7.2).
    if is_bound is not bool(verified.jkt):
        raise Refusal(ErrorCode.INVALID_TOKEN, "The token is of another type.", reason="wrong_scheme")
    if not is_bound:
        return
    proof = read_proof(rt, tenant, request, "userinfo", access_token=token)
    if proof is None or proof.jkt != verified.jkt:
        raise refused("no_proof" if proof is None else "key_differs")
    rt.committer.submit(lambda tx: proof.spend(tx.connection))


def _challenge(
    rt: Runtime, tenant: TenantSnapshot, refusal: Refusal | None, ctx: CallContext, *, is_bound: bool
) -> PlainReply:
    error = refusal.code.value if refusal else ""
    of_bound = is_bound or (refusal is not None and refusal.reason == "wrong_scheme")
    members = [f'error="{error}"'] if error else []
    if of_bound:
        members.append(f'algs="{" ".join(ALGORITHMS)}"')
    headers = [("WWW-Authenticate", f"{'DPoP' if of_bound else 'Bearer'} {', '.join(members)}".rstrip())]
    if refusal is not None and refusal.code is ErrorCode.USE_DPOP_NONCE:
        headers.append(("DPoP-Nonce", current_nonce(rt, tenant, ctx.now)))
    document = {"error": error or ErrorCode.INVALID_REQUEST.value, "request_id": ctx.request_id}
    return json_reply(401, document, headers)

"""An access token presented at an endpoint of ours: alive, meant for this issuer, held by who presents it."""

from broker.agents.snapshot import load_agents
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.plain import PlainReply, PlainRequest, json_reply
from broker.kernel.runtime import Runtime
from broker.oauth.dpop import ALGORITHMS, current_nonce, read_proof, refused
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.access import VerifiedAccessToken, verify_access_token
from broker.tokens.liveness import why_jti_dead


class NoToken(Refusal):
    """No token was presented at all: the challenge names no error (RFC 6750 §3.1)."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.INVALID_TOKEN, "Present an access token.", reason="no_token")


def require_own_token(
    rt: Runtime, tenant: TenantSnapshot, request: PlainRequest, endpoint: str
) -> VerifiedAccessToken:
    """Return the token of the request's ``Authorization`` header; raises ``Refusal`` for `challenge`.

    Its audience must be the issuer, and a bound one comes with a proof for ``endpoint`` (RFC 9449 §7).
    """
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    token = text.strip()
    if scheme.lower() not in {"bearer", "dpop"} or not token:
        raise NoToken
    verified = _live_token(rt, tenant, token, request.ctx)
    is_bound = is_dpop(request)
    # Without this: whoever copied a bound token could use it as if it were a bearer token (RFC 9449 §7.2).
    if is_bound is not bool(verified.jkt):
        raise Refusal(ErrorCode.INVALID_TOKEN, "The token is of another type.", reason="wrong_scheme")
    if is_bound:
        proof = read_proof(rt, tenant, request, endpoint, access_token=token)
        if proof is None or proof.jkt != verified.jkt:
            raise refused("no_proof" if proof is None else "key_differs")
        rt.committer.submit(lambda tx: proof.spend(tx.connection))
    return verified


def challenge(rt: Runtime, tenant: TenantSnapshot, refusal: Refusal, request: PlainRequest) -> PlainReply:
    """Return 401 with the challenge of RFC 6750 §3 or RFC 9449 §7.1 for what was refused."""
    error = "" if isinstance(refusal, NoToken) else refusal.code.value
    of_bound = is_dpop(request) or refusal.reason == "wrong_scheme"
    members = [f'error="{error}"'] if error else []
    if of_bound:
        members.append(f'algs="{" ".join(ALGORITHMS)}"')
    headers = [("WWW-Authenticate", f"{'DPoP' if of_bound else 'Bearer'} {', '.join(members)}".rstrip())]
    if refusal.code is ErrorCode.USE_DPOP_NONCE:
        headers.append(("DPoP-Nonce", current_nonce(rt, tenant, request.ctx.now)))
    document = {"error": error or ErrorCode.INVALID_REQUEST.value, "request_id": request.ctx.request_id}
    return json_reply(401, document, headers)


def is_dpop(request: PlainRequest) -> bool:
    """Whether the request presents its token as a bound one."""
    return request.headers.get("authorization", "").partition(" ")[0].lower() == "dpop"


def _live_token(rt: Runtime, tenant: TenantSnapshot, token: str, ctx: CallContext) -> VerifiedAccessToken:
    verified = verify_access_token(rt, tenant, token, now=ctx.now)
    # Without this: an MCP server that received a token for itself could use it here (MCP-10).
    if verified.claims["aud"] != tenant.issuer or "openid" not in str(verified.claims["scope"]).split():
        raise Refusal(ErrorCode.INVALID_TOKEN, "This token is not for us.", reason="wrong_audience")
    dead = why_jti_dead(rt, tenant, load_agents(rt, tenant.id), verified.jti, now=ctx.now)
    if dead is not None:
        raise Refusal(ErrorCode.INVALID_TOKEN, "The access token is not valid.", reason=dead)
    return verified

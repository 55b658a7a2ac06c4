"""What the kinds of token exchange share: access tokens of ours that a client presents, live and its own."""

from collections.abc import Mapping
from typing import Any

from broker.agents.snapshot import AgentView
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.group_commit import Transaction
from broker.oauth.basis import ACCESS_TOKEN_TYPE
from broker.oauth.calls import Call
from broker.oauth.not_accepted import refused
from broker.policy.values import Actor
from broker.tokens import liveness
from broker.tokens.access import VerifiedAccessToken, verify_access_token
from broker.tokens.liveness import TokenRow, load_token_rows


def require_actor_shape(call: Call) -> None:
    """Check that actor token and type come together, and as an access token (RFC 8693 §2.1).

    Nothing malformed falls back to the client's own identity (A04).
    """
    has_actor, has_type = call.params.has("actor_token"), call.params.has("actor_token_type")
    if has_actor != has_type:
        raise Refusal(
            ErrorCode.INVALID_REQUEST,
            "actor_token and actor_token_type go together.",
            reason="actor_token_type",
        )
    if has_actor and call.params.get("actor_token_type") != ACCESS_TOKEN_TYPE:
        raise Refusal(
            ErrorCode.INVALID_REQUEST, "The actor token must be an access token.", reason="actor_token_type"
        )


def verified_token(call: Call, token: str) -> VerifiedAccessToken:
    """Return an access token of this tenant; raises ``Refusal(invalid_grant)``."""
    known = call.verified.get(token)
    if known is not None:
        return known
    try:
        found = call.verified[token] = verify_access_token(call.rt, call.tenant, token, now=call.ctx.now)
        return found
    except Refusal as refusal:
        raise refused(refusal.reason, refusal.detail) from refusal


def require_live(call: Call, row: TokenRow | None) -> TokenRow:
    """Return the row of a token that still counts; raises ``Refusal(invalid_grant)``."""
    dead = liveness.why_dead(row, tenant=call.tenant, agents=call.agents, now=call.ctx.now)
    if row is None or dead is not None:
        raise refused(dead or "token_unknown")
    return row


def require_own_actor(call: Call, agent: AgentView, row: TokenRow) -> None:
    """The actor token must be the calling agent's own, held in its own name by this very client.

    Without this: a stolen actor token would let its holder act as another agent.
    """
    is_own = row.user_id is None and tuple(row.chain) == (agent.id,)
    if not is_own or row.client_id != call.client.client_id:
        raise Refusal(ErrorCode.ACTOR_UNAUTHORIZED, "This agent may not act here.", reason="rogue_actor")


def require_key(call: Call, jkt: str) -> None:
    """The caller must prove the key of whatever it presents as its own: ``jkt`` is that token's.

    These are the actor token, a subject token that the caller continues, a refresh token. Who joins a
    chain cannot have the key of the one that handed over (ACT-05, ACT-06). Without this: a bound token,
    once stolen, could be exchanged for one that is bound to the thief's key.
    """
    if jkt and jkt != call.jkt:
        raise refused("key_differs")


def has_own_actor(tx: Transaction, call: Call, agent: AgentView) -> bool:
    """Say whether the request carries an actor token, which must then be the calling agent's own."""
    if not call.params.has("actor_token"):
        return False
    token = verified_token(call, call.params.require("actor_token"))
    require_key(call, token.jkt)
    jti = token.jti
    rows = load_token_rows(tx.connection, call.tenant.id, [jti], is_held=True)
    require_own_actor(call, agent, require_live(call, rows.get(jti)))
    return True


def named_actor(claims: Mapping[str, Any]) -> Actor | None:
    """Return the one actor that a verified token lets act for its subject (RFC 8693 §4.4), None for any.

    Raises ``Refusal(invalid_grant)`` for a claim that names nobody exactly.
    """
    claim = claims.get("may_act")
    if claim is None:
        return None
    issuer, subject = (claim.get("iss"), claim.get("sub")) if isinstance(claim, dict) else (None, None)
    # Without this: a restriction that cannot be read would restrict nothing.
    if not isinstance(issuer, str) or not isinstance(subject, str):
        raise refused("may_act_shape")
    return Actor(issuer, subject)

"""What the grants that begin a tree share: a grant that still stands, and the basis of its first token."""

from broker.agents.snapshot import AgentView
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.group_commit import Transaction
from broker.oauth.basis import Basis, SignInFacts
from broker.oauth.calls import Call
from broker.oauth.targets import IDENTITY_SCOPES
from broker.policy.values import Actor, Parent, Wish
from broker.tokens import liveness
from broker.tokens.grants import GrantView, load_grant


def require_agent(call: Call) -> AgentView:
    """Return the agent whose client calls; raises ``Refusal(unauthorized_client)`` when it is nobody's."""
    agent = call.agent
    if agent is None:
        raise Refusal(ErrorCode.UNAUTHORIZED_CLIENT, "Only an agent's client may do this.", reason="no_agent")
    return agent


def require_standing(tx: Transaction, call: Call, grant_id: str) -> GrantView:
    """Return the grant if everything it hangs on still stands; raises ``Refusal(invalid_grant)``."""
    grant = load_grant(tx.connection, call.tenant.id, grant_id, is_held=True)
    dead = liveness.why_grant_dead(grant, tenant=call.tenant, agents=call.agents, now=call.ctx.now)
    if dead is not None:
        raise Refusal(ErrorCode.INVALID_GRANT, "The permission has ended.", reason=dead)
    return grant


def first_token_basis(
    call: Call,
    grant: GrantView,
    scopes: frozenset[str],
    resource: str,
    *,
    asked: frozenset[str] | None = None,
    nonce: str = "",
) -> Basis:
    """Return the basis of a token at the root of a tree: the person, and the one agent that they agreed to.

    ``scopes`` is what the code or refresh family may carry, ``asked`` a narrower wish for this token.
    """
    agent = require_agent(call)
    wanted = scopes if asked is None else asked
    at_userinfo = resource == call.tenant.issuer
    identity = wanted & IDENTITY_SCOPES
    return Basis(
        subject=grant.user_id or agent.id,
        subject_profile="user" if grant.user_id else "ai_agent",
        user_id=grant.user_id,
        connection_id=grant.connection_id,
        grant_id=grant.id,
        consent_id=grant.consent_id,
        parent=Parent.agreed(
            agent_id=agent.id,
            scopes=scopes,
            resources=frozenset(grant.resources),
            expires_at=grant.expires_at,
        ),
        has_live_roles=True,
        actor=Actor(call.tenant.issuer, agent.id),
        agent=agent,
        wish=Wish(scopes=wanted if at_userinfo else wanted - IDENTITY_SCOPES, resource=resource),
        facts=SignInFacts(grant.auth_time, grant.acr, tuple(grant.amr), grant.session_id),
        refresh_scopes=scopes if "refresh_token" in call.client.grant_types else None,
        refresh_until=grant.expires_at,
        identity_scopes=identity,
        nonce=nonce,
    )

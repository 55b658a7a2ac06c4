"""``client_credentials`` (RFC 6749 §4.4): an agent acts for itself, with no person behind it.

Roles follow from a person's groups, so an agent alone has none, and no scope that needs one.
"""

from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.group_commit import Transaction
from broker.oauth.basis import Basis
from broker.oauth.calls import Call
from broker.oauth.grants.standing import require_agent, require_standing
from broker.oauth.params import parse_scope
from broker.oauth.targets import asked_resource
from broker.policy.values import Parent, Wish
from broker.tokens.grants import standing_grant_id

REFUSAL_UNDOES = False  # nothing is consumed

_AT_ISSUER = frozenset({"openid"})


def collect(tx: Transaction, call: Call) -> Basis:
    """Return the basis of a token that the agent holds in its own name; confidential clients only."""
    agent = require_agent(call)
    # Without this: whoever knows a public client's id could become its agent.
    if call.client.auth_method == "none":
        raise Refusal(ErrorCode.UNAUTHORIZED_CLIENT, "The client must authenticate.", reason="public_client")
    resource = asked_resource(call) or (next(iter(agent.resources)) if len(agent.resources) == 1 else None)
    if resource is None:
        raise Refusal(ErrorCode.INVALID_TARGET, "Name the resource.", reason="no_resource")
    expires_at = min(agent.expires_at, call.ctx.now + call.tenant.settings.grant_ttl_seconds)
    grant_id = standing_grant_id(
        tx.connection,
        tenant_id=call.tenant.id,
        client_id=call.client.client_id,
        agent_id=agent.id,
        resources=sorted(agent.resources),
        scopes=sorted(agent.scopes),
        now=call.ctx.now,
        expires_at=expires_at,
    )
    grant = require_standing(tx, call, grant_id)
    # A token for the tenant itself opens the agent's own view of the discovery document, and nothing else.
    is_own = resource == call.tenant.issuer
    scopes = _AT_ISSUER if is_own else agent.scopes
    asked = parse_scope(call.params.get("scope"))
    return Basis(
        subject=agent.id,
        subject_profile="ai_agent",
        user_id=None,
        connection_id=None,
        grant_id=grant.id,
        consent_id=None,
        parent=Parent(
            scopes=scopes,
            roles=frozenset(),
            resources=agent.resources | {resource} if is_own else agent.resources,
            expires_at=min(grant.expires_at, agent.expires_at),
            depth=0,
            chain=(),
            delegable=True,
        ),
        has_live_roles=True,
        actor=None,
        agent=agent,
        wish=Wish(scopes=_AT_ISSUER if is_own and asked is None else asked, resource=resource),
    )

"""Token exchange of a personal token: the agent that it was made for acts for its owner, as they are now."""

from dataclasses import replace

from broker.agents.snapshot import AgentView
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.group_commit import Transaction
from broker.oauth.basis import ACCESS_TOKEN_TYPE, Basis
from broker.oauth.calls import Call
from broker.oauth.grants.standing import first_token_basis, require_standing
from broker.oauth.not_accepted import refused
from broker.oauth.params import parse_scope
from broker.oauth.targets import asked_resource
from broker.tokens.personal import find_personal, mark_used


def collect(tx: Transaction, call: Call, agent: AgentView) -> Basis:
    """Return the basis of a token under the grant that the personal token stands for.

    It is not spent: whoever holds it uses it until it ends. Raises ``Refusal(invalid_grant)``.
    """
    if call.params.has("actor_token"):
        raise Refusal(
            ErrorCode.INVALID_REQUEST, "A personal token names its agent itself.", reason="actor_token"
        )
    found = find_personal(tx.connection, call.tenant.id, call.params.require("subject_token"))
    # Without this: a personal token that one agent let slip would open its owner's things to every agent.
    is_off = call.tenant.settings.personal_token_days == 0
    if is_off or found is None or found.client_id != call.client.client_id or found.agent_id != agent.id:
        raise refused("personal_token_unknown")
    if not found.is_live(call.ctx.now):
        raise refused("personal_token_ended")
    grant = require_standing(tx, call, found.grant_id)
    scopes = frozenset(grant.scopes)
    asked = parse_scope(call.params.get("scope"))
    if asked is not None and not asked <= scopes:
        raise Refusal(
            ErrorCode.INVALID_SCOPE, "The scope exceeds the personal token's.", reason="scope_exceeds_grant"
        )
    resource = asked_resource(call) or grant.resources[0]
    if resource not in grant.resources:
        raise Refusal(ErrorCode.INVALID_TARGET, "The token is not for this.", reason="resource_not_agreed")
    mark_used(tx.connection, call.tenant.id, found, call.ctx.now)
    basis = first_token_basis(call, grant, scopes, resource, asked=asked)
    # No refresh token comes out of an exchange (TEX-08), and no ID token: nobody is signed in here.
    return replace(
        basis, refresh_scopes=None, identity_scopes=frozenset(), issued_token_type=ACCESS_TOKEN_TYPE
    )

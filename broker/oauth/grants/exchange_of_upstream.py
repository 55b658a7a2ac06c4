"""Token exchange of what a provider, or we, said of a person to the calling client, for an access token.

The groups in such a token are not looked at: they may be those of the other application. Roles follow from
what the connection itself told of the person.
"""

from dataclasses import replace

from broker.agents.snapshot import AgentView
from broker.directory.names_elsewhere import find_linked_user
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.group_commit import Transaction
from broker.oauth.basis import ACCESS_TOKEN_TYPE, Basis
from broker.oauth.calls import Call
from broker.oauth.grants.presented import has_own_actor, named_actor
from broker.oauth.grants.standing import first_token_basis, require_standing
from broker.oauth.not_accepted import refused
from broker.oauth.params import parse_scope
from broker.oauth.targets import IDENTITY_SCOPES, asked_resource
from broker.oauth.upstream_tokens import Upstream
from broker.policy.values import Actor
from broker.tokens.grants import GrantView, open_grant


def collect(tx: Transaction, call: Call, agent: AgentView, upstream: Upstream) -> Basis:
    """Return the basis of an access token for the person whom a provider named to this client."""
    if "access_token" not in upstream.entry.config.outputs:
        raise refused("output_not_allowed")
    # It adds nothing, for the agent acts in the result anyway; another's is refused all the same.
    has_own_actor(tx, call, agent)
    grant = grant_of_upstream(tx, call, agent, upstream)
    resource = asked_resource(call) or (grant.resources[0] if len(grant.resources) == 1 else None)
    if resource is None or resource not in grant.resources:
        raise Refusal(ErrorCode.INVALID_TARGET, "Name one resource.", reason="resource_not_entered")
    scopes = frozenset(grant.scopes) - IDENTITY_SCOPES
    basis = first_token_basis(call, grant, scopes, resource, asked=parse_scope(call.params.get("scope")))
    return replace(
        basis, refresh_scopes=None, identity_scopes=frozenset(), issued_token_type=ACCESS_TOKEN_TYPE
    )


def grant_of_upstream(tx: Transaction, call: Call, agent: AgentView, upstream: Upstream) -> GrantView:
    """Return a new grant for the person, as far as the administrator's entry goes; it ends within the hour.

    Raises ``Refusal``: ``invalid_grant`` for somebody who never signed in here, ``actor_unauthorized``.
    """
    config, identity, now = upstream.entry.config, upstream.identity, call.ctx.now
    named = named_actor(identity.raw_claims)
    # Without this: a token that the provider made for one actor would serve another (TEX-05).
    if named is not None and not named.is_same_as(Actor(call.tenant.issuer, agent.id)):
        raise Refusal(ErrorCode.ACTOR_UNAUTHORIZED, "This agent may not act here.", reason="may_act")
    user_id = find_linked_user(
        tx.connection,
        call.tenant.id,
        connection_id=upstream.connection.id,
        issuer=identity.issuer,
        subject_kind=identity.subject_kind,
        subject=identity.subject,
    )
    # Nobody is made here: what a provider tells another application is no sign-in at ours.
    if user_id is None:
        raise refused("subject_unknown")
    grant_id = open_grant(
        tx.connection,
        tenant_id=call.tenant.id,
        client_id=call.client.client_id,
        agent_id=agent.id,
        user_id=user_id,
        connection_id=upstream.connection.id,
        resources=config.resources,
        scopes=config.scopes,
        auth_time=identity.auth_time,
        acr=identity.acr,
        amr=identity.amr,
        now=now,
        expires_at=now + call.tenant.settings.access_ttl_seconds,
    )
    return require_standing(tx, call, grant_id)

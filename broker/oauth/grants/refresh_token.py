"""``refresh_token`` (RFC 6749 §6, RFC 9700 §4.14): rotation, and the end of the family on reuse."""

from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.group_commit import Transaction
from broker.oauth.basis import Basis
from broker.oauth.calls import Call
from broker.oauth.grants.standing import first_token_basis, require_standing
from broker.oauth.params import parse_scope
from broker.oauth.targets import asked_resource
from broker.tokens import cascade, refresh
from broker.tokens.refresh import SpentRefresh

REFUSAL_UNDOES = True  # a request that cannot be met must not cost the client its token


def collect(tx: Transaction, call: Call) -> Basis:
    """Spend the refresh token and return the basis of a new access token of the same grant."""
    token = call.params.require("refresh_token")
    view = refresh.spend_refresh(
        tx.connection,
        tenant_id=call.tenant.id,
        client_id=call.client.client_id,
        token=token,
        now=call.ctx.now,
    )
    if view is None:
        raise _refused("refresh_unknown_or_expired")
    if isinstance(view, SpentRefresh):
        # Used twice: either the thief or the owner holds the successor, and nobody can tell which.
        # The whole family ends; there is no grace. The refusal commits this.
        cascade.end_grant(
            tx.connection, call.tenant.id, view.grant_id, cause="refresh_reused", now=call.ctx.now
        )
        raise _refused("refresh_reused")
    # Without this: a public client's stolen refresh token would work for whoever holds it (RFC 9449 §5).
    if view.cnf_jkt and view.cnf_jkt != call.jkt:
        raise _refused("key_differs")
    grant = require_standing(tx, call, view.grant_id)
    scopes = parse_scope(call.params.get("scope"))
    family = frozenset(view.scopes)
    if scopes is not None and not scopes <= family:
        raise Refusal(
            ErrorCode.INVALID_SCOPE, "The scope exceeds what was agreed.", reason="scope_exceeds_grant"
        )
    resource = asked_resource(call)
    if resource is not None and resource not in grant.resources:
        raise Refusal(ErrorCode.INVALID_TARGET, "This resource was not agreed.", reason="resource_not_agreed")
    # A narrower scope narrows this access token only; the family keeps what was agreed (RFC 6749 §6).
    return first_token_basis(call, grant, family, resource or grant.resources[0], asked=scopes)


def _refused(reason: str) -> Refusal:
    return Refusal(ErrorCode.INVALID_GRANT, "The refresh token is not valid for this client.", reason=reason)

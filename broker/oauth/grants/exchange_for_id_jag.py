"""Token exchange whose result is an ID-JAG: an agent is introduced to another domain's server (ID-JAG §4).

The administrator's entry for that server stands in for a consent: who may go there, for what, and as whom.
"""

from broker.agents.snapshot import AgentView
from broker.agents.trusts.snapshot import TargetView, load_trusts
from broker.directory.names_elsewhere import find_introduction
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.group_commit import Transaction
from broker.oauth.basis import ID_JAG_TYPE, ID_TOKEN_TYPE, REFRESH_TOKEN_TYPE, Basis, SignInFacts
from broker.oauth.calls import Call
from broker.oauth.grants.exchange_of_upstream import grant_of_upstream
from broker.oauth.grants.presented import has_own_actor, require_key
from broker.oauth.grants.standing import require_standing
from broker.oauth.not_accepted import refused
from broker.oauth.params import parse_scope
from broker.oauth.targets import canonical
from broker.oauth.upstream_tokens import Upstream
from broker.policy.step_up import ShownProof, WantedProof, find_unproven
from broker.policy.values import Actor, Parent, Wish
from broker.tokens import cascade, refresh
from broker.tokens.grants import GrantView, find_person_grant
from broker.tokens.id_jags import Introduction
from broker.tokens.id_tokens import verify_id_token


def collect(tx: Transaction, call: Call, agent: AgentView) -> Basis:
    """Return the basis of an ID-JAG for the server that ``audience`` names."""
    if call.params.has("authorization_details"):
        raise Refusal(
            ErrorCode.INVALID_REQUEST,
            "authorization_details are not offered.",
            reason="authorization_details",
        )
    target = _target(call)
    resource = _resource(call, target)
    grant = _grant(tx, call, agent)
    actors = (Actor(call.tenant.issuer, agent.id),) if has_own_actor(tx, call, agent) else ()
    _require_proof(call, target, grant)
    introduction = _introduce(tx, call, target, grant, resource, actors)
    return Basis(
        subject=str(grant.user_id),
        subject_profile="user",
        user_id=grant.user_id,
        connection_id=grant.connection_id,
        grant_id=grant.id,
        consent_id=grant.consent_id,
        parent=Parent.agreed(
            agent_id=agent.id,
            scopes=frozenset(target.config.scopes),
            resources=frozenset({target.config.issuer}),
            expires_at=grant.expires_at,
        ),
        has_live_roles=True,
        actor=Actor(call.tenant.issuer, agent.id),
        agent=agent,
        wish=Wish(scopes=parse_scope(call.params.get("scope")), resource=target.config.issuer),
        facts=SignInFacts(grant.auth_time, grant.acr, tuple(grant.amr)),
        issued_token_type=ID_JAG_TYPE,
        target=target,
        introduction=introduction,
    )


def _target(call: Call) -> TargetView:
    """Return the one server that is asked for, if it is one that this tenant introduces people to."""
    named = call.params.all("audience")
    target = load_trusts(call.rt, call.tenant.id).targets.get(named[0]) if len(named) == 1 else None
    if target is None:
        raise _no_target("unknown_target")
    return target


def _resource(call: Call, target: TargetView) -> str:
    """Return the resource there, if the target has any.

    Without this: an ID-JAG would open whatever the other side holds (EMA-01).
    """
    named = {canonical(one) for one in call.params.all("resource")}
    if not named and not target.config.resources:
        return ""
    if len(named) != 1 or not named <= set(target.config.resources):
        raise _no_target("resource_at_target")
    return named.pop()


def _grant(tx: Transaction, call: Call, agent: AgentView) -> GrantView:
    """Return the live grant of the person whom the subject token names."""
    if isinstance(call.evidence, Upstream):
        if "id_jag" not in call.evidence.entry.config.outputs:
            raise refused("output_not_allowed")
        return grant_of_upstream(tx, call, agent, call.evidence)
    kind, token = call.params.require("subject_token_type"), call.params.require("subject_token")
    if kind == ID_TOKEN_TYPE:
        return require_standing(tx, call, grant_of_id_token(tx, call, token))
    if kind == REFRESH_TOKEN_TYPE:
        return require_standing(tx, call, _grant_of_refresh_token(tx, call, token))
    raise Refusal(
        ErrorCode.INVALID_REQUEST,
        "This kind of token cannot be exchanged for that one.",
        reason="subject_token_type",
    )


def grant_of_id_token(tx: Transaction, call: Call, token: str) -> str:
    """Return the live grant behind an ID token that we issued to the calling client.

    An ID token alone opens nothing: who took the permission back is not introduced to anybody.
    """
    try:
        claims = verify_id_token(
            call.rt, call.tenant, token, client_id=call.client.client_id, now=call.ctx.now
        )
    except Refusal as refusal:
        raise refused(refusal.reason, refusal.detail) from refusal
    found = find_person_grant(
        tx.connection,
        call.tenant.id,
        client_id=call.client.client_id,
        user_id=str(claims["sub"]),
        session_id=str(claims.get("sid", "")),
        now=call.ctx.now,
    )
    if found is None:
        raise refused("grant_gone")
    return found


def _grant_of_refresh_token(tx: Transaction, call: Call, token: str) -> str:
    """Return the grant of a live refresh token of this client; it is not spent: no successor is returned."""
    view = refresh.find_refresh(tx.connection, tenant_id=call.tenant.id, token=token)
    # Without this: a refresh token stolen from one client would introduce another.
    if view is None or view.client_id != call.client.client_id or view.expires_at <= call.ctx.now:
        raise refused("refresh_unknown_or_expired")
    require_key(call, view.cnf_jkt)
    if view.spent_at is not None:
        # Used twice is used twice, whatever it was used for. The refusal commits this.
        cascade.end_grant(
            tx.connection, call.tenant.id, view.grant_id, cause="refresh_reused", now=call.ctx.now
        )
        raise refused("refresh_reused")
    return view.grant_id


def _require_proof(call: Call, target: TargetView, grant: GrantView) -> None:
    """Raise ``insufficient_user_authentication`` with what is missing (RFC 9470 §3)."""
    if grant.user_id is None:
        raise refused("no_person")
    wanted = WantedProof(
        asked_at=call.ctx.now, max_age=target.config.max_age, acr_values=frozenset(target.config.acr_values)
    )
    if find_unproven(wanted, ShownProof(grant.auth_time, grant.acr, is_new=False)) is None:
        return
    hints = {"max_age": target.config.max_age, "acr_values": " ".join(target.config.acr_values)}
    raise Refusal(
        ErrorCode.INSUFFICIENT_USER_AUTHENTICATION,
        "The person must sign in again, or more strongly.",
        reason="unproven_for_target",
        members={name: value for name, value in hints.items() if value},
    )


def _introduce(
    tx: Transaction,
    call: Call,
    target: TargetView,
    grant: GrantView,
    resource: str,
    actors: tuple[Actor, ...],
) -> Introduction:
    client_there = target.client_there(call.client.client_id)
    # Without this: the other side would take one client of ours for another of its own (IDJ-06).
    if client_there is None:
        raise _no_target("client_unknown_at_target")
    subject = find_introduction(
        tx.connection,
        call.tenant.id,
        str(grant.user_id),
        connection_id=grant.connection_id or "",
        by=target.config.subject,
    )
    if subject is None:
        raise refused("subject_unknown_at_target")
    return Introduction(
        issuer=target.config.issuer,
        client_id=client_there,
        subject=subject,
        resource=resource,
        email=subject if target.config.subject == "email" else "",
        actors=actors,
    )


def _no_target(reason: str) -> Refusal:
    return Refusal(ErrorCode.INVALID_TARGET, "The requested target is not available.", reason=reason)

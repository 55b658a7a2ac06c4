"""The one pipeline that issues tokens. Grant types fill in their part and cannot skip a check.

authenticate → may this client use this grant → the grant's basis (consume before mint) → the gate →
roles of now → narrow → fan-out → mint → refresh and ID token → audit, all in one durable transaction.
"""

from dataclasses import replace
from typing import Any

from broker.agents.snapshot import load_agents
from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, append_many, compose
from broker.directory.roles import LiveRoles, load_roles, read_told, roles_now
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.group_commit import Transaction
from broker.kernel.plain import PlainReply, PlainRequest, json_reply
from broker.kernel.runtime import Runtime
from broker.oauth.basis import Basis
from broker.oauth.calls import Call
from broker.oauth.client_auth import Authenticated, authenticate_client
from broker.oauth.dpop import TOKEN_TYPE, nonce_headers, read_proof, require_binding
from broker.oauth.fan_out import require_room
from broker.oauth.grants import AHEAD, GRANTS, PREPARATIONS
from broker.oauth.params import parse_form
from broker.oauth.targets import asked_resource, ceiling_at, client_scopes, find_target
from broker.policy.narrowing import narrow
from broker.policy.values import Delegated, Denial
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens import refresh
from broker.tokens.id_jags import issue_id_jag
from broker.tokens.id_tokens import issue_id_token
from broker.tokens.issuing import IssuedToken, TokenDraft, issue_access_token
from broker.tokens.tasks import keep_task

_REUSED = {"code_reused": AuditEvent.CODE_REUSED, "refresh_reused": AuditEvent.REFRESH_REUSED}


def token_endpoint(rt: Runtime, tenant: TenantSnapshot, request: PlainRequest) -> PlainReply:
    """Answer the token endpoint (RFC 6749 §3.2); raises ``Refusal`` with an OAuth code."""
    params = parse_form(request)
    caller = authenticate_client(rt, tenant, load_agents(rt, tenant.id), request, params)
    proof = read_proof(rt, tenant, request, "token")
    call = Call(rt, tenant, caller.agents, caller.client, params, request.ctx, proof, caller.evidence)
    grant_type = params.require("grant_type")
    if grant_type not in GRANTS:
        raise Refusal(
            ErrorCode.UNSUPPORTED_GRANT_TYPE, "This grant type is not offered.", reason="grant_type"
        )
    if grant_type not in call.client.grant_types:
        raise Refusal(
            ErrorCode.UNAUTHORIZED_CLIENT, "The client may not use this grant type.", reason="grant_type"
        )
    # Before anything is consumed: a client that forgot its proof keeps its code.
    require_binding(proof, tenant, call.client, call.agent, None)
    call, refused = _prepared(call, grant_type)
    ahead = AHEAD[grant_type](call) if grant_type in AHEAD else ()
    document = rt.committer.submit(lambda tx: _run(tx, call, caller, grant_type, refused), ahead)
    headers = [("Pragma", "no-cache"), ("Cache-Control", "no-store")]
    headers += nonce_headers(rt, tenant, proof, request.ctx.now)
    return json_reply(200, document, headers)


def _prepared(call: Call, grant_type: str) -> tuple[Call, Refusal | None]:
    """Verify what may need another server's keys; a refusal is kept, to be recorded as every other is."""
    try:
        return (PREPARATIONS[grant_type](call) if grant_type in PREPARATIONS else call), None
    except Refusal as refusal:
        return call, refusal


def _run(
    tx: Transaction, call: Call, caller: Authenticated, grant_type: str, refused: Refusal | None
) -> dict[str, Any]:
    try:
        # Outside of any savepoint: assertion and proof stay used, whatever becomes of the request.
        caller.spend(tx.connection)
        if call.proof is not None:
            call.proof.spend(tx.connection)
        if refused is not None:
            raise refused
        return _granted(tx, call, grant_type)
    except Refusal as refusal:
        _record_refusal(tx, call, refusal.reason, grant_type)
        raise


def _granted(tx: Transaction, call: Call, grant_type: str) -> dict[str, Any]:
    grant = GRANTS[grant_type]
    if not grant.REFUSAL_UNDOES:
        return _issue(tx, call, grant.collect(tx, call), grant_type)
    # What others of this batch deferred is written first, so that undoing this request cannot undo theirs.
    tx.flush()
    savepoint = tx.connection.begin_nested()
    try:
        document = _issue(tx, call, grant.collect(tx, call), grant_type)
    except Refusal as refusal:
        # What a reuse ended stays ended; any other refusal leaves the refresh token as it was.
        if refusal.reason in _REUSED:
            savepoint.commit()
        else:
            savepoint.rollback()
            tx.forget()
        raise
    savepoint.commit()
    return document


def _issue(tx: Transaction, call: Call, basis: Basis, grant_type: str) -> dict[str, Any]:
    roles = _roles_now(tx, call, basis)
    granted = _narrow(call, basis, roles)
    require_binding(call.proof, call.tenant, call.client, basis.agent, call.agents.resource(granted.resource))
    require_room(tx, call, basis)
    draft = _draft(call, basis, granted, roles)
    issued = _mint(tx, call, basis, draft)
    document: dict[str, Any] = {
        "access_token": issued.token,
        "token_type": _token_type(call, basis),
        "expires_in": issued.expires_at - call.ctx.now,
        "scope": " ".join(sorted(granted.scopes | basis.identity_scopes)),
    }
    if basis.task is not None:
        keep_task(tx.connection, call.tenant.id, basis.task, issued.jti)
        document["txn"] = basis.task.id
    if basis.issued_token_type is not None:
        document["issued_token_type"] = basis.issued_token_type
    if basis.refresh_scopes is not None:
        document["refresh_token"] = _refresh_token(tx, call, basis)
    if "openid" in basis.identity_scopes and basis.user_id is not None:
        document["id_token"] = issue_id_token(
            tx.connection,
            call.rt,
            call.tenant,
            user_id=basis.user_id,
            client_id=call.client.client_id,
            nonce=basis.nonce,
            scopes=basis.identity_scopes,
            sign_in=basis.facts.claims(),
            now=call.ctx.now,
            algorithm=call.client.options.id_token_signed_response_alg,
        )
    _record_issue(tx, call, basis, granted, issued, grant_type)
    return document


def _token_type(call: Call, basis: Basis) -> str:
    if basis.introduction is not None:
        return "N_A"
    return TOKEN_TYPE if call.jkt else "Bearer"


def _mint(tx: Transaction, call: Call, basis: Basis, draft: TokenDraft) -> IssuedToken:
    if basis.introduction is not None:
        return issue_id_jag(tx, call.rt, call.tenant, draft, basis.introduction, now=call.ctx.now)
    return issue_access_token(tx, call.rt, call.tenant, draft, now=call.ctx.now)


def _roles_now(tx: Transaction, call: Call, basis: Basis) -> LiveRoles:
    if basis.user_id is not None:
        told = tx.find(read_told, (call.tenant.id, basis.user_id)) or ()
        return roles_now(call.rt, call.tenant.id, told, call.ctx.now)
    book = load_roles(call.rt, call.tenant.id)
    return LiveRoles(frozenset(), "absent", "", 0, book.role_scopes, book.role_gated)


def _narrow(call: Call, basis: Basis, roles: LiveRoles) -> Delegated:
    identifier = basis.wish.resource or asked_resource(call) or ""
    parent = replace(basis.parent, roles=roles.roles) if basis.has_live_roles else basis.parent
    outcome = narrow(
        parent=parent,
        actor=basis.actor,
        agent=ceiling_at(call, basis.agent, identifier, basis.target),
        client=client_scopes(call.client),
        resource=basis.target.limits(roles.roles) if basis.target else find_target(call, identifier),
        wish=basis.wish,
        live_roles=roles.roles,
        role_scopes=roles.role_scopes,
        role_gated=roles.role_gated,
        tenant=call.tenant.settings.limits,
        now=call.ctx.now,
    )
    if isinstance(outcome, Denial):
        raise Refusal(ErrorCode(outcome.code), outcome.public, reason=outcome.reason)
    return outcome


def _draft(call: Call, basis: Basis, granted: Delegated, roles: LiveRoles) -> TokenDraft:
    max_depth = min(call.tenant.settings.max_depth, basis.agent.max_depth)
    connection = call.tenant.connections.get(basis.connection_id or "")
    return TokenDraft(
        subject=basis.subject,
        subject_profile=basis.subject_profile,
        user_id=basis.user_id,
        connection_id=basis.connection_id,
        client_id=call.client.client_id,
        agent_id=basis.agent.id,
        chain=granted.chain,
        audience=granted.resource,
        scopes=granted.scopes,
        roles=granted.roles,
        parent_jti=basis.parent_jti,
        parent_path=basis.parent_path,
        grant_id=basis.grant_id,
        depth=granted.depth,
        max_depth=max_depth,
        delegable=granted.depth < max_depth and bool(basis.agent.delegable_to),
        expires_at=granted.expires_at,
        auth_time=basis.facts.auth_time,
        acr=basis.facts.acr,
        amr=basis.facts.amr,
        sid=basis.facts.sid,
        txn=basis.txn,
        consent_id=basis.consent_id,
        origin_protocol=connection.kind if connection else "",
        origin_idp=connection.slug if connection else "",
        groups_state=roles.groups_state,
        groups_source=roles.source,
        groups_at=roles.fetched_at,
        jkt=call.jkt,
        purpose_hash=basis.purpose_hash,
        instance=basis.instance,
        may_act=basis.may_act,
    )


def _refresh_token(tx: Transaction, call: Call, basis: Basis) -> str:
    ttl = call.tenant.settings.refresh_ttl_seconds
    return refresh.issue_refresh(
        tx.connection,
        tenant_id=call.tenant.id,
        grant_id=basis.grant_id,
        client_id=call.client.client_id,
        scopes=sorted(basis.refresh_scopes or ()),
        now=call.ctx.now,
        expires_at=min(call.ctx.now + ttl, basis.refresh_until),
        # A client that authenticates is bound by that; a public one by its key alone (RFC 9449 §5).
        cnf_jkt=call.jkt if call.client.auth_method == "none" else "",
    )


def _record_issue(
    tx: Transaction, call: Call, basis: Basis, granted: Delegated, issued: IssuedToken, grant_type: str
) -> None:
    event = AuditEvent.TOKEN_EXCHANGED if basis.parent_jti else AuditEvent.TOKEN_ISSUED
    entry = compose(
        call.ctx,
        tenant_id=call.tenant.id,
        writer_id=call.rt.writer_id,
        event=event,
        actor=ActorRef("agent", basis.agent.id),
        subject_id=basis.subject,
        chain=granted.chain,
        target_id=issued.jti,
        client_id=call.client.client_id,
        data={
            "grant_type": grant_type,
            "grant": basis.grant_id,
            "parent": basis.parent_jti or "",
            "audience": granted.resource,
            "scopes": sorted(granted.scopes),
            "roles": sorted(granted.roles),
            "expires_at": issued.expires_at,
        },
    )
    tx.defer(append_many, entry)


def _record_refusal(tx: Transaction, call: Call, reason: str, grant_type: str) -> None:
    entry = compose(
        call.ctx,
        tenant_id=call.tenant.id,
        writer_id=call.rt.writer_id,
        event=_REUSED.get(reason, AuditEvent.TOKEN_REFUSED),
        outcome="refused",
        reason=reason,
        actor=ActorRef("client", call.client.client_id),
        client_id=call.client.client_id,
        data={"grant_type": grant_type},
    )
    tx.defer(append_many, entry)

"""Revocation (RFC 7009): a client gives a token back, and everything derived from it ends too."""

from broker.agents.snapshot import load_agents
from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, append_many, compose
from broker.kernel.errors import Refusal
from broker.kernel.group_commit import Transaction
from broker.kernel.plain import PlainReply, PlainRequest
from broker.kernel.runtime import Runtime
from broker.oauth.calls import Call
from broker.oauth.client_auth import Authenticated, authenticate_client
from broker.oauth.params import parse_form
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens import cascade, refresh
from broker.tokens.access import verify_access_token
from broker.tokens.liveness import load_token_rows
from broker.tokens.personal import find_personal, is_personal


def revocation_endpoint(rt: Runtime, tenant: TenantSnapshot, request: PlainRequest) -> PlainReply:
    """End a refresh token's whole grant, or an access token and all derived from it (REV-02).

    Answers 200 for an unknown token and for another client's, which it leaves alone (RFC 7009 §2.2).
    """
    params = parse_form(request)
    agents = load_agents(rt, tenant.id)
    caller = authenticate_client(rt, tenant, agents, request, params)
    call = Call(rt, tenant, agents, caller.client, params, request.ctx)
    token = params.require("token")
    rt.committer.submit(lambda tx: _revoke(tx, call, caller, token))
    return PlainReply(200, b"", [("Cache-Control", "no-store")])


def _revoke(tx: Transaction, call: Call, caller: Authenticated, token: str) -> None:
    caller.spend(tx.connection)
    family = refresh.find_refresh(tx.connection, tenant_id=call.tenant.id, token=token)
    if family is not None:
        if family.client_id == call.client.client_id:
            ended = cascade.end_grant(
                tx.connection, call.tenant.id, family.grant_id, cause="revoked_by_client", now=call.ctx.now
            )
            _record(tx, call, family.grant_id, ended.tokens)
        return
    if is_personal(token):
        _end_personal(tx, call, token)
        return
    try:
        verified = verify_access_token(call.rt, call.tenant, token, now=call.ctx.now)
    except Refusal:
        return
    row = load_token_rows(tx.connection, call.tenant.id, [verified.jti]).get(verified.jti)
    # Without this: a resource that was handed a token could end it for everybody.
    if row is None or row.client_id != call.client.client_id:
        return
    count = cascade.end_token(
        tx.connection, call.tenant.id, row.jti, cause="revoked_by_client", now=call.ctx.now
    )
    _record(tx, call, row.jti, count)


def _end_personal(tx: Transaction, call: Call, token: str) -> None:
    """Any client may end a personal token that it holds: it was let slip, and ending it only protects."""
    found = find_personal(tx.connection, call.tenant.id, token)
    if found is not None:
        ended = cascade.end_grant(
            tx.connection, call.tenant.id, found.grant_id, cause="revoked_by_client", now=call.ctx.now
        )
        _record(tx, call, found.id, ended.tokens)


def _record(tx: Transaction, call: Call, target_id: str, count: int) -> None:
    entry = compose(
        call.ctx,
        tenant_id=call.tenant.id,
        writer_id=call.rt.writer_id,
        event=AuditEvent.TOKEN_REVOKED,
        actor=ActorRef("client", call.client.client_id),
        client_id=call.client.client_id,
        target_id=target_id,
        data={"count": count},
    )
    tx.defer(append_many, entry)

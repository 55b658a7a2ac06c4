"""Pushed authorization requests (RFC 9126): the client hands its request to us, not to a browser.

What a browser then carries is a name that counts once, for a minute, for that client; nobody on the way can
read or change what is asked for.
"""

from broker.agents.snapshot import AgentsSnapshot, ClientView, load_agents
from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, append_many, compose
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.group_commit import Transaction
from broker.kernel.plain import PlainReply, PlainRequest, json_reply
from broker.kernel.runtime import Runtime
from broker.oauth.authorization_request import read_asker, read_request
from broker.oauth.calls import Call
from broker.oauth.client_auth import Authenticated, authenticate_client
from broker.oauth.dpop import nonce_headers, read_proof
from broker.oauth.params import Params, params_of, parse_form
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens import pushed

REQUEST_SECONDS = 60
MAX_REQUEST_CHARS = 16_384
MAX_LIVE_REQUESTS = 1_000
"""Most requests of one client that wait at once; without it a stranger could fill the table for a minute."""

_OF_THE_CLIENT = frozenset({"client_secret", "client_assertion", "client_assertion_type"})


def par_endpoint(rt: Runtime, tenant: TenantSnapshot, request: PlainRequest) -> PlainReply:
    """Keep a request that would be accepted at the authorization endpoint; raises ``Refusal``."""
    params = parse_form(request)
    caller = authenticate_client(rt, tenant, load_agents(rt, tenant.id), request, params)
    proof = read_proof(rt, tenant, request, "par")
    call = Call(rt, tenant, caller.agents, caller.client, params, request.ctx, proof)
    pairs = _pairs(call)
    uri = rt.committer.submit(lambda tx: _push(tx, call, caller, pairs))
    document = {"request_uri": uri, "expires_in": REQUEST_SECONDS}
    return json_reply(201, document, nonce_headers(rt, tenant, proof, request.ctx.now))


def take_pushed(rt: Runtime, tenant: TenantSnapshot, params: Params, now: int) -> Params | None:
    """Return the request that ``params`` name, used up with this; None when they name none of ours.

    Only what was pushed counts: what else stands in the address is ignored (RFC 9126 §4). Raises
    ``Refusal(invalid_request_uri)``, to be shown to the person.
    """
    uri = params.get("request_uri")
    if not uri.startswith(pushed.URI_PREFIX):
        return None
    client_id = params.get("client_id")
    pairs = rt.committer.submit(
        lambda tx: pushed.spend_request(
            tx.connection, tenant_id=tenant.id, client_id=client_id, uri=uri, now=now
        )
    )
    if pairs is None:
        raise Refusal(
            ErrorCode.INVALID_REQUEST_URI,
            "This request has expired or was already used. Go back to the application and start again.",
            reason="request_uri_spent",
            whose_move=WhoseMove.YOU,
        )
    return params_of(pairs)


def require_pushed(tenant: TenantSnapshot, client: ClientView) -> None:
    """Raise ``Refusal(invalid_request)`` when tenant or client want every request pushed (RFC 9126 §6)."""
    if (
        tenant.settings.require_pushed_authorization_requests
        or client.options.require_pushed_authorization_requests
    ):
        raise Refusal(ErrorCode.INVALID_REQUEST, "Push the authorization request first.", reason="not_pushed")


def _pairs(call: Call) -> list[tuple[str, str]]:
    """Return what is to be kept: the request without what authenticates the client, with its key."""
    params = call.params
    if params.has("request_uri"):
        raise Refusal(
            ErrorCode.INVALID_REQUEST, "A pushed request names no other.", reason="request_uri_pushed"
        )
    if call.jkt and params.get("dpop_jkt") not in {"", call.jkt}:
        raise Refusal(
            ErrorCode.INVALID_REQUEST, "dpop_jkt is another key than the proof's.", reason="dpop_jkt"
        )
    replaced = _OF_THE_CLIENT | {"client_id", *(["dpop_jkt"] if call.jkt else [])}
    pairs = [pair for pair in params.pairs() if pair[0] not in replaced]
    pairs.append(("client_id", call.client.client_id))
    if call.jkt:
        pairs.append(("dpop_jkt", call.jkt))
    if sum(len(name) + len(value) for name, value in pairs) > MAX_REQUEST_CHARS:
        raise Refusal(ErrorCode.TOO_LARGE, "The request is too large.", reason="too_large")
    return pairs


def _push(tx: Transaction, call: Call, caller: Authenticated, pairs: list[tuple[str, str]]) -> str:
    try:
        caller.spend(tx.connection)
        if call.proof is not None:
            call.proof.spend(tx.connection)
        return _keep(tx, call, call.agents, pairs)
    except Refusal as refusal:
        _record_refusal(tx, call, refusal)
        raise


def _keep(tx: Transaction, call: Call, agents: AgentsSnapshot, pairs: list[tuple[str, str]]) -> str:
    now, client_id = call.ctx.now, call.client.client_id
    params = params_of(pairs)
    # The same two stages as at the authorization endpoint; both run again there, on the state of then.
    asker = read_asker(agents, params, now)
    read_request(call.rt, call.tenant, agents, asker, params, now)
    waiting = pushed.count_requests(tx.connection, tenant_id=call.tenant.id, client_id=client_id, now=now)
    if waiting >= MAX_LIVE_REQUESTS:
        raise Refusal(
            ErrorCode.TOO_MANY_REQUESTS, "Too many requests of this client wait.", reason="many_requests"
        )
    return pushed.keep_request(
        tx.connection,
        tenant_id=call.tenant.id,
        client_id=client_id,
        params=pairs,
        expires_at=now + REQUEST_SECONDS,
    )


def _record_refusal(tx: Transaction, call: Call, refusal: Refusal) -> None:
    entry = compose(
        call.ctx,
        tenant_id=call.tenant.id,
        writer_id=call.rt.writer_id,
        event=AuditEvent.AUTHORIZATION_REFUSED,
        outcome="refused",
        reason=refusal.reason,
        actor=ActorRef("client", call.client.client_id),
        client_id=call.client.client_id,
        data={"error": refusal.code.value, "pushed": True},
    )
    tx.defer(append_many, entry)

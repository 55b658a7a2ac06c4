"""The endpoint at which a client ends a task of its own."""

from broker.agents.snapshot import load_agents
from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, append_many, compose
from broker.kernel.group_commit import Transaction
from broker.kernel.plain import PlainReply, PlainRequest
from broker.kernel.runtime import Runtime
from broker.oauth.calls import Call
from broker.oauth.client_auth import Authenticated, authenticate_client
from broker.oauth.params import parse_form
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.tasks import end_task, hold_task


def end_task_endpoint(rt: Runtime, tenant: TenantSnapshot, request: PlainRequest) -> PlainReply:
    """End the task ``task`` of the calling client, and every token in it, whoever holds it.

    Answers 200 for an unknown task and for another client's, which it leaves alone, as revocation does.
    """
    params = parse_form(request)
    caller = authenticate_client(rt, tenant, load_agents(rt, tenant.id), request, params)
    call = Call(rt, tenant, caller.agents, caller.client, params, request.ctx)
    task_id = params.require("task")
    rt.committer.submit(lambda tx: _end(tx, call, caller, task_id))
    return PlainReply(200, b"", [("Cache-Control", "no-store")])


def _end(tx: Transaction, call: Call, caller: Authenticated, task_id: str) -> None:
    caller.spend(tx.connection)
    task = hold_task(tx.connection, call.tenant.id, task_id)
    # Without this: an agent that was handed a token could end the work of all others.
    if task is None or task.client_id != call.client.client_id or task.ended_at is not None:
        return
    count = end_task(tx.connection, call.tenant.id, task, "task_ended", call.ctx.now)
    entry = compose(
        call.ctx,
        tenant_id=call.tenant.id,
        writer_id=call.rt.writer_id,
        event=AuditEvent.TASK_ENDED,
        actor=ActorRef("client", call.client.client_id),
        subject_id=task.user_id or "",
        client_id=call.client.client_id,
        target_id=task.id,
        data={"token_count": count},
    )
    tx.defer(append_many, entry)

"""Tasks over OAuth: begun and continued in a token exchange; their end is in ``task_end``.

Parameters of ours (RFC 8693 §2.1 allows them): ``task_purpose``, ``task_seconds`` and ``task_instance`` begin
a task, ``task`` continues one.
"""

import re

from broker.agents.snapshot import AgentView
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.group_commit import Transaction
from broker.oauth.calls import Call
from broker.tokens.liveness import TokenRow
from broker.tokens.tasks import MAX_ROOTS, TaskView, hold_task, new_task

MAX_PURPOSE_CHARS = 200

_INSTANCE = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_BEGINNINGS = ("task_purpose", "task_seconds", "task_instance")


def asked_task(
    tx: Transaction, call: Call, agent: AgentView, row: TokenRow, *, is_in_task: bool
) -> TaskView | None:
    """Return the task that an exchange of the agent's own token begins or continues, None for no task.

    Raises ``Refusal`` (``invalid_request``, ``invalid_grant``).
    """
    begins, continues = any(call.params.has(name) for name in _BEGINNINGS), call.params.has("task")
    if not begins and not continues:
        return None
    # Without this: an agent could take a token out of the task that somebody is about to end.
    if is_in_task or (begins and continues):
        raise _malformed("task_within_task")
    if continues:
        return _continued(tx, call, row)
    purpose = call.params.require("task_purpose")
    if len(purpose) > MAX_PURPOSE_CHARS:
        raise _malformed("task_purpose")
    until = row.grant_expires_at
    if call.params.has("task_seconds"):
        until = min(until, call.ctx.now + _seconds(call))
    return new_task(
        grant_id=row.grant_id,
        client_id=call.client.client_id,
        agent_id=agent.id,
        user_id=row.user_id,
        purpose=purpose,
        instance=_instance(call, agent),
        now=call.ctx.now,
        expires_at=until,
    )


def _continued(tx: Transaction, call: Call, row: TokenRow) -> TaskView:
    task = hold_task(tx.connection, call.tenant.id, call.params.require("task"))
    # Without this: a client could bring another person's token, or another client's, into a task.
    is_own = task is not None and task.client_id == call.client.client_id and task.grant_id == row.grant_id
    if task is None or not is_own or not task.is_live(call.ctx.now):
        raise Refusal(ErrorCode.INVALID_GRANT, "The task has ended or is not this client's.", reason="task")
    if len(task.roots) >= MAX_ROOTS:
        raise Refusal(ErrorCode.INVALID_GRANT, "The task was continued too often.", reason="task_roots")
    return task


def _instance(call: Call, agent: AgentView) -> str:
    """Return which run of the agent begins the task: named by those, and only those, that have runs."""
    if agent.options.has_instances is not call.params.has("task_instance"):
        raise _malformed("task_instance")
    if not agent.options.has_instances:
        return ""
    instance = call.params.require("task_instance")
    if _INSTANCE.fullmatch(instance) is None:
        raise _malformed("task_instance")
    return instance


def _seconds(call: Call) -> int:
    text = call.params.require("task_seconds")
    if not (text.isascii() and text.isdigit()) or len(text) > 7 or int(text) == 0:
        raise _malformed("task_seconds")
    return int(text)


def _malformed(reason: str) -> Refusal:
    return Refusal(ErrorCode.INVALID_REQUEST, "The task parameters do not fit.", reason=reason)

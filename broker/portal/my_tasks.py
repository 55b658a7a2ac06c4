"""Tasks in which an agent acts for one person, and their end by that person."""

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.kernel.context import CallContext
from broker.kernel.runtime import Runtime
from broker.tokens.tasks import TASKS, end_task, hold_task, list_live_tasks, task_words


def list_my_tasks(
    core: Connection, tenant_id: str, user_id: str, agent_id: str, now: int
) -> list[dict[str, Any]]:
    """Return the live tasks that the agent began for the person, as the page shows them."""
    mine = (TASKS.c.user_id == user_id) & (TASKS.c.agent_id == agent_id)
    return [task_words(task) for task in list_live_tasks(core, tenant_id, mine, now)]


def end_my_task(
    session: Session, rt: Runtime, tenant_id: str, user_id: str, agent_id: str, task_id: str, ctx: CallContext
) -> None:
    """End a task of the person's own, with every token in it; another's is left alone, as if unknown.

    Without the check: a changed form would end the work of somebody else's agent (T01).
    """
    core = session.connection()
    task = hold_task(core, tenant_id, task_id)
    if task is None or (task.user_id, task.agent_id) != (user_id, agent_id) or task.ended_at is not None:
        return
    count = end_task(core, tenant_id, task, "task_ended", ctx.now)
    record(
        core,
        ctx,
        tenant_id=tenant_id,
        event=AuditEvent.TASK_ENDED,
        actor=ActorRef("user", user_id),
        subject_id=user_id,
        target_id=agent_id,
        data={"task": task.id, "token_count": count},
        writer_id=rt.writer_id,
    )

"""An administrator ends one task of an agent."""

from broker.admin.agents import get_agent
from broker.admin.changes import Desk, change, not_found, write_down
from broker.audit.events import AuditEvent
from broker.tokens.tasks import end_task, hold_task


def end_task_of(desk: Desk, agent_id: str, task_id: str) -> None:
    """End a task of this agent, with every token in it; raises ``Refusal(not_found)``."""
    agent = get_agent(desk, agent_id)
    with change(desk) as session:
        core = session.connection()
        task = hold_task(core, desk.tenant.id, task_id)
        if task is None or task.agent_id != agent.id:
            raise not_found("task")
        if task.ended_at is not None:
            return
        count = end_task(core, desk.tenant.id, task, "task_ended", desk.now)
        write_down(
            session,
            desk,
            AuditEvent.TASK_ENDED,
            target_id=agent.id,
            subject_id=task.user_id or "",
            reason="ended_by_admin",
            data={"task": task.id, "token_count": count},
        )

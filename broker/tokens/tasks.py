"""Tasks: begun by an agent for a purpose, continued with later tokens, ended with all that they hold."""

from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, Table, select, update

from broker.kernel.ids import new_id
from broker.tokens import cascade, models

MAX_ROOTS = 100
"""A task is continued at most this often; each continuation is one more tree to end."""

TASKS = cast(Table, models.Task.__table__)


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task as it is now; ``roots`` are the tokens that everything in it hangs on, times epoch seconds."""

    id: str
    grant_id: str
    client_id: str
    agent_id: str
    user_id: str | None
    purpose: str
    instance: str
    roots: tuple[str, ...]
    started_at: int
    expires_at: int
    ended_at: int | None

    def is_live(self, now: int) -> bool:
        """Whether tokens may still be issued in it."""
        return self.ended_at is None and now < self.expires_at


def new_task(
    *,
    grant_id: str,
    client_id: str,
    agent_id: str,
    user_id: str | None,
    purpose: str,
    instance: str,
    now: int,
    expires_at: int,
) -> TaskView:
    """Return a task that begins now; ``keep_task`` stores it with its first token."""
    return TaskView(
        new_id("txn"), grant_id, client_id, agent_id, user_id, purpose, instance, (), now, expires_at, None
    )


def hold_task(connection: Connection, tenant_id: str, task_id: str) -> TaskView | None:
    """Return the task, which nobody else ends or continues until this transaction is over, or None.

    Without the hold: on PostgreSQL a token could join a task while it is being ended, and outlive it.
    """
    statement = select(TASKS).where(TASKS.c.tenant_id == tenant_id, TASKS.c.id == task_id).with_for_update()
    row = connection.execute(statement).first()
    return _view(row) if row is not None else None


def keep_task(connection: Connection, tenant_id: str, task: TaskView, root: str) -> None:
    """Store a new task with its first token, or add another root to one that is held."""
    if task.roots:
        this = (TASKS.c.tenant_id == tenant_id) & (TASKS.c.id == task.id)
        connection.execute(update(TASKS).where(this).values(roots=[*task.roots, root]))
        return
    connection.execute(
        TASKS.insert().values(
            tenant_id=tenant_id,
            id=task.id,
            grant_id=task.grant_id,
            client_id=task.client_id,
            agent_id=task.agent_id,
            user_id=task.user_id,
            purpose=task.purpose,
            instance=task.instance,
            roots=[root],
            started_at=task.started_at,
            expires_at=task.expires_at,
            ended_at=None,
            ended_by="",
        )
    )


def end_task(connection: Connection, tenant_id: str, task: TaskView, cause: str, now: int) -> int:
    """End a task that is held, and every token in it whoever holds it; returns how many were live."""
    this = (TASKS.c.tenant_id == tenant_id) & (TASKS.c.id == task.id)
    connection.execute(
        update(TASKS).where(this, TASKS.c.ended_at.is_(None)).values(ended_at=now, ended_by=cause)
    )
    return sum(cascade.end_token(connection, tenant_id, root, cause, now) for root in task.roots)


def list_live_tasks(
    connection: Connection, tenant_id: str, condition: ColumnElement[bool], now: int, *, limit: int = 50
) -> list[TaskView]:
    """Return the newest tasks on a condition over ``TASKS`` that have not ended."""
    rows = connection.execute(
        select(TASKS)
        .where(
            TASKS.c.tenant_id == tenant_id, condition, TASKS.c.ended_at.is_(None), TASKS.c.expires_at > now
        )
        .order_by(TASKS.c.started_at.desc(), TASKS.c.id)
        .limit(limit)
    )
    return [_view(row) for row in rows]


def task_words(task: TaskView) -> dict[str, Any]:
    """Return a task as pages show it (``parts/tasks.html``)."""
    return {
        "task_id": task.id,
        "purpose": task.purpose,
        "instance": task.instance,
        "started_at": task.started_at,
        "expires_at": task.expires_at,
    }


def _view(row: Any) -> TaskView:
    return TaskView(
        id=row.id,
        grant_id=row.grant_id,
        client_id=row.client_id,
        agent_id=row.agent_id,
        user_id=row.user_id,
        purpose=row.purpose,
        instance=row.instance,
        roots=tuple(row.roots),
        started_at=row.started_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
    )

"""Asks for groups again between sign-ins: for people for whom agents may act, the longest due first.

One process at a time does it, a bounded number of people a run; what fails is kept as the person's state.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from sqlalchemy import Table, exists, select

from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.directory.group_facts import AskAgain, GroupChange, ToldGroups, put_off, replace_groups, tell
from broker.directory.models import GroupSnapshot
from broker.federation.groups import Asking, find_asking
from broker.kernel.context import CallContext
from broker.kernel.ids import new_id
from broker.kernel.jobs import acquire_lease, renew_lease
from broker.kernel.runtime import Runtime
from broker.tenants.snapshot import get_tenant
from broker.tokens.cascade import GRANTS
from broker.tokens.lost_roles import ending_lost_roles, record_losses
from idp_connectors.base import Connector, GroupAnswer

LEASE = "group-refresh"
LEASE_SECONDS = 120
"""A process that died is replaced after this long; asking about one person takes at most ten seconds."""

MAX_PEOPLE = 200
RUN_SECONDS = 45.0
MAX_FAILURES = 2
"""After so many failures in a row a connection's source is not asked any more in the same run."""

IDLE_SECONDS = 3600
"""How long somebody for whom no agent may act is not looked at again."""

_SNAPSHOTS = cast(Table, GroupSnapshot.__table__)


@dataclass(frozen=True, slots=True)
class _Due:
    tenant_id: str
    user_id: str
    connection_id: str
    lookup_key: str
    refresh_at: int
    is_acted_for: bool


@dataclass
class _Run:
    """One run: what it may use, how it went with each connection, and how much it did."""

    rt: Runtime
    connectors: Mapping[str, Connector]
    failures: Counter[str] = field(default_factory=Counter)
    last: dict[str, GroupAnswer] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)

    def refresh(self, due: _Due, now: int) -> None:
        asking = self._find_asking(due)
        if asking is None or not asking.plan.refresh_seconds:
            self._put_off(due, None)
        elif not due.is_acted_for or not (asking.tenant.is_active and asking.connection.is_active):
            self._put_off(due, now + max(asking.plan.refresh_seconds, IDLE_SECONDS))
        else:
            answer = self._ask(asking, due, now)
            again = AskAgain(due.lookup_key, asking.plan.refresh_seconds)
            told = tell(answer.groups, answer.state, answer.source, now, problem=answer.problem, again=again)
            self._store(due, told, now)

    def _find_asking(self, due: _Due) -> Asking | None:
        tenant = get_tenant(self.rt, due.tenant_id)
        connection = tenant.connections.get(due.connection_id) if tenant else None
        if tenant is None or connection is None:
            return None
        return find_asking(self.rt, self.connectors, tenant, connection)

    def _ask(self, asking: Asking, due: _Due, now: int) -> GroupAnswer:
        at = due.connection_id
        # Without this: one customer's broken directory takes up the time of everybody's.
        if self.failures[at] >= MAX_FAILURES:
            return self.last[at]
        answer = asking.ask(due.lookup_key, now)
        self.failures[at] = self.failures[at] + 1 if answer.state == "error" else 0
        self.last[at] = replace(answer, groups=())
        return answer

    def _put_off(self, due: _Due, until: int | None) -> None:
        with self.rt.database.core_write() as core:
            put_off(core, due.tenant_id, due.connection_id, due.user_id, seen_at=due.refresh_at, until=until)

    def _store(self, due: _Due, told: ToldGroups, now: int) -> None:
        ctx = CallContext(now=now, request_id=new_id("req"))
        with self.rt.database.core_write() as core:
            with ending_lost_roles(core, self.rt, due.tenant_id, [due.user_id], now) as watch:
                change = replace_groups(
                    core, due.tenant_id, due.connection_id, due.user_id, told, seen_at=due.refresh_at
                )
            if change is None:
                return
            record_losses(
                core,
                ctx,
                watch.losses,
                tenant_id=due.tenant_id,
                connection_id=due.connection_id,
                actor=ActorRef("system", "groups"),
                writer_id=self.rt.writer_id,
            )
            self.done["failed" if told.state == "error" else "refreshed"] += 1
            if change.came or change.went or change.state_before != told.state:
                record(
                    core,
                    ctx,
                    tenant_id=due.tenant_id,
                    event=AuditEvent.GROUPS_CHANGED,
                    actor=ActorRef("system", "groups"),
                    subject_id=due.user_id,
                    target_id=due.connection_id,
                    reason="lookup_failed" if told.state == "error" else "",
                    data=_data(told, change),
                    writer_id=self.rt.writer_id,
                )


def refresh_groups(
    rt: Runtime, connectors: Mapping[str, Connector], *, monotonic: Callable[[], float] = time.monotonic
) -> dict[str, int]:
    """Ask for the groups that are due; returns how many answers were "refreshed" and how many "failed".

    Does nothing while another process does it. Stops after ``MAX_PEOPLE`` or ``RUN_SECONDS``; who is left
    is first at the next run.
    """
    now = rt.clock.now()
    with rt.database.core_write() as core:
        if not acquire_lease(core, name=LEASE, holder=rt.writer_id, now=now, ttl_seconds=LEASE_SECONDS):
            return {}
    run = _Run(rt, connectors)
    ends = monotonic() + RUN_SECONDS
    for due in _find_due(rt, now):
        now = rt.clock.now()
        if monotonic() >= ends or not _is_still_ours(rt, now):
            break
        run.refresh(due, now)
    return dict(run.done)


def _find_due(rt: Runtime, now: int) -> list[_Due]:
    """Return who is due, of all tenants; walks the index of times, not the tenants."""
    acted_for = exists().where(
        GRANTS.c.tenant_id == _SNAPSHOTS.c.tenant_id,
        GRANTS.c.user_id == _SNAPSHOTS.c.user_id,
        GRANTS.c.ended_at.is_(None),
        GRANTS.c.expires_at > now,
    )
    with rt.database.core_read() as core:
        rows = core.execute(
            select(
                _SNAPSHOTS.c.tenant_id,
                _SNAPSHOTS.c.user_id,
                _SNAPSHOTS.c.connection_id,
                _SNAPSHOTS.c.lookup_key,
                _SNAPSHOTS.c.refresh_at,
                acted_for.label("is_acted_for"),
            )
            .where(_SNAPSHOTS.c.refresh_at <= now, _SNAPSHOTS.c.lookup_key.is_not(None))
            .order_by(_SNAPSHOTS.c.refresh_at)
            .limit(MAX_PEOPLE)
        )
        return [_Due(*row) for row in rows]


def _is_still_ours(rt: Runtime, now: int) -> bool:
    with rt.database.core_write() as core:
        return renew_lease(core, name=LEASE, holder=rt.writer_id, now=now, ttl_seconds=LEASE_SECONDS)


def _data(told: ToldGroups, change: GroupChange) -> dict[str, str | int]:
    return {
        "state": told.state,
        "state_before": change.state_before,
        "source": told.source,
        "came": change.came,
        "went": change.went,
    }

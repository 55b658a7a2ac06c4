"""Walks that nobody waits for: begun again when their time has come, carried on after a process died."""

import time
from collections.abc import Callable, Mapping

from sqlalchemy import select

from broker.audit.log import ActorRef
from broker.federation.directory_sync import SyncDesk, continue_sync, start_sync
from broker.federation.models import DirectorySync
from broker.kernel.context import CallContext
from broker.kernel.errors import Refusal
from broker.kernel.ids import new_id
from broker.kernel.runtime import Runtime
from broker.tenants.snapshot import get_tenant
from idp_connectors.base import Connector

RUN_SECONDS = 45.0
MAX_DUE = 20


def continue_due_syncs(
    rt: Runtime, connectors: Mapping[str, Connector], *, monotonic: Callable[[], float] = time.monotonic
) -> dict[str, int]:
    """Begin and carry on the walks that are due, for ``RUN_SECONDS``; returns how many were "walked".

    Looks at the index of times and never at all tenants.
    """
    ends = monotonic() + RUN_SECONDS
    now = rt.clock.now()
    with rt.database.core_read() as core:
        due = core.execute(
            select(DirectorySync.tenant_id, DirectorySync.connection_id, DirectorySync.state)
            .where(DirectorySync.next_at <= now)
            .order_by(DirectorySync.next_at)
            .limit(MAX_DUE)
        ).all()
    walked = 0
    for tenant_id, connection_id, state in due:
        tenant = get_tenant(rt, tenant_id)
        connection = tenant.connections.get(connection_id) if tenant else None
        if tenant is None or connection is None or monotonic() >= ends:
            continue
        if state != "running":
            ctx = CallContext(now=now, request_id=new_id("req"))
            try:
                start_sync(SyncDesk(rt, connectors, tenant, connection, ctx, ActorRef("system", "directory")))
            except Refusal:
                # Another process was quicker, or the connection is switched off at the moment.
                continue
        walked += continue_sync(rt, connectors, tenant, connection, is_over=lambda: monotonic() >= ends)
    return {"walked": walked}

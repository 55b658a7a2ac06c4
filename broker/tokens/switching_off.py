"""Switches people, agents, clients, connections and tenants off, with everything that they stand behind.

Two things make it stick. The state is what the liveness gate reads at every use; the cutoff keeps what
was issued before dead when the owner is switched on again (protocols §6.4).
"""

from collections.abc import Mapping
from typing import Literal, cast

from sqlalchemy import ColumnElement, Connection, Table, case, func, select, true, update

from broker.agents.models import Agent, Client
from broker.directory.models import User
from broker.kernel.versions import bump
from broker.tenants.models import Connection as IdpConnection
from broker.tenants.models import Tenant
from broker.tokens.cascade import (
    GRANTS,
    SESSIONS,
    Ended,
    end_grants_where,
    end_sessions_where,
    end_trees_through,
)

Owner = Literal["user", "agent", "client", "connection", "tenant"]
"""What can be switched off and on."""

_TABLES: Mapping[str, tuple[Table, str]] = {
    "user": (cast(Table, User.__table__), "id"),
    "agent": (cast(Table, Agent.__table__), "id"),
    "client": (cast(Table, Client.__table__), "client_id"),
    "connection": (cast(Table, IdpConnection.__table__), "id"),
    "tenant": (cast(Table, Tenant.__table__), "id"),
}


def end_user(connection: Connection, tenant_id: str, user_id: str, cause: str, now: int) -> Ended:
    """Disable a person and end their grants, tokens and browser sessions."""
    if not _switch(connection, tenant_id, "user", user_id, "disabled", now):
        return Ended()
    return end_grants_where(
        connection, tenant_id, GRANTS.c.user_id == user_id, cause, now
    ) + end_sessions_where(connection, tenant_id, SESSIONS.c.user_id == user_id, now)


def end_agent(
    connection: Connection,
    tenant_id: str,
    agent_id: str,
    cause: str,
    now: int,
    *,
    state: Literal["suspended", "killed"] = "suspended",
) -> Ended:
    """Suspend or kill an agent and end its grants, its tokens and every token derived from those."""
    if not _switch(connection, tenant_id, "agent", agent_id, state, now):
        return Ended()
    return end_grants_where(
        connection, tenant_id, GRANTS.c.agent_id == agent_id, cause, now
    ) + end_trees_through(connection, tenant_id, "agent_id", agent_id, cause, now)


def end_agents_of(
    connection: Connection, tenant_id: str, owner_email: str, cause: str, now: int
) -> Mapping[str, Ended]:
    """Suspend the active agents whose owner has this address; returns by agent what ended.

    The address must be proven. Without that: whoever sets one in some directory could stop another
    person's agents.
    """
    owned = connection.execute(
        select(Agent.id).where(
            Agent.tenant_id == tenant_id,
            func.lower(Agent.owner_email) == owner_email.lower(),
            Agent.state == "active",
        )
    ).scalars()
    return {agent_id: end_agent(connection, tenant_id, agent_id, cause, now) for agent_id in list(owned)}


def end_client(connection: Connection, tenant_id: str, client_id: str, cause: str, now: int) -> Ended:
    """Disable a client and end its grants, its tokens and every token derived from those."""
    if not _switch(connection, tenant_id, "client", client_id, "disabled", now):
        return Ended()
    return end_grants_where(
        connection, tenant_id, GRANTS.c.client_id == client_id, cause, now
    ) + end_trees_through(connection, tenant_id, "client_id", client_id, cause, now)


def end_connection(connection: Connection, tenant_id: str, connection_id: str, cause: str, now: int) -> Ended:
    """Disable an identity provider's connection and end what came in through it."""
    if not _switch(connection, tenant_id, "connection", connection_id, "disabled", now):
        return Ended()
    return end_grants_where(
        connection, tenant_id, GRANTS.c.connection_id == connection_id, cause, now
    ) + end_sessions_where(connection, tenant_id, SESSIONS.c.connection_id == connection_id, now)


def end_tenant(connection: Connection, tenant_id: str, cause: str, now: int) -> Ended:
    """Disable a tenant and end everything that was issued for it."""
    if not _switch(connection, tenant_id, "tenant", tenant_id, "disabled", now):
        return Ended()
    return end_grants_where(connection, tenant_id, true(), cause, now) + end_sessions_where(
        connection, tenant_id, true(), now
    )


def switch_on(connection: Connection, tenant_id: str, owner: Owner, owner_id: str, now: int) -> bool:
    """Enable something again; returns whether it was off. What was issued until now stays dead.

    A killed agent stays killed. The cutoff moves to ``now``, so that nothing which slipped in while the
    owner was being switched off comes back to life.
    """
    table, key = _TABLES[owner]
    changed = connection.execute(
        update(table)
        .where(_is_this(table, key, tenant_id, owner_id), table.c.state.in_(("disabled", "suspended")))
        .values(state="active", cutoff_at=_later(table.c.cutoff_at, now))
    ).rowcount
    if changed:
        bump(connection, tenant_id)
    return changed == 1


def _switch(
    connection: Connection, tenant_id: str, owner: Owner, owner_id: str, state: str, now: int
) -> bool:
    table, key = _TABLES[owner]
    changed = connection.execute(
        update(table)
        # A killed agent is not merely suspended by a later call.
        .where(_is_this(table, key, tenant_id, owner_id), table.c.state != "killed")
        .values(state=state, cutoff_at=_later(table.c.cutoff_at, now))
    ).rowcount
    if changed:
        bump(connection, tenant_id)
    return changed == 1


def _is_this(table: Table, key: str, tenant_id: str, owner_id: str) -> ColumnElement[bool]:
    this: ColumnElement[bool] = table.c[key] == owner_id
    return this if table.name == "tenants" else (table.c.tenant_id == tenant_id) & this


def _later(column: ColumnElement[int], now: int) -> ColumnElement[int]:
    return case((column > now, column), else_=now)

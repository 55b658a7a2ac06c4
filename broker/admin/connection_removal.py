"""Removing a connection with everything that hangs on it, after saying what that is."""

from typing import Any, cast

from sqlalchemy import Table, delete, func, select
from sqlalchemy.orm import Session

from broker.admin.changes import Desk, change, write_down
from broker.admin.connections import get_connection
from broker.audit.events import AuditEvent
from broker.directory.models import GroupMapping, GroupSnapshot, IdentityLink, ProvisionedPerson
from broker.federation.models import (
    ConnectionTest,
    DirectoryGroup,
    DirectoryPerson,
    DirectorySync,
    MetadataReading,
    ServiceKeyPair,
    SignInFlow,
)
from broker.kernel.database import Base
from broker.scim.models import (
    ScimEmail,
    ScimGroup,
    ScimLink,
    ScimMember,
    ScimRequest,
    ScimToken,
    ScimUser,
)
from broker.tenants.models import Connection, ConnectionDomain
from broker.tokens.cascade import GRANTS
from broker.tokens.reading import measure_reach, tokens_where_grants
from broker.tokens.switching_off import end_connection

OWNED: tuple[type[Base], ...] = (
    ConnectionDomain,
    ConnectionTest,
    DirectoryGroup,
    DirectoryPerson,
    DirectorySync,
    GroupMapping,
    GroupSnapshot,
    IdentityLink,
    MetadataReading,
    ProvisionedPerson,
    ScimGroup,
    ScimLink,
    ScimRequest,
    ScimToken,
    ScimUser,
    ServiceKeyPair,
    SignInFlow,
)
"""Tables whose rows mean nothing without their connection. Sessions, grants and tokens end and stay known."""
_OF_PEOPLE: tuple[type[Base], ...] = (ScimEmail, ScimMember)
"""Tables whose rows hang on a provisioned person of the connection."""


def removal_context(desk: Desk, connection_id: str) -> dict[str, Any]:
    """Return the context of ``admin/connection_remove.html``: what would end and what would be gone."""
    connection = get_connection(desk, connection_id)
    owned = GRANTS.c.connection_id == connection.id
    with desk.rt.database.read(desk.tenant.id) as session:
        tokens = tokens_where_grants(owned, desk.tenant.id)
        reach = measure_reach(session.connection(), desk.tenant.id, tokens, owned, desk.now, agent_id="")
        counts = {
            "people_count": _count(session, desk, IdentityLink, connection.id, distinct="user_id"),
            "rule_count": _count(session, desk, GroupMapping, connection.id),
            "grant_count": reach.grants,
            "token_count": reach.tokens,
        }
    others = [one for one in desk.tenant.connections.values() if one.is_active and one.id != connection.id]
    return {
        "connection": {
            "connection_id": connection.id,
            "name": connection.name,
            "slug": connection.slug,
            "domains": sorted(connection.domains),
        },
        "is_last": not others,
        **counts,
    }


def remove_connection(desk: Desk, connection_id: str, typed: str) -> bool:
    """Remove a connection if ``typed`` is its word in addresses; returns whether it is gone.

    Its sessions, grants and tokens end first, so that nothing that came through it outlives it. Without
    the word: one slip on a list ends the sign-in of a whole organisation.
    """
    connection = get_connection(desk, connection_id)
    if typed.strip() != connection.slug:
        return False
    with change(desk) as session:
        core = session.connection()
        ended = end_connection(core, desk.tenant.id, connection.id, "connection_removed", desk.now)
        provisioned = select(ScimUser.id).where(
            ScimUser.tenant_id == desk.tenant.id, ScimUser.connection_id == connection.id
        )
        for model in _OF_PEOPLE:
            table = cast(Table, model.__table__)
            core.execute(
                delete(table).where(
                    table.c.tenant_id == desk.tenant.id, table.c.scim_user_id.in_(provisioned)
                )
            )
        for model in OWNED:
            table = cast(Table, model.__table__)
            core.execute(
                delete(table).where(
                    table.c.tenant_id == desk.tenant.id, table.c.connection_id == connection.id
                )
            )
        rows = cast(Table, Connection.__table__)
        core.execute(delete(rows).where(rows.c.tenant_id == desk.tenant.id, rows.c.id == connection.id))
        told = {"slug": connection.slug, "grant_count": ended.grants, "token_count": ended.tokens}
        told |= {"session_count": ended.sessions}
        write_down(session, desk, AuditEvent.CONNECTION_REMOVED, target_id=connection.id, data=told)
    return True


def _count(session: Session, desk: Desk, model: type[Base], connection_id: str, *, distinct: str = "") -> int:
    table = cast(Table, model.__table__)
    what = func.count(table.c[distinct].distinct()) if distinct else func.count()
    return session.execute(
        select(what)
        .select_from(table)
        .where(table.c.tenant_id == desk.tenant.id, table.c.connection_id == connection_id)
    ).scalar_one()

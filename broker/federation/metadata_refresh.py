"""Reads providers' metadata again and again, so that a changed signing key locks nobody out.

One process at a time does it. What was known before stays in force whatever goes wrong; what nobody vouches
for is shown to the administrator and never taken over.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Table, and_, or_, select
from sqlalchemy.orm import Session

from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.federation.models import MetadataReading
from broker.kernel.context import CallContext
from broker.kernel.errors import Refusal
from broker.kernel.ids import new_id
from broker.kernel.jobs import acquire_lease, renew_lease
from broker.kernel.runtime import Runtime
from broker.kernel.versions import bump
from broker.tenants.models import Connection
from broker.tenants.snapshot import ConnectionView, get_tenant
from idp_connectors.base import Connector, ConnectorError, FollowedMetadata, FollowsMetadata

LEASE = "metadata-refresh"
LEASE_SECONDS = 120
REFRESH_SECONDS = 6 * 3600
"""How long a good reading lasts; providers publish a new key days before they use it."""
RETRY_SECONDS = 3600
MAX_CONNECTIONS = 50
"""How many documents one run reads; who is left is first at the next one."""
MAX_BYTES = 256 * 1024

UNSIGNED_CHANGE = "unsigned_change"
"""The problem of a reading that says something new which no trusted certificate has signed."""

_READINGS = cast(Table, MetadataReading.__table__)
_CONNECTIONS = cast(Table, Connection.__table__)


@dataclass(frozen=True, slots=True)
class _Read:
    """One reading: what the document says, or why there is none."""

    connection: ConnectionView
    now: int
    found: FollowedMetadata | None = None
    problem: str = ""


def refresh_metadata(rt: Runtime, connectors: Mapping[str, Connector]) -> dict[str, int]:
    """Read the metadata that is due; returns how many readings were good, failed, and changed something."""
    now = rt.clock.now()
    with rt.database.core_write() as core:
        if not acquire_lease(core, name=LEASE, holder=rt.writer_id, now=now, ttl_seconds=LEASE_SECONDS):
            return {}
    followed = {kind: one for kind, one in connectors.items() if isinstance(one, FollowsMetadata)}
    done: Counter[str] = Counter()
    for tenant_id, connection_id in _find_due(rt, list(followed), now):
        now = rt.clock.now()
        if not _is_still_ours(rt, now):
            break
        tenant = get_tenant(rt, tenant_id)
        connection = tenant.connections.get(connection_id) if tenant else None
        if connection is not None:
            done.update(refresh_connection(rt, followed[connection.kind], tenant_id, connection, now))
    return dict(done)


def refresh_connection(
    rt: Runtime, connector: FollowsMetadata, tenant_id: str, connection: ConnectionView, now: int
) -> dict[str, int]:
    """Read one connection's metadata, due or not; returns counts as ``refresh_metadata`` does."""
    reading = _read(rt, connector, connection, now)
    return _keep(rt, tenant_id, reading) if reading else _pass_over(rt, tenant_id, connection, now)


def describe_changes(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an event says of ``changes`` to a connection's configuration: names and thumbprints."""
    known = {thumbprint(one) for one in config.get("certificates", ())}
    told = {thumbprint(one) for one in changes.get("certificates", ())}
    return {
        "fields": sorted(changes),
        "certificates_came": sorted(told - known),
        "certificates_went": sorted(known - told) if told else [],
    }


def thumbprint(certificate: str) -> str:
    """Return the first half of the SHA-256 of a certificate's text, by which people tell two apart."""
    return hashlib.sha256("".join(certificate.split()).encode()).hexdigest()[:32]


def _find_due(rt: Runtime, kinds: list[str], now: int) -> list[tuple[str, str]]:
    """Return the active connections, of all tenants, whose metadata has not been read for long."""
    same = and_(
        _READINGS.c.tenant_id == _CONNECTIONS.c.tenant_id, _READINGS.c.connection_id == _CONNECTIONS.c.id
    )
    with rt.database.core_read() as core:
        rows = core.execute(
            select(_CONNECTIONS.c.tenant_id, _CONNECTIONS.c.id)
            .select_from(_CONNECTIONS.outerjoin(_READINGS, same))
            .where(
                _CONNECTIONS.c.kind.in_(kinds),
                _CONNECTIONS.c.state == "active",
                or_(_READINGS.c.refresh_at.is_(None), _READINGS.c.refresh_at <= now),
            )
            .order_by(_READINGS.c.refresh_at)
            .limit(MAX_CONNECTIONS)
        )
        return [(row[0], row[1]) for row in rows]


def _read(rt: Runtime, connector: FollowsMetadata, connection: ConnectionView, now: int) -> _Read | None:
    """Return the reading, or None for a connection whose metadata is not followed."""
    try:
        url = connector.metadata_url(connection.config)
        if not url:
            return None
        document = rt.egress.fetch(url, max_bytes=MAX_BYTES)
        return _Read(connection, now, connector.follow_metadata(connection.config, document, now))
    except Refusal:
        return _Read(connection, now, problem="unreachable")
    except ConnectorError as error:
        return _Read(connection, now, problem=error.field or error.code.value)


def _pass_over(rt: Runtime, tenant_id: str, connection: ConnectionView, now: int) -> dict[str, int]:
    with rt.database.write(tenant_id) as session:
        row = _row(session, tenant_id, connection.id)
        row.refresh_at, row.problem, row.offered = now + REFRESH_SECONDS, "", {}
    return {}


def _keep(rt: Runtime, tenant_id: str, reading: _Read) -> dict[str, int]:
    """Write down how it went and take over what is proven, in one transaction with its event."""
    with rt.database.write(tenant_id) as session:
        row = _row(session, tenant_id, reading.connection.id)
        before = (row.problem, row.offered)
        found = reading.found
        took: Mapping[str, Any] = {}
        if found is None:
            row.refresh_at, row.problem = reading.now + RETRY_SECONDS, reading.problem
        else:
            row.refresh_at, row.read_at = reading.now + REFRESH_SECONDS, reading.now
            row.valid_until = found.valid_until
            _show_hearsay(row, {} if found.is_proven else found.changes)
            took = found.changes if found.is_proven and _take_over(session, reading, found) else {}
        if took:
            row.changed_at = reading.now
            _write_down(session, rt, tenant_id, reading, AuditEvent.CONNECTION_METADATA_TAKEN, took)
        elif row.problem and (row.problem, row.offered) != before:
            offers = found.changes if found else {}
            _write_down(
                session, rt, tenant_id, reading, AuditEvent.CONNECTION_METADATA_REFUSED, offers, row.problem
            )
        counts = {"failed" if row.problem else "read": 1}
    return {**counts, "changed": 1} if took else counts


def _show_hearsay(row: MetadataReading, changes: Mapping[str, Any]) -> None:
    """Keep what nobody vouches for until an administrator decides; what was refused stays refused."""
    if not changes:
        row.problem, row.offered = "", {}
    elif row.offered.get("changes") != changes:
        row.problem, row.offered = UNSIGNED_CHANGE, {"changes": dict(changes), "is_refused": False}
    else:
        row.problem = "" if row.offered["is_refused"] else UNSIGNED_CHANGE


def _take_over(session: Session, reading: _Read, found: FollowedMetadata) -> bool:
    """Change the connection as the proven document says, unless an administrator changed it meanwhile."""
    row = session.get(Connection, reading.connection.id)
    if not found.changes or row is None or row.config != reading.connection.config:
        return False
    row.config = {**row.config, **found.changes}
    session.flush()
    bump(session.connection(), row.tenant_id)
    return True


def _write_down(
    session: Session,
    rt: Runtime,
    tenant_id: str,
    reading: _Read,
    event: AuditEvent,
    changes: Mapping[str, Any],
    reason: str = "",
) -> None:
    record(
        session.connection(),
        CallContext(now=reading.now, request_id=new_id("req")),
        tenant_id=tenant_id,
        event=event,
        actor=ActorRef("system", "metadata"),
        target_id=reading.connection.id,
        reason=reason,
        outcome="refused" if reason else "ok",
        data=describe_changes(reading.connection.config, changes),
        writer_id=rt.writer_id,
    )


def _row(session: Session, tenant_id: str, connection_id: str) -> MetadataReading:
    row = session.get(MetadataReading, (tenant_id, connection_id))
    if row is None:
        row = MetadataReading(
            tenant_id=tenant_id, connection_id=connection_id, refresh_at=0, problem="", offered={}
        )
        session.add(row)
    return row


def _is_still_ours(rt: Runtime, now: int) -> bool:
    with rt.database.core_write() as core:
        return renew_lease(core, name=LEASE, holder=rt.writer_id, now=now, ttl_seconds=LEASE_SECONDS)

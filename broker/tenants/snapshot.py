"""A tenant as requests see it: frozen, loaded in three statements, kept while its version stands."""

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Connection as CoreConnection
from sqlalchemy import Table, select

from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.runtime import Runtime
from broker.kernel.versions import Caches
from broker.tenants.models import Connection, ConnectionDomain, Tenant
from broker.tenants.settings import TenantSettings, parse_settings

__all__ = [
    "ConnectionView",
    "TenantSettings",
    "TenantSnapshot",
    "find_tenant",
    "get_tenant",
    "parse_settings",
    "require_tenant",
]

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""A tenant's name in its issuer: lower-case letters, digits and inner hyphens."""

_MAX_SLUGS = 10_000
# Tables rather than mapped classes: the first request need not wait until every mapping is worked out.
_TENANTS = cast(Table, Tenant.__table__)
_CONNECTIONS = cast(Table, Connection.__table__)
_DOMAINS = cast(Table, ConnectionDomain.__table__)


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """A configured identity provider; ``config`` holds no secrets, ``preset`` names its make if known."""

    id: str
    slug: str
    kind: str
    name: str
    state: str
    cutoff_at: int
    config: Mapping[str, Any]
    domains: frozenset[str]
    preset: str

    @property
    def is_active(self) -> bool:
        """Whether people may sign in here and what came from here still counts."""
        return self.state == "active"


@dataclass(frozen=True, slots=True)
class TenantSnapshot:
    """A tenant, its settings and its connections by id; tokens issued up to ``cutoff_at`` are dead."""

    id: str
    slug: str
    issuer: str
    name: str
    state: str
    cutoff_at: int
    settings: TenantSettings
    connections: Mapping[str, ConnectionView]
    _by_slug: Mapping[str, ConnectionView] = field(repr=False, compare=False)

    @property
    def is_active(self) -> bool:
        """Whether the tenant may do anything at all."""
        return self.state == "active"

    def find_connection(self, slug: str) -> ConnectionView | None:
        """Return this tenant's connection of that slug, in whatever state, or None."""
        return self._by_slug.get(slug)

    def connections_for(self, domain: str) -> tuple[ConnectionView, ...]:
        """Return the active connections for people of an e-mail ``domain``, by name (several: a chooser)."""
        wanted = domain.lower()
        found = [one for one in self.connections.values() if one.is_active and wanted in one.domains]
        return tuple(sorted(found, key=lambda one: (one.name, one.slug)))


def find_tenant(rt: Runtime, slug: str) -> TenantSnapshot | None:
    """Return the tenant of that slug in whatever state, or None; never scans tenants."""
    if SLUG.fullmatch(slug) is None:
        return None
    known = _slugs_of(rt.caches)
    tenant_id = known.get(slug) or _look_up(rt, slug)
    if tenant_id is None:
        return None
    snapshot = get_tenant(rt, tenant_id)
    if snapshot is None or snapshot.slug != slug:
        known.drop(slug)
        return None
    if snapshot.is_active:
        known.keep(slug, tenant_id)
    else:
        # Looked up anew each time, as an unknown one is. Without this: the time of the refusal would tell
        # which of the two it was (ASM-07).
        known.drop(slug)
    return snapshot


def require_tenant(rt: Runtime, slug: str) -> TenantSnapshot:
    """Return the active tenant of that slug; raises ``Refusal(not_found)``.

    An unknown and a disabled tenant get the same answer. Without this: anybody could probe who is a
    customer and who no longer is.
    """
    tenant = find_tenant(rt, slug)
    if tenant is None or not tenant.is_active:
        raise Refusal(
            ErrorCode.NOT_FOUND,
            "There is no such organisation here.",
            reason="unknown_tenant",
            detail=f"tenant {'disabled' if tenant else 'unknown'}",
            whose_move=WhoseMove.YOU,
        )
    return tenant


def get_tenant(rt: Runtime, tenant_id: str) -> TenantSnapshot | None:
    """Return the tenant of that id in whatever state, or None; for callers that hold an id of ours."""

    def load(wanted: str) -> TenantSnapshot | None:
        with rt.database.core_read() as connection:
            return load_tenant(connection, rt, wanted)

    return rt.caches.get(tenant_id, "tenant", load)


def load_tenant(connection: CoreConnection, rt: Runtime, tenant_id: str) -> TenantSnapshot | None:
    """Read the tenant from the database, past every cache."""
    row = connection.execute(select(_TENANTS).where(_TENANTS.c.id == tenant_id)).mappings().first()
    if row is None:
        return None
    connections = _load_connections(connection, tenant_id)
    return TenantSnapshot(
        id=row["id"],
        slug=row["slug"],
        issuer=rt.settings.issuer(row["slug"]),
        name=row["name"],
        state=row["state"],
        cutoff_at=row["cutoff_at"],
        settings=parse_settings(row["settings"]),
        connections={one.id: one for one in connections},
        _by_slug={one.slug: one for one in connections},
    )


def _load_connections(connection: CoreConnection, tenant_id: str) -> list[ConnectionView]:
    domains: dict[str, set[str]] = {}
    for domain, connection_id in connection.execute(
        select(_DOMAINS.c.domain, _DOMAINS.c.connection_id).where(_DOMAINS.c.tenant_id == tenant_id)
    ):
        domains.setdefault(connection_id, set()).add(domain)
    rows = connection.execute(select(_CONNECTIONS).where(_CONNECTIONS.c.tenant_id == tenant_id))
    return [
        ConnectionView(
            id=row["id"],
            slug=row["slug"],
            kind=row["kind"],
            name=row["name"],
            state=row["state"],
            cutoff_at=row["cutoff_at"],
            config=row["config"],
            domains=frozenset(domains.get(row["id"], ())),
            preset=row["preset"],
        )
        for row in rows.mappings()
    ]


def _look_up(rt: Runtime, slug: str) -> str | None:
    with rt.database.core_read() as connection:
        return connection.execute(select(_TENANTS.c.id).where(_TENANTS.c.slug == slug)).scalar()


class _KnownSlugs:
    """Ids of tenants that exist; misses are not kept, so that made-up names cost no memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: OrderedDict[str, str] = OrderedDict()

    def get(self, slug: str) -> str | None:
        return self._ids.get(slug)

    def keep(self, slug: str, tenant_id: str) -> None:
        if self._ids.get(slug) == tenant_id:
            return
        with self._lock:
            self._ids[slug] = tenant_id
            while len(self._ids) > _MAX_SLUGS:
                self._ids.popitem(last=False)

    def drop(self, slug: str) -> None:
        with self._lock:
            self._ids.pop(slug, None)


# One index per runtime, gone with the runtime's caches.
_slugs: WeakKeyDictionary[Caches, _KnownSlugs] = WeakKeyDictionary()


def _slugs_of(caches: Caches) -> _KnownSlugs:
    found = _slugs.get(caches)
    return found if found is not None else _slugs.setdefault(caches, _KnownSlugs())

"""Trusts as requests see them: frozen, and kept while the tenant's version stands."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Table, select

from broker.agents.models import Trust
from broker.agents.trusts.kinds import (
    Config,
    IssuerConfig,
    SubjectConfig,
    TargetConfig,
    WorkloadConfig,
    read_config,
)
from broker.kernel.runtime import Runtime
from broker.policy.values import ResourceView
from broker.tenants.settings import MAX_DEPTH

_TRUSTS = cast(Table, Trust.__table__)

C = TypeVar("C", bound=Config)


@dataclass(frozen=True, slots=True)
class TargetView:
    """A server that takes our ID-JAGs."""

    id: str
    config: TargetConfig

    def limits(self, roles: frozenset[str]) -> ResourceView:
        """Return what it accepts, as policy wants it.

        ``roles`` are the person's: they decide which scopes may be asked for, and stay here.
        """
        return ResourceView(
            identifier=self.config.issuer,
            scopes=frozenset(self.config.scopes),
            roles=roles,
            ttl_seconds=self.config.ttl_seconds,
            max_depth=MAX_DEPTH,
        )

    def client_there(self, client_id: str) -> str | None:
        """Return the id that one of our clients has there, or None if it has none (ID-JAG §3)."""
        mapped = self.config.clients.get(client_id)
        return mapped if mapped or not client_id.startswith("https://") else client_id


@dataclass(frozen=True, slots=True)
class IssuerView:
    """An identity provider whose ID-JAGs are taken."""

    id: str
    config: IssuerConfig


@dataclass(frozen=True, slots=True)
class WorkloadView:
    """One workload of a platform."""

    id: str
    config: WorkloadConfig

    def is_for(self, subject: str) -> bool:
        """Say whether this is the workload of that ``sub``, whole: a pattern is anchored at both ends."""
        parts = [re.escape(part) for part in self.config.subject.split("*")]
        return re.fullmatch("[^/:]+".join(parts), subject) is not None


@dataclass(frozen=True, slots=True)
class SubjectView:
    """A client that may exchange what a provider issued for it."""

    id: str
    config: SubjectConfig


@dataclass(frozen=True, slots=True)
class TrustsSnapshot:
    """A tenant's active trusts: targets by issuer and alias, issuers by issuer, workloads and subjects."""

    targets: Mapping[str, TargetView]
    issuers: Mapping[str, IssuerView]
    workloads: tuple[WorkloadView, ...]
    subjects: tuple[SubjectView, ...]

    def workloads_of(self, issuer: str) -> tuple[WorkloadView, ...]:
        """Return the workloads of one platform, whose issuer is compared exactly."""
        return tuple(one for one in self.workloads if one.config.issuer == issuer)

    def subjects_of(self, client_id: str) -> tuple[SubjectView, ...]:
        """Return what one of our clients may exchange."""
        return tuple(one for one in self.subjects if one.config.client == client_id)


def load_trusts(rt: Runtime, tenant_id: str) -> TrustsSnapshot:
    """Return the tenant's snapshot, from the cache while nothing of the tenant changed."""

    def load(wanted: str) -> TrustsSnapshot:
        with rt.database.core_read() as connection:
            return read_trusts(connection, wanted)

    return rt.caches.get(tenant_id, "trusts", load)


def read_trusts(connection: Connection, tenant_id: str) -> TrustsSnapshot:
    """Read the tenant's active trusts from the database, past every cache."""
    rows = connection.execute(
        select(_TRUSTS.c.id, _TRUSTS.c.kind, _TRUSTS.c.config)
        .where(_TRUSTS.c.tenant_id == tenant_id, _TRUSTS.c.state == "active")
        .order_by(_TRUSTS.c.created_at, _TRUSTS.c.id)
    )
    found = [(row.id, read_config(row.kind, row.config)) for row in rows]
    targets = [TargetView(*one) for one in _only(found, TargetConfig)]
    return TrustsSnapshot(
        # An issuer is the target's own name: it stands before another's alias.
        targets={alias: one for one in targets for alias in one.config.aliases}
        | {one.config.issuer: one for one in targets},
        issuers={one[1].issuer: IssuerView(*one) for one in _only(found, IssuerConfig)},
        workloads=tuple(WorkloadView(*one) for one in _only(found, WorkloadConfig)),
        subjects=tuple(SubjectView(*one) for one in _only(found, SubjectConfig)),
    )


def _only(found: list[tuple[str, Any]], kind: type[C]) -> list[tuple[str, C]]:
    return [(trust_id, config) for trust_id, config in found if isinstance(config, kind)]

"""Which roles a person holds now: computed from group facts and mappings each time, never stored."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from sqlalchemy import Connection, Select, Table, case, null, or_, select

from broker.directory.models import GroupMapping, GroupSnapshot, Role
from broker.kernel.prepared import Key, PreparedForMany
from broker.kernel.runtime import Runtime
from broker.policy.roles import GroupFact, MappingRule, roles_of
from broker.tenants.snapshot import get_tenant

GRACE_SECONDS = 86_400
"""How long the last complete answer still bounds what later, incomplete ones may keep."""

_GROUPS = cast(Table, GroupSnapshot.__table__)
_ROLES = cast(Table, Role.__table__)
_RULES = cast(Table, GroupMapping.__table__)


def _told_of(people: Sequence[Key]) -> Select[Any]:
    these = ((_GROUPS.c.tenant_id == key("tenant")) & (_GROUPS.c.user_id == key("of_user")) for key in people)
    return select(
        _GROUPS.c.tenant_id,
        _GROUPS.c.user_id,
        _GROUPS.c.connection_id,
        _GROUPS.c.groups,
        _GROUPS.c.state,
        _GROUPS.c.source,
        _GROUPS.c.fetched_at,
        # What is complete needs no former answer, which may be long and would be read for nothing.
        case((_GROUPS.c.state == "complete", null()), else_=_GROUPS.c.complete_groups).label(
            "complete_groups"
        ),
        _GROUPS.c.complete_at,
    ).where(or_(*these))


_SELECT_GROUPS = PreparedForMany(_told_of)


@dataclass(frozen=True, slots=True)
class RoleBook:
    """A tenant's roles and mapping rules; ``role_gated`` are the scopes that need a role at all."""

    role_scopes: Mapping[str, frozenset[str]]
    role_gated: frozenset[str]
    rules: tuple[MappingRule, ...]


@dataclass(frozen=True, slots=True)
class LiveRoles:
    """A person's roles now, and the age of what they rest on.

    ``groups_state`` is "complete" only if every connection's answer was; ``fetched_at`` is the time in epoch
    seconds of the oldest answer that tells the groups, 0 when no connection ever answered. ``source`` names
    everybody who told them, with blanks between.
    """

    roles: frozenset[str]
    groups_state: str
    source: str
    fetched_at: int
    role_scopes: Mapping[str, frozenset[str]]
    role_gated: frozenset[str]


def load_roles(rt: Runtime, tenant_id: str) -> RoleBook:
    """Return the tenant's roles and rules, from the cache while nothing of the tenant changed."""

    def load(wanted: str) -> RoleBook:
        with rt.database.core_read() as connection:
            return read_roles(connection, wanted)

    return rt.caches.get(tenant_id, "roles", load)


def read_roles(connection: Connection, tenant_id: str) -> RoleBook:
    """Read the tenant's roles and rules from the database, past every cache."""
    scopes = {
        name: frozenset(scopes)
        for name, scopes in connection.execute(
            select(_ROLES.c.name, _ROLES.c.scopes).where(_ROLES.c.tenant_id == tenant_id)
        )
    }
    rules = connection.execute(
        select(
            _RULES.c.connection_id,
            _RULES.c.kind,
            _RULES.c.match,
            _RULES.c.pattern,
            _RULES.c.role,
        ).where(_RULES.c.tenant_id == tenant_id)
    )
    return RoleBook(
        role_scopes=scopes,
        role_gated=frozenset().union(*scopes.values()),
        # Without this: a mapping to a role that was removed would still put its name into tokens.
        rules=tuple(MappingRule(*rule) for rule in rules if rule.role in scopes),
    )


def live_roles(connection: Connection, rt: Runtime, tenant_id: str, user_id: str, now: int) -> LiveRoles:
    """Return the roles that follow now from what the tenant's active connections told of the person.

    Groups that are not complete grant nothing that the last complete answer did not already give, only
    while they still name a group that gives it, and only for ``GRACE_SECONDS`` from that answer on. A
    disabled connection's facts count for nothing.
    """
    person = (tenant_id, user_id)
    return roles_now(rt, tenant_id, read_told(connection, [person]).get(person, ()), now)


def read_told(
    connection: Connection, people: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Return by (tenant, user) what every connection last told of them, the oldest first."""
    found: dict[tuple[str, str], list[Any]] = {}
    asked = [{"tenant": tenant_id, "of_user": user_id} for tenant_id, user_id in people]
    for row in _SELECT_GROUPS.rows(connection, asked):
        found.setdefault((row.tenant_id, row.user_id), []).append(row)
    return {person: tuple(sorted(rows, key=_fetched_at)) for person, rows in found.items()}


def _fetched_at(row: Any) -> int:
    fetched_at: int = row.fetched_at
    return fetched_at


def roles_now(rt: Runtime, tenant_id: str, rows: Sequence[Any], now: int) -> LiveRoles:
    """Return the roles that follow now from what was told (``read_told``), as ``live_roles`` does."""
    book = load_roles(rt, tenant_id)
    tenant = get_tenant(rt, tenant_id)
    roles: set[str] = set()
    states: list[str] = []
    sources: list[str] = []
    times: list[int] = []
    for row in rows:
        told_by = tenant.connections.get(row.connection_id) if tenant else None
        if told_by is None or not told_by.is_active:
            continue
        roles |= roles_told(row, book.rules, now)
        states.append(row.state)
        sources.append(row.source)
        times.append(row.fetched_at)
    return LiveRoles(
        roles=frozenset(roles),
        groups_state=next((state for state in states if state != "complete"), "complete")
        if states
        else "absent",
        source=" ".join(dict.fromkeys(sources)),
        fetched_at=min(times, default=0),
        role_scopes=book.role_scopes,
        role_gated=book.role_gated,
    )


class Told(Protocol):
    """What one connection last told of a person, as a row of ``GroupSnapshot`` holds it."""

    connection_id: Any
    groups: Any
    state: Any
    complete_groups: Any
    complete_at: Any


def roles_told(told: Told, rules: Sequence[MappingRule], now: int) -> frozenset[str]:
    """Return the roles that ``rules`` give at ``now`` for what one connection told of a person."""
    is_complete = told.state == "complete"
    # Without this: who left a group keeps its roles for as long as the directory cannot be asked.
    is_recent = told.complete_at is not None and told.complete_at > now - GRACE_SECONDS
    counts_still = not is_complete and is_recent
    told_last = facts_of(told.connection_id, told.complete_groups) if counts_still else []
    return roles_of(
        facts_of(told.connection_id, told.groups),
        rules,
        complete=is_complete,
        previous=roles_of(told_last, rules, complete=True),
    )


def facts_of(connection_id: str, groups: Iterable[Mapping[str, str]]) -> list[GroupFact]:
    """Return the groups that a connection told as policy compares them."""
    return [GroupFact(connection_id, group["kind"], group["value"]) for group in groups]

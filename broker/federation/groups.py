"""Asks for a person's groups where their connection says: at its own source or at another of the tenant."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from broker.directory.group_facts import AskAgain
from broker.federation.deps import connector_deps
from broker.kernel.errors import Refusal
from broker.kernel.runtime import Runtime
from broker.kernel.sealing import SealBroken
from broker.tenants.connections import open_secrets
from broker.tenants.snapshot import ConnectionView, TenantSnapshot
from idp_connectors.base import (
    Connector,
    ConnectorError,
    GroupAnswer,
    GroupPlan,
    GroupsState,
    LooksUpGroups,
    PlansGroups,
    VerifiedIdentity,
)

_GONE = frozenset({"inactive", "not_found"})


@dataclass(frozen=True, slots=True)
class Asking:
    """The groups of people of one tenant's connection, to be asked for in the way of its ``plan``."""

    rt: Runtime
    connectors: Mapping[str, Connector]
    tenant: TenantSnapshot
    connection: ConnectionView
    plan: GroupPlan

    def ask(self, key: str, now: int) -> GroupAnswer:
        """Return the answer about ``key``; whatever fails is state "error", never an exception.

        Somebody whom the source does not know, or has switched off, is in no group ("absent").
        """
        if not key:
            return self._without("error", "The sign-in did not say who the person is there.", now)
        source = self._source()
        connector = self.connectors.get(source.kind) if source else None
        # Without this: what an administrator switched off would go on giving roles through another.
        if source is None or not source.is_active:
            named = self.plan.connection or self.connection.slug
            return self._without("absent", f"The connection {named!r} is absent or switched off.", now)
        if not isinstance(connector, LooksUpGroups):
            return self._without("error", f"The connection {source.slug!r} cannot look groups up.", now)
        try:
            with self.rt.database.core_read() as core:
                secrets = open_secrets(self.rt, core, self.tenant.id, source.id)
            lookup = connector.group_lookup(source.config, secrets)
            answer = lookup.lookup(key, connector_deps(self.rt, self.tenant.id, now), by=self.plan.by)
        except ConnectorError as error:
            return self._without("error", error.public, now)
        except (Refusal, SealBroken):
            return self._without("error", f"The secrets of {source.slug!r} cannot be opened.", now)
        return replace(answer, groups=(), state="absent") if answer.person in _GONE else answer

    def _source(self) -> ConnectionView | None:
        if not self.plan.connection:
            return self.connection
        return self.tenant.find_connection(self.plan.connection)

    def _without(self, state: GroupsState, problem: str, now: int) -> GroupAnswer:
        return GroupAnswer(groups=(), state=state, source="lookup", fetched_at=now, problem=problem)


def find_asking(
    rt: Runtime, connectors: Mapping[str, Connector], tenant: TenantSnapshot, connection: ConnectionView
) -> Asking | None:
    """Return how groups of this connection's people are asked for; None if only sign-ins tell them."""
    connector = connectors.get(connection.kind)
    if isinstance(connector, PlansGroups):
        plan = connector.group_plan(connection.config)
    else:
        plan = GroupPlan() if isinstance(connector, LooksUpGroups) else None
    return Asking(rt, connectors, tenant, connection, plan) if plan else None


def complete_groups(
    asking: Asking | None, identity: VerifiedIdentity, now: int
) -> tuple[VerifiedIdentity, AskAgain | None]:
    """Return the identity with the groups of the second source, if one is set, and how to ask again later."""
    if asking is None:
        return identity, None
    plan = asking.plan
    key = _key_of(identity, plan)
    if plan.connection:
        answer = asking.ask(key, now)
        identity = replace(
            identity,
            groups=answer.groups,
            groups_state=answer.state,
            groups_source=answer.source,
            groups_problem=answer.problem,
        )
    return identity, AskAgain(key, plan.refresh_seconds) if key else None


def _key_of(identity: VerifiedIdentity, plan: GroupPlan) -> str:
    if not plan.attribute:
        return identity.subject
    told = identity.raw_claims.get(plan.attribute)
    values = [told] if isinstance(told, str) else told
    # Without this: of two values one would be picked, and whoever can add a value borrows another's groups.
    if not isinstance(values, list) or len(values) != 1 or not isinstance(values[0], str):
        return ""
    return values[0]

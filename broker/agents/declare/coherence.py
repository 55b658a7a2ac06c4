"""What a document names must exist when all of it is written: agents, resources, roles, scopes."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from broker.agents.declare.document import AgentEntry, ClientEntry, TenantEntry
from broker.agents.declare.faults import Faults
from broker.agents.models import Agent, Resource, Trust
from broker.agents.naming import STANDARD_SCOPES
from broker.directory.models import Role
from broker.tenants.spelling import did_you_mean


class Names:
    """The names of a tenant as they are in the transaction, whether declared now or stored before."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        resources = session.execute(
            select(Resource.identifier, Resource.scopes).where(Resource.tenant_id == tenant_id)
        ).all()
        self.resources = {identifier for identifier, _ in resources}
        targets = session.scalars(
            select(Trust.config).where(Trust.tenant_id == tenant_id, Trust.kind == "target")
        )
        elsewhere = {scope for config in targets for scope in config.get("scopes", ())}
        own = {scope for _, catalogue in resources for scope in catalogue}
        self.scopes = own | elsewhere | STANDARD_SCOPES
        self.roles = set(session.scalars(select(Role.name).where(Role.tenant_id == tenant_id)))
        self.agents = set(session.scalars(select(Agent.slug).where(Agent.tenant_id == tenant_id)))


def check_names(faults: Faults, place: str, entry: TenantEntry, names: Names) -> None:
    """Note every name in the tenant's entry that names nothing.

    Without this: a misspelt scope of a role would leave the real one open to people without any role.
    """
    check = _Checker(faults, names)
    for index, role in enumerate(entry.roles):
        check.scopes(f"{place}.roles[{index}]", role.scopes)
    for index, mapping in enumerate(entry.group_mappings):
        check.all(f"{place}.group_mappings[{index}].role", "role", [mapping.role], names.roles)
    for index, resource in enumerate(entry.resources):
        here = f"{place}.resources[{index}]"
        check.all(f"{here}.roles", "role", resource.roles, names.roles)
        check.clients(f"{here}.client", [resource.client] if resource.client else [])
    for index, agent in enumerate(entry.agents):
        check.agent(f"{place}.agents[{index}]", agent)
    check.clients(f"{place}.clients", entry.clients)
    admin_role = (entry.settings or {}).get("admin_role")
    if admin_role:
        check.all(f"{place}.settings.admin_role", "role", [admin_role], names.roles)
    template = ((entry.settings or {}).get("onboarding") or {}).get("template") or {}
    check.template(f"{place}.settings.onboarding.template", template)


class _Checker:
    def __init__(self, faults: Faults, names: Names) -> None:
        self._faults = faults
        self._names = names

    def all(self, place: str, noun: str, wanted: Iterable[str] | None, known: set[str]) -> None:
        for name in wanted or ():
            if name not in known:
                self._faults.add(place, f"there is no {noun} {name!r}{did_you_mean(name, known)}")

    def scopes(self, place: str, wanted: Iterable[str] | None) -> None:
        self.all(f"{place}.scopes", "scope", wanted, self._names.scopes)

    def agent(self, place: str, agent: AgentEntry) -> None:
        self.scopes(place, agent.scopes)
        self.all(f"{place}.roles", "role", agent.roles, self._names.roles)
        self.all(f"{place}.resources", "resource", agent.resources, self._names.resources)
        self.all(f"{place}.delegable_to", "agent", agent.delegable_to, self._names.agents)
        self.clients(f"{place}.client", [agent.client] if agent.client else [])
        self.clients(f"{place}.clients", agent.clients or [])

    def template(self, place: str, template: Mapping[str, Any]) -> None:
        self.scopes(place, template.get("scopes"))
        self.all(f"{place}.roles", "role", template.get("roles"), self._names.roles)
        self.all(f"{place}.resources", "resource", template.get("resources"), self._names.resources)
        if template.get("agent"):
            self.all(f"{place}.agent", "agent", [template["agent"]], self._names.agents)

    def clients(self, place: str, clients: Iterable[ClientEntry]) -> None:
        for client in clients:
            self.scopes(f"{place} {client.client_id!r}", client.scopes)

"""Clients, agents and resources as requests see them: frozen, and kept while the tenant's version stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy import Connection, RowMapping, Table, select

from broker.agents.models import Agent, Client, Resource
from broker.agents.options import (
    AgentOptions,
    ClientOptions,
    ResourceOptions,
    agent_options,
    client_options,
    resource_options,
)
from broker.kernel.runtime import Runtime
from broker.policy import values as policy

Effect = Literal["read", "change", "destructive"]

_CLIENTS = cast(Table, Client.__table__)
_AGENTS = cast(Table, Agent.__table__)
_RESOURCES = cast(Table, Resource.__table__)


@dataclass(frozen=True, slots=True)
class ScopeView:
    """One permission of a resource, in words for people, and how much harm it can do."""

    description: str
    effect: Effect


@dataclass(frozen=True, slots=True)
class ClientView:
    """OAuth software; ``scopes`` is the most that it may ask for (empty allows nothing)."""

    client_id: str
    name: str
    agent_id: str | None
    resource_id: str | None
    auth_method: str
    secret_hash: str | None
    jwks: Mapping[str, Any] | None
    redirect_uris: tuple[str, ...]
    grant_types: frozenset[str]
    scopes: frozenset[str]
    application_type: str
    state: str
    cutoff_at: int
    options: ClientOptions

    @property
    def is_active(self) -> bool:
        """Whether the client may do anything at all."""
        return self.state == "active"

    @property
    def is_document(self) -> bool:
        """Whether its id is the address of its metadata, so that its host is known and nothing else."""
        return "://" in self.client_id


@dataclass(frozen=True, slots=True)
class AgentView:
    """A non-human actor and its ceiling; ``delegable_to`` holds agent ids, times are epoch seconds."""

    id: str
    slug: str
    name: str
    description: str
    owner_name: str
    owner_email: str
    scopes: frozenset[str]
    roles: frozenset[str]
    resources: frozenset[str]
    ttl_seconds: int
    max_depth: int
    delegable_to: frozenset[str]
    state: str
    cutoff_at: int
    expires_at: int
    options: AgentOptions

    def is_active(self, now: int) -> bool:
        """Whether the agent may act: neither suspended nor killed, and not past its expiry."""
        return self.state == "active" and now < self.expires_at

    @property
    def ceiling(self) -> policy.Ceiling:
        """The most that this agent may ever be given, as policy wants it."""
        return policy.Ceiling(
            scopes=self.scopes,
            roles=self.roles,
            resources=self.resources,
            ttl_seconds=self.ttl_seconds,
            max_depth=self.max_depth,
        )


@dataclass(frozen=True, slots=True)
class ResourceView:
    """An MCP server or API with its catalogue of scopes and the roles that it understands."""

    id: str
    identifier: str
    name: str
    scopes: Mapping[str, ScopeView]
    roles: frozenset[str]
    ttl_seconds: int
    max_depth: int
    state: str
    options: ResourceOptions

    @property
    def is_active(self) -> bool:
        """Whether tokens may be issued for it."""
        return self.state == "active"

    @property
    def limits(self) -> policy.ResourceView:
        """What this resource accepts, as policy wants it."""
        return policy.ResourceView(
            identifier=self.identifier,
            scopes=frozenset(self.scopes),
            roles=self.roles,
            ttl_seconds=self.ttl_seconds,
            max_depth=self.max_depth,
        )


@dataclass(frozen=True, slots=True)
class AgentsSnapshot:
    """A tenant's clients by ``client_id``, agents by id, resources by identifier and by id."""

    clients: Mapping[str, ClientView]
    agents: Mapping[str, AgentView]
    resources: Mapping[str, ResourceView]
    resources_by_id: Mapping[str, ResourceView]

    def client(self, client_id: str) -> ClientView | None:
        """Return the client in whatever state, or None."""
        return self.clients.get(client_id)

    def agent(self, agent_id: str) -> AgentView | None:
        """Return the agent in whatever state, or None."""
        return self.agents.get(agent_id)

    def agent_of(self, client: ClientView) -> AgentView | None:
        """Return the agent whose client this is, in whatever state, or None."""
        return self.agents.get(client.agent_id) if client.agent_id else None

    def resource(self, identifier: str) -> ResourceView | None:
        """Return the resource of that RFC 8707 identifier, compared exactly, in whatever state, or None."""
        return self.resources.get(identifier)


def load_agents(rt: Runtime, tenant_id: str) -> AgentsSnapshot:
    """Return the tenant's snapshot, from the cache while nothing of the tenant changed."""

    def load(wanted: str) -> AgentsSnapshot:
        with rt.database.core_read() as connection:
            return read_agents(connection, wanted)

    return rt.caches.get(tenant_id, "agents", load)


def read_agents(connection: Connection, tenant_id: str) -> AgentsSnapshot:
    """Read the tenant's clients, agents and resources from the database, past every cache."""
    clients = connection.execute(select(_CLIENTS).where(_CLIENTS.c.tenant_id == tenant_id)).mappings()
    agents = connection.execute(select(_AGENTS).where(_AGENTS.c.tenant_id == tenant_id)).mappings().all()
    resources = [
        _resource_view(row)
        for row in connection.execute(
            select(_RESOURCES).where(_RESOURCES.c.tenant_id == tenant_id)
        ).mappings()
    ]
    ids = {row["slug"]: row["id"] for row in agents}
    return AgentsSnapshot(
        clients={row["client_id"]: _client_view(row) for row in clients},
        agents={row["id"]: _agent_view(row, ids) for row in agents},
        resources={one.identifier: one for one in resources},
        resources_by_id={one.id: one for one in resources},
    )


def _client_view(row: RowMapping) -> ClientView:
    return ClientView(
        client_id=row["client_id"],
        name=row["name"],
        agent_id=row["agent_id"],
        resource_id=row["resource_id"],
        auth_method=row["auth_method"],
        secret_hash=row["secret_hash"],
        jwks=row["jwks"],
        redirect_uris=tuple(row["redirect_uris"]),
        grant_types=frozenset(row["grant_types"]),
        scopes=frozenset(row["scopes"]),
        application_type=row["application_type"],
        state=row["state"],
        cutoff_at=row["cutoff_at"],
        options=client_options(row["options"]),
    )


def _agent_view(row: RowMapping, ids: Mapping[str, str]) -> AgentView:
    return AgentView(
        id=row["id"],
        slug=row["slug"],
        name=row["name"],
        description=row["description"],
        owner_name=row["owner_name"],
        owner_email=row["owner_email"],
        scopes=frozenset(row["scopes"]),
        roles=frozenset(row["roles"]),
        resources=frozenset(row["resources"]),
        ttl_seconds=row["ttl_seconds"],
        max_depth=row["max_depth"],
        # A slug that names no agent allows nobody.
        delegable_to=frozenset(ids[slug] for slug in row["delegable_to"] if slug in ids),
        state=row["state"],
        cutoff_at=row["cutoff_at"],
        expires_at=row["expires_at"],
        options=agent_options(row["options"]),
    )


def _resource_view(row: RowMapping) -> ResourceView:
    return ResourceView(
        id=row["id"],
        identifier=row["identifier"],
        name=row["name"],
        scopes={
            name: ScopeView(description=scope["description"], effect=scope["effect"])
            for name, scope in row["scopes"].items()
        },
        roles=frozenset(row["roles"]),
        ttl_seconds=row["ttl_seconds"],
        max_depth=row["max_depth"],
        state=row["state"],
        options=resource_options(row["options"]),
    )

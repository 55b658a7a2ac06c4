"""A small world in a real database: tenants, connections, people, roles, resources, agents, clients.

Each builder writes one thing with sensible values, counts the change, and returns the product's own view::

    with open_world(database_url, tmp_path) as world:
        acme = world.tenant("acme")
        okta = world.connection(acme, "okta")
        maya = world.user(acme, okta, "maya", groups=["support"])
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import create_mock_engine, inspect, select

from broker.agents.models import Agent, Client, Resource
from broker.agents.snapshot import AgentView, ClientView, ResourceView, load_agents
from broker.directory.models import GroupMapping, Role
from broker.directory.sign_in import bind_identity
from broker.kernel.clock import FixedClock
from broker.kernel.context import CallContext
from broker.kernel.database import Base
from broker.kernel.ids import new_id
from broker.kernel.runtime import Runtime, open_runtime
from broker.kernel.settings import load_settings
from broker.kernel.versions import bump
from broker.tenants.connections import seal_secrets
from broker.tenants.models import Connection, ConnectionDomain, Tenant
from broker.tenants.snapshot import ConnectionView, TenantSnapshot, get_tenant
from idp_connectors.base import Group, VerifiedIdentity
from tests.builders.postgres_pool import load_models

NOW = 1_795_503_600
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
SECRET = "correct-horse-battery-staple-and-more"
TICKETS = "https://mcp.tickets.example/mcp"
TICKET_SCOPES = {
    "tickets:read": {"description": "Read your tickets", "effect": "read"},
    "tickets:write": {"description": "Change your tickets", "effect": "change"},
    "tickets:delete": {"description": "Delete tickets", "effect": "destructive"},
}


def make_tables(rt: Runtime) -> None:
    """Create every room's tables as the models declare them."""
    load_models()
    # Compiled once and sent as one text: thousands of tests make all tables anew.
    if rt.database.is_sqlite:
        with closing(rt.database.engine.raw_connection()) as connection:
            connection.cursor().executescript(f"BEGIN;{_sqlite_script()};COMMIT")
        return
    with rt.database.core_write() as connection:
        if not inspect(connection).has_table(Tenant.__tablename__):
            Base.metadata.create_all(connection)


_WITH_OPTIONS: dict[str, tuple[Any, str]] = {
    "client": (Client, "client_id"),
    "agent": (Agent, "slug"),
    "resource": (Resource, "identifier"),
}


@cache
def _sqlite_script() -> str:
    statements: list[str] = []

    def keep(statement: Any, *_: Any, **__: Any) -> None:
        statements.append(str(statement.compile(dialect=engine.dialect)))

    engine = create_mock_engine("sqlite://", keep)
    Base.metadata.create_all(engine, checkfirst=False)
    return ";\n".join(statements)


@contextmanager
def open_world(
    database_url: str, data_dir: Path, *, make: Callable[[Runtime], object] = make_tables, **settings: Any
) -> Iterator["World"]:
    """Yield an empty world on a new database whose tables ``make`` makes; its clock stands at ``NOW``."""
    clock = FixedClock(NOW)
    given = {"profile": "development", "public_url": "http://127.0.0.1:8080", **settings}
    rt = open_runtime(load_settings(database_url=database_url, data_dir=data_dir / "data", **given), clock)
    try:
        make(rt)
        yield World(rt, clock)
    finally:
        rt.egress.close()
        rt.database.close()


def identity(
    subject: str, *, groups: Iterable[str | Group] = (), groups_state: str = "complete", **changes: Any
) -> VerifiedIdentity:
    """What a provider proved about a person; plain group names become groups of kind "name"."""
    told = tuple(one if isinstance(one, Group) else Group("name", one) for one in groups)
    values: dict[str, Any] = {
        "issuer": "https://idp.example",
        "subject": subject,
        "subject_kind": "sub",
        "email": f"{subject}@acme.example",
        "email_verified_by": "idp_asserted",
        "display_name": subject.title(),
        "groups": told,
        "groups_state": groups_state,
        "groups_source": "token",
        "auth_time": NOW,
    }
    return VerifiedIdentity(**{**values, **changes})


class World:
    """Builders on one runtime."""

    def __init__(self, rt: Runtime, clock: FixedClock) -> None:
        self.rt = rt
        self.clock = clock

    @property
    def now(self) -> int:
        """The world's time in epoch seconds."""
        return self.clock.now()

    @property
    def ctx(self) -> CallContext:
        """A call at the world's time."""
        return CallContext(now=self.now, request_id=new_id("req"), ip="127.0.0.1")

    def tenant(self, slug: str = "acme", *, state: str = "active", **settings: Any) -> TenantSnapshot:
        """A tenant; keyword arguments are its settings."""
        tenant_id = new_id("ten")
        with self.rt.database.unscoped(write=True) as session:
            session.add(
                Tenant(
                    id=tenant_id,
                    slug=slug,
                    name=slug.title(),
                    state=state,
                    settings=settings,
                    created_at=self.now,
                )
            )
            session.flush()
            bump(session.connection(), tenant_id)
        return self.again(tenant_id)

    def again(self, tenant: TenantSnapshot | str) -> TenantSnapshot:
        """The tenant as it is now."""
        found = get_tenant(self.rt, tenant if isinstance(tenant, str) else tenant.id)
        assert found is not None
        return found

    def settings(self, tenant: TenantSnapshot, **changes: Any) -> None:
        """Change what the tenant has set for itself."""
        with self.rt.database.unscoped(write=True) as session:
            row = session.get_one(Tenant, tenant.id)
            row.settings = {**row.settings, **changes}
            bump(session.connection(), tenant.id)

    def options(self, tenant: TenantSnapshot, kind: str, name: str, **changes: Any) -> None:
        """Change the options of a "client", "agent" (by slug) or "resource" (by identifier)."""
        model, column = _WITH_OPTIONS[kind]
        with self.rt.database.write(tenant.id) as session:
            row = session.scalars(select(model).where(getattr(model, column) == name)).one()
            row.options = {**row.options, **changes}
            session.flush()
            bump(session.connection(), tenant.id)

    def add(self, tenant: TenantSnapshot, *rows: Any) -> None:
        """Write rows of the tenant and count the change."""
        with self.rt.database.write(tenant.id) as session:
            session.add_all(rows)
            session.flush()
            bump(session.connection(), tenant.id)

    def connection(
        self,
        tenant: TenantSnapshot,
        slug: str = "okta",
        *,
        kind: str = "oidc",
        config: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
        domains: Iterable[str] = (),
        state: str = "active",
        preset: str = "",
    ) -> ConnectionView:
        """A connection with its sealed secrets and e-mail domains."""
        connection_id = new_id("con")
        row = Connection(
            id=connection_id,
            slug=slug,
            kind=kind,
            name=slug.title(),
            config=dict(config or {}),
            sealed_secrets=seal_secrets(self.rt, tenant.id, connection_id, secrets or {}),
            state=state,
            preset=preset,
            created_at=self.now,
        )
        links = [ConnectionDomain(domain=one, connection_id=connection_id) for one in domains]
        self.add(tenant, row, *links)
        return self.again(tenant).connections[connection_id]

    def user(
        self,
        tenant: TenantSnapshot,
        connection: ConnectionView,
        subject: str = "maya",
        *,
        groups: Iterable[str | Group] = (),
        groups_state: str = "complete",
        **changes: Any,
    ) -> str:
        """The id of a person who has signed in at the connection (again: the same person)."""
        told = identity(subject, groups=groups, groups_state=groups_state, **changes)
        with self.rt.database.core_write() as core:
            return bind_identity(core, self.again(tenant), connection, told, self.now).user_id

    def role(self, tenant: TenantSnapshot, name: str, scopes: Iterable[str] = ()) -> str:
        """A role by name."""
        self.add(tenant, Role(id=new_id("rol"), name=name, scopes=list(scopes)))
        return name

    def mapping(
        self,
        tenant: TenantSnapshot,
        connection: ConnectionView,
        pattern: str,
        role: str,
        *,
        kind: str = "name",
        match: str = "exact",
    ) -> None:
        """A rule that gives ``role`` to groups of the connection."""
        rule = GroupMapping(
            id=new_id("map"), connection_id=connection.id, kind=kind, match=match, pattern=pattern, role=role
        )
        self.add(tenant, rule)

    def resource(
        self,
        tenant: TenantSnapshot,
        identifier: str = TICKETS,
        *,
        scopes: Mapping[str, Mapping[str, str]] = TICKET_SCOPES,
        roles: Iterable[str] = (),
        **changes: Any,
    ) -> ResourceView:
        """A resource with a catalogue of scopes."""
        values = {"name": "Tickets", "ttl_seconds": 600, "max_depth": 4, "created_at": self.now, **changes}
        catalogue = {name: dict(scope) for name, scope in scopes.items()}
        row = Resource(id=new_id("res"), identifier=identifier, scopes=catalogue, roles=list(roles), **values)
        self.add(tenant, row)
        return load_agents(self.rt, tenant.id).resources[identifier]

    def agent(
        self,
        tenant: TenantSnapshot,
        slug: str = "writer",
        *,
        scopes: Iterable[str] = ("tickets:read", "tickets:write"),
        roles: Iterable[str] = (),
        resources: Iterable[str] = (TICKETS,),
        delegable_to: Iterable[str] = (),
        **changes: Any,
    ) -> AgentView:
        """An agent without a client; ``delegable_to`` holds agent slugs."""
        values = {
            "name": slug.title(),
            "owner_name": "Olu Owner",
            "owner_email": "olu@acme.example",
            "created_at": self.now,
            "expires_at": self.now + 90 * 86400,
            "ttl_seconds": 600,
            "max_depth": 4,
            **changes,
        }
        row = Agent(
            id=new_id("agt"),
            slug=slug,
            scopes=list(scopes),
            roles=list(roles),
            resources=list(resources),
            delegable_to=list(delegable_to),
            **values,
        )
        self.add(tenant, row)
        return load_agents(self.rt, tenant.id).agents[row.id]

    def client(
        self,
        tenant: TenantSnapshot,
        client_id: str = "cli_writer",
        *,
        agent: AgentView | None = None,
        resource: ResourceView | None = None,
        auth_method: str = "client_secret_basic",
        secret: str = SECRET,
        jwks: Mapping[str, Any] | None = None,
        redirect_uris: Iterable[str] = ("https://writer.example/callback",),
        grant_types: Iterable[str] = (
            "authorization_code",
            "refresh_token",
            "client_credentials",
            TOKEN_EXCHANGE,
        ),
        scopes: Iterable[str] = ("openid", "tickets:read", "tickets:write"),
        **changes: Any,
    ) -> ClientView:
        """A client; with ``auth_method`` "client_secret_basic" its secret is ``secret``."""
        hashed = self.rt.sealer.fingerprint("client_secret", secret)
        row = Client(
            client_id=client_id,
            agent_id=agent.id if agent else None,
            resource_id=resource.id if resource else None,
            auth_method=auth_method,
            secret_hash=hashed if auth_method == "client_secret_basic" else None,
            jwks=dict(jwks) if jwks is not None else None,
            redirect_uris=list(redirect_uris),
            grant_types=list(grant_types),
            scopes=list(scopes),
            **{"name": client_id, "created_at": self.now, **changes},
        )
        self.add(tenant, row)
        return load_agents(self.rt, tenant.id).clients[client_id]

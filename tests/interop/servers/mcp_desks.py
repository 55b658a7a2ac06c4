"""Several MCP servers of the demo's kind before one tenant, and an agent whose clients may reach them."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from joserfc.jwk import ECKey

from broker.demo.loopback import AsgiServer
from broker.demo.mcp_server import CREATE, READ, STATUS, TicketDesk, create_mcp_app
from broker.demo.world import World as DemoWorld
from broker.demo.world import running_world
from broker.kernel.clock import FixedClock
from broker.resource_server import ClientCredentials
from tests.builders.world import SECRET, World

SCOPES = {
    READ: {"description": "Read your tickets", "effect": "read"},
    CREATE: {"description": "Create tickets in your name", "effect": "change"},
    STATUS: {"description": "See whether the desk is open", "effect": "read"},
}


@dataclass(frozen=True, slots=True)
class Desks:
    """A running demo world with the servers' addresses; ``builder`` changes its tenant."""

    demo: DemoWorld
    builder: World
    urls: list[str]
    key: ECKey

    @property
    def private_jwk(self) -> Mapping[str, Any]:
        """The key of the client ``by-key``."""
        return self.key.as_dict(private=True)


@contextmanager
def running_desks(count: int, callback: str) -> Iterator[Desks]:
    """Start ``count`` MCP servers; the agent's clients are ``by-secret`` (``SECRET``) and ``by-key``."""
    with running_world() as demo, ExitStack() as stack:
        rt, tenant = demo.broker.runtime, demo.broker.tenant
        builder = World(rt, FixedClock(rt.clock.now()))
        servers = [AsgiServer() for _ in range(count)]
        urls = [f"{server.url}/mcp" for server in servers]
        agent = builder.agent(tenant, "sdk", scopes=SCOPES, roles=["support.agent"], resources=urls)
        key = ECKey.generate_key("P-256", {"kid": "one"}, private=True)
        common = {
            "agent": agent,
            "redirect_uris": [callback],
            "application_type": "native",
            "scopes": list(SCOPES),
        }
        builder.client(tenant, "by-secret", **common)
        keys = {"keys": [key.as_dict(private=False)]}
        builder.client(tenant, "by-key", auth_method="private_key_jwt", jwks=keys, **common)
        for number, (server, url) in enumerate(zip(servers, urls, strict=True)):
            resource = builder.resource(tenant, url, scopes=SCOPES, roles=["support.agent"])
            name = f"desk-{number}"
            builder.client(tenant, name, resource=resource, grant_types=(), scopes=(), redirect_uris=())
            server.start(
                create_mcp_app(
                    resource=url,
                    issuer=demo.tenant_url,
                    introspection=ClientCredentials(name, SECRET),
                    desk=TicketDesk(),
                )
            )
            stack.callback(server.stop)
        yield Desks(demo, builder, urls, key)

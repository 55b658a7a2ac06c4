"""Starts the demo world in one process: providers, broker, MCP server, agents and console, all on loopback.

The providers answer on `localhost` and everything else on `127.0.0.1`: two sites for a browser, so that a
cookie that crosses from one to the other is noticed here and not at a customer.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from broker.agent_client import PrivateKeyJwt, SecretBasic
from broker.demo.agents import DemoAgent
from broker.demo.broker_part import DemoBroker, start_broker
from broker.demo.console import CALLBACK_PATH, Console, Surroundings
from broker.demo.declared import TENANT, Declared, Providers, declare_world
from broker.demo.idps.entra_like import EntraLike
from broker.demo.idps.google_like import GoogleLike
from broker.demo.idps.okta_like import OktaLike
from broker.demo.loopback import AsgiServer, WsgiServer
from broker.demo.mcp_server import TicketDesk, create_mcp_app
from broker.demo.story import Story
from broker.kernel.settings import load_settings
from broker.resource_server import ClientCredentials


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the servers listen; 0 means any free port, and so does a port that is taken."""

    broker: int = 0
    console: int = 0
    mcp: int = 0
    okta: int = 0
    entra: int = 0
    google: int = 0


ANY_PORTS = Ports()
FIXED_PORTS = Ports(broker=8080, console=8090, mcp=8091, okta=8092, entra=8093, google=8094)
"""The ports of `broker demo`, so that addresses stay the same from one start to the next."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything that runs, for the journey, the console and tests."""

    broker: DemoBroker
    tenant_url: str
    setup_link: str
    console_url: str
    callback_url: str
    providers: Providers
    desk: TicketDesk
    story: Story
    agent_ids: dict[str, str]


class _Servers:
    """Every server of the world, bound at once, so that all addresses are known before anything starts."""

    def __init__(self, ports: Ports, stack: ExitStack) -> None:
        self.broker = WsgiServer("127.0.0.1", ports.broker)
        self.console = WsgiServer("127.0.0.1", ports.console)
        self.mcp = AsgiServer(ports.mcp)
        self.okta = WsgiServer("localhost", ports.okta)
        self.entra = WsgiServer("localhost", ports.entra)
        self.google = WsgiServer("localhost", ports.google)
        for server in (self.broker, self.console, self.mcp, self.okta, self.entra, self.google):
            stack.callback(server.stop)
        self.tenant_url = f"{self.broker.url}/t/{TENANT}"
        self.mcp_url = f"{self.mcp.url}/mcp"
        self.callback_url = f"{self.console.url}{CALLBACK_PATH}"


@contextmanager
def running_world(ports: Ports = ANY_PORTS) -> Iterator[World]:
    """Start the world, yield it, and end every server and folder of it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agent-broker-demo-")))
        servers = _Servers(ports, stack)
        providers = _start_providers(servers)
        declared = declare_world(
            providers,
            tenant_url=servers.tenant_url,
            mcp_url=servers.mcp_url,
            planner_callback=servers.callback_url,
        )
        broker = _start_broker(servers, declared, folder)
        stack.callback(broker.close)
        desk = TicketDesk()
        servers.mcp.start(
            create_mcp_app(
                resource=servers.mcp_url,
                issuer=servers.tenant_url,
                introspection=ClientCredentials("ticket-desk", declared.desk_secret),
                desk=desk,
            )
        )
        world = World(
            broker=broker,
            tenant_url=servers.tenant_url,
            setup_link=broker.setup_link,
            console_url=servers.console.url,
            callback_url=servers.callback_url,
            providers=providers,
            desk=desk,
            story=_agents(servers, declared, stack),
            agent_ids=broker.agent_ids(),
        )
        servers.console.start(Console(world.story, _surroundings(world)).create_app())
        yield world


def _start_providers(servers: _Servers) -> Providers:
    providers = Providers(
        OktaLike(servers.okta.url), EntraLike(servers.entra.url), GoogleLike(servers.google.url)
    )
    servers.okta.start(providers.okta.create_app())
    servers.entra.start(providers.entra.create_app())
    servers.google.start(providers.google.create_app())
    return providers


def _start_broker(servers: _Servers, declared: Declared, folder: Path) -> DemoBroker:
    settings = load_settings(
        profile="development",
        public_url=servers.broker.url,
        host="127.0.0.1",
        port=servers.broker.port,
        data_dir=folder,
        log_level="error",
    )
    broker = start_broker(settings, declared.text, declared.environ, TENANT)
    servers.broker.start(broker.app)
    return broker


def _agents(servers: _Servers, declared: Declared, stack: ExitStack) -> Story:
    planner = DemoAgent(
        name="Planner",
        authentication=SecretBasic("planner", declared.planner_secret),
        mcp_url=servers.mcp_url,
        redirect_uri=servers.callback_url,
    )
    writer = DemoAgent(
        name="Ticket writer",
        authentication=PrivateKeyJwt("ticket-writer", declared.writer_key),
        mcp_url=servers.mcp_url,
    )
    stack.callback(planner.close)
    stack.callback(writer.close)
    return Story(planner, writer)


def _surroundings(world: World) -> Surroundings:
    providers = world.providers
    return Surroundings(
        tenant_slug=TENANT,
        tenant_name="Acme",
        tenant_url=world.tenant_url,
        setup_link=world.setup_link,
        providers=(providers.okta, providers.entra, providers.google),
        agent_names={
            world.agent_ids["planner"]: "Planner",
            world.agent_ids["ticket-writer"]: "Ticket writer",
        },
    )

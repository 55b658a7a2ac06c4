"""The official MCP Python SDK as client: given only a server's URL and a registered client, it gets in.

One sign-in serves five MCP servers: each asks for its own consent, none for another sign-in.
"""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from mcp import ClientSession
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from broker.demo.loopback import AsgiServer
from broker.demo.mcp_server import CREATE, READ, STATUS, TicketDesk, create_mcp_app
from broker.demo.person_browser import Page, PersonBrowser
from broker.demo.world import World as DemoWorld
from broker.demo.world import running_world
from broker.kernel.clock import FixedClock
from broker.resource_server import ClientCredentials
from tests.builders.world import SECRET, World

CALLBACK = "http://127.0.0.1:1/callback"
SERVERS = 5


@dataclass
class Storage:
    """What the SDK keeps: the registered client that it was given, and the tokens that it got."""

    client: OAuthClientInformationFull
    tokens: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


@dataclass
class Person:
    """Maya at her browser; she signs in when asked, allows, and counts both."""

    world: DemoWorld
    browser: PersonBrowser = field(default_factory=lambda: PersonBrowser(stop_at=CALLBACK))
    sign_ins: int = 0
    consents: int = 0
    answer: dict[str, str] = field(default_factory=dict)

    async def follow(self, url: str) -> None:
        await asyncio.to_thread(self._follow, url)

    async def bring_back(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult(
            code=self.answer["code"], state=self.answer["state"], iss=self.answer["iss"]
        )

    def _follow(self, url: str) -> None:
        page = self.browser.open(url)
        if any("/sign-in/okta" in link for link in page.links):
            self.sign_ins += 1
            page = self._sign_in(page)
        if not page.url.startswith(CALLBACK):
            self.consents += 1
            form = page.form_with("decision", "allow")
            page = self.browser.press(page, form, "decision", "allow")
        assert page.url.startswith(CALLBACK), (page.url, page.status)
        self.answer = page.query

    def _sign_in(self, chooser: Page) -> Page:
        link = chooser.link_to("/sign-in/okta")
        origin = chooser.url.partition("/t/")[0]
        login = self.browser.open(link if link.startswith("http") else origin + link)
        return self.browser.press(login, login.form_with("person", "maya"), "person", "maya")


@dataclass
class Setting:
    """The demo world with five MCP servers and an agent whose client the SDK plays."""

    person: Person
    urls: list[str]


@pytest.fixture
def setting() -> Iterator[Setting]:
    with running_world() as demo, ExitStack() as stack:
        rt = demo.broker.runtime
        builder = World(rt, FixedClock(rt.clock.now()))
        servers = [AsgiServer() for _ in range(SERVERS)]
        urls = [f"{server.url}/mcp" for server in servers]
        scopes = {
            READ: {"description": "Read your tickets", "effect": "read"},
            CREATE: {"description": "Create tickets in your name", "effect": "change"},
            STATUS: {"description": "See whether the desk is open", "effect": "read"},
        }
        agent = builder.agent(
            demo.broker.tenant, "sdk", scopes=scopes, roles=["support.agent"], resources=urls
        )
        builder.client(
            demo.broker.tenant,
            "sdk-client",
            agent=agent,
            redirect_uris=[CALLBACK],
            application_type="native",
            scopes=list(scopes),
        )
        for number, (server, url) in enumerate(zip(servers, urls, strict=True)):
            resource = builder.resource(demo.broker.tenant, url, scopes=scopes, roles=["support.agent"])
            name = f"desk-{number}"
            builder.client(demo.broker.tenant, name, resource=resource, grant_types=(), scopes=())
            server.start(
                create_mcp_app(
                    resource=url,
                    issuer=demo.tenant_url,
                    introspection=ClientCredentials(name, SECRET),
                    desk=TicketDesk(),
                )
            )
            stack.callback(server.stop)
        yield Setting(Person(demo), urls)


async def call_tool(url: str, person: Person, tool: str, **arguments: Any) -> dict[str, Any]:
    """What an agent developer writes: the SDK's provider, the server's URL, a tool call."""
    storage = Storage(
        OAuthClientInformationFull(
            client_id="sdk-client",
            client_secret=SECRET,
            redirect_uris=[CALLBACK],  # type: ignore[list-item]
            token_endpoint_auth_method="client_secret_basic",
        )
    )
    provider = OAuthClientProvider(
        server_url=url,
        client_metadata=OAuthClientMetadata(redirect_uris=[CALLBACK], client_name="SDK"),  # type: ignore[list-item]
        storage=storage,
        redirect_handler=person.follow,
        callback_handler=person.bring_back,
    )
    async with (
        httpx2.AsyncClient(auth=provider, timeout=30, trust_env=False) as http,
        streamable_http_client(url, http_client=http) as streams,
        ClientSession(streams[0], streams[1]) as session,
    ):
        await session.initialize()
        result = await session.call_tool(tool, arguments)
    assert not result.is_error, result
    assert storage.tokens is not None
    told: dict[str, Any] = result.structured_content or {}
    return told


def test_a_url_and_a_registered_client_are_enough(setting: Setting) -> None:
    told = asyncio.run(call_tool(setting.urls[0], setting.person, "create_ticket", title="From the SDK"))
    assert told["number"] > 0
    assert len(told["through"]) == 1
    assert (setting.person.sign_ins, setting.person.consents) == (1, 1)


def test_one_sign_in_serves_five_servers(setting: Setting) -> None:
    for url in setting.urls:
        told = asyncio.run(call_tool(url, setting.person, "list_tickets"))
        assert told["for"].startswith("usr_")
    assert setting.person.sign_ins == 1
    assert setting.person.consents <= SERVERS

"""The official MCP SDKs as clients: given only a server's URL and a registered client, it gets in.

One sign-in serves five MCP servers: each asks for its own consent, none for another sign-in.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import ClientSession
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from broker.demo.mcp_server import STATUS
from tests.builders.maya import Maya, run_with_browser
from tests.builders.world import SECRET
from tests.interop.servers.mcp_desks import Desks, running_desks

CALLBACK = "http://127.0.0.1:1/callback"
SERVERS = 5


@dataclass
class Storage:
    """What the SDK keeps: the registered client that it was given, and the tokens that it got."""

    client: OAuthClientInformationFull | None = None
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
    """Maya, as the SDK's two callbacks want her."""

    maya: Maya
    answer: dict[str, str] = field(default_factory=dict)

    async def follow(self, url: str) -> None:
        self.answer = (await asyncio.to_thread(self.maya.follow, url)).query

    async def bring_back(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult(
            code=self.answer["code"], state=self.answer["state"], iss=self.answer["iss"]
        )


@pytest.fixture
def desks() -> Iterator[Desks]:
    with running_desks(SERVERS, CALLBACK) as running:
        yield running


@pytest.fixture
def person(desks: Desks) -> Person:
    return Person(Maya(desks.demo, CALLBACK))


async def call_tool(provider: httpx2.Auth, url: str, tool: str, **arguments: Any) -> dict[str, Any]:
    """What an agent developer writes: one of the SDK's providers, the server's URL, a tool call."""
    async with (
        httpx2.AsyncClient(auth=provider, timeout=30, trust_env=False) as http,
        streamable_http_client(url, http_client=http) as streams,
        ClientSession(streams[0], streams[1]) as session,
    ):
        await session.initialize()
        result = await session.call_tool(tool, arguments)
    assert not result.is_error, result
    told: dict[str, Any] = result.structured_content or {}
    return told


def by_code(url: str, person: Person) -> OAuthClientProvider:
    """The provider of an application that has a person in front of it."""
    client = OAuthClientInformationFull(
        client_id="by-secret",
        client_secret=SECRET,
        redirect_uris=[CALLBACK],  # type: ignore[list-item]
        token_endpoint_auth_method="client_secret_basic",
    )
    return OAuthClientProvider(
        server_url=url,
        client_metadata=OAuthClientMetadata(redirect_uris=[CALLBACK], client_name="SDK"),  # type: ignore[list-item]
        storage=Storage(client),
        redirect_handler=person.follow,
        callback_handler=person.bring_back,
    )


def test_a_url_and_a_registered_client_are_enough(desks: Desks, person: Person) -> None:
    url = desks.urls[0]
    told = asyncio.run(call_tool(by_code(url, person), url, "create_ticket", title="From the SDK"))
    assert told["number"] > 0
    assert len(told["through"]) == 1
    assert (person.maya.sign_ins, person.maya.consents) == (1, 1)


def test_one_sign_in_serves_five_servers(desks: Desks, person: Person) -> None:
    for url in desks.urls:
        told = asyncio.run(call_tool(by_code(url, person), url, "list_tickets"))
        assert told["for"].startswith("usr_")
    assert person.maya.sign_ins == 1
    assert person.maya.consents <= SERVERS


def test_an_agent_in_its_own_name_by_secret(desks: Desks) -> None:
    url = desks.urls[0]
    provider = ClientCredentialsOAuthProvider(
        server_url=url,
        storage=Storage(),
        client_id="by-secret",
        client_secret=SECRET,
        scope=STATUS,
        issuer=desks.demo.tenant_url,
    )
    assert asyncio.run(call_tool(provider, url, "service_status")) == {"status": "open"}


def test_an_agent_in_its_own_name_by_key(desks: Desks) -> None:
    url = desks.urls[0]
    signed = SignedJWTParameters(
        issuer="by-key",
        subject="by-key",
        signing_key=desks.key.as_pem(private=True).decode(),
        signing_algorithm="ES256",
    )
    provider = PrivateKeyJWTOAuthProvider(
        server_url=url,
        storage=Storage(),
        client_id="by-key",
        assertion_provider=signed.create_assertion_provider(),
        scope=STATUS,
        issuer=desks.demo.tenant_url,
    )
    assert asyncio.run(call_tool(provider, url, "service_status")) == {"status": "open"}


@pytest.mark.parametrize("sdk", ["2", "1"])
def test_typescript_clients_of_both_generations(
    desks: Desks, person: Person, node_packages: tuple[str, Path], tmp_path: Path, sdk: str
) -> None:
    node, place = node_packages
    setting = {
        "sdk": sdk,
        "url": desks.urls[0],
        "callback": CALLBACK,
        "tool": "create_ticket",
        "arguments": {"title": f"From SDK {sdk}"},
        "client": {"client_id": "by-secret", "client_secret": SECRET},
    }
    found = run_with_browser(node, place / "mcp_client.mjs", tmp_path, setting, person.maya)
    assert found["is_error"] is False
    assert found["told"]["for"].startswith("usr_")
    assert (person.maya.sign_ins, person.maya.consents) == (1, 1)

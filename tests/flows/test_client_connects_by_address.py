"""A client that has nothing but an address connects to a resource of an Entra-backed tenant, all over HTTP.

The demo's world: its Entra-like provider knows neither `resource` nor registration, and its MCP server knows
only its own address. The one thing that an administrator did is the tenant's policy.
"""

from collections.abc import Iterator
from urllib.parse import urljoin

import pytest
from sqlalchemy import select

from broker.agent_client import PublicClient
from broker.agents.models import Client
from broker.demo.agents import DemoAgent, claims_of
from broker.demo.loopback import WsgiServer
from broker.demo.mcp_server import READ
from broker.demo.person_browser import Page, PersonBrowser
from broker.demo.world import World, running_world
from broker.tenants.models import Tenant
from broker.tenants.registry import save_tenant
from tests.builders.published_clients import serve_document

PERSON = "jonas"
CALLBACK = "http://127.0.0.1:49152/callback"


@pytest.fixture
def world() -> Iterator[World]:
    """A demo world of the test's own."""
    with running_world() as running:
        yield running


@pytest.fixture
def address() -> Iterator[str]:
    """Where a client publishes what it is."""
    server = WsgiServer("127.0.0.1", 0)
    server.start(serve_document)
    yield f"{server.url}/client.json"
    server.stop()


def admit_addresses(world: World) -> None:
    """The one thing that an administrator does."""
    rt = world.broker.runtime
    with rt.database.unscoped(write=True) as session:
        row = session.scalars(select(Tenant)).one()
        template = {
            "scopes": [READ],
            "roles": ["support.agent"],
            "resources": [world.story.planner.resource],
            "owner": "first_person",
        }
        settings = {**row.settings, "onboarding": {"cimd": "any", "template": template}}
        save_tenant(session, row.slug, {"settings": settings}, rt.clock.now())


def sign_in(browser: PersonBrowser, address: str) -> Page:
    """Sign Jonas in at the Entra-like provider; ends at the question."""
    chooser = browser.open(address)
    login = browser.open(urljoin(chooser.url, chooser.link_to("/sign-in/entra")))
    return browser.press(login, login.form_with("person", PERSON), "person", PERSON)


def test_mcp_04_a_client_with_only_an_address_connects_to_an_entra_backed_tenant(
    world: World, address: str
) -> None:
    admit_addresses(world)
    agent = DemoAgent(
        name="Assistant",
        authentication=PublicClient(address),
        mcp_url=world.story.planner.resource,
        redirect_uri=CALLBACK,
    )
    browser = PersonBrowser(stop_at=CALLBACK)
    try:
        metadata = agent.server.metadata
        assert metadata["client_id_metadata_document_supported"] is True
        assert "none" in metadata["token_endpoint_auth_methods_supported"]
        page = sign_in(browser, agent.begin(READ))
        assert "Assistant with an address" in page.text, (page.url, page.text[:500])
        assert "Unverified" in page.text
        assert "a program on this computer" in page.text
        answer = browser.press(page, page.form_with("decision", "allow"), "decision", "allow")
        token = agent.finish(answer.query).access_token
        claims = claims_of(token)
        assert (claims["aud"], claims["scope"], claims["client_id"]) == (agent.resource, READ, address)
        assert agent.call_tool(token, "list_tickets").is_allowed
    finally:
        browser.close()
        agent.close()
    rt = world.broker.runtime
    with rt.database.unscoped() as session:
        rows = session.scalars(select(Client.client_id).where(Client.client_id == address)).all()
    assert rows == [address]

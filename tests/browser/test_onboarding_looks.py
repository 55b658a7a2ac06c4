"""Who may come, who waits and registration tokens, by clicks, in light and dark, on a phone and a desktop."""

import json
from typing import Any
from urllib.request import Request, urlopen

import pytest
from sqlalchemy import select

from broker.agent_client.authentication import PublicClient
from broker.demo.agents import DemoAgent
from broker.demo.loopback import WsgiServer
from broker.demo.world import World
from broker.tenants.models import Tenant
from broker.tenants.registry import save_tenant
from tests.browser.gallery import Gallery
from tests.browser.visitor import Visitor
from tests.browser.walks import choose, enter_administration, pick
from tests.builders.published_clients import serve_document

pytestmark = [pytest.mark.browser, pytest.mark.proof]


def register(world: World, **changes: Any) -> dict[str, Any]:
    body = {
        "client_name": "Research assistant",
        "redirect_uris": ["http://127.0.0.1/callback", "https://research.example/oauth/callback"],
        "application_type": "native",
        "token_endpoint_auth_method": "none",
        "client_uri": "https://research.example",
        **changes,
    }
    request = Request(
        f"{world.tenant_url}/register",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    with urlopen(request, timeout=10) as answer:
        return dict(json.load(answer))


def test_a_stranger_is_asked_about(new_world: World, visitor: Visitor, gallery: Gallery) -> None:
    rt, mcp_url = new_world.broker.runtime, new_world.story.planner.resource
    template = {
        "scopes": ["tickets:read", "tickets:create"],
        "roles": ["support.agent"],
        "resources": [mcp_url],
        "owner": "first_person",
    }
    with rt.database.unscoped(write=True) as session:
        row = session.scalars(select(Tenant)).one()
        settings = {**row.settings, "onboarding": {"cimd": "any", "template": template}}
        save_tenant(session, row.slug, {"settings": settings}, rt.clock.now())
    server = WsgiServer("127.0.0.1", 0)
    server.start(serve_document)
    try:
        agent = DemoAgent(
            name="Assistant",
            authentication=PublicClient(f"{server.url}/client.json"),
            mcp_url=mcp_url,
            redirect_uri="http://127.0.0.1:49152/callback",
        )
        visitor.open(agent.begin("tickets:read"))
        choose(visitor, "Entra-like")
        pick(visitor, "jonas")
        visitor.sees("Unverified: identified only by")
        gallery.take("consent-stranger")
        agent.close()
    finally:
        server.stop()


def test_an_administrator_lets_clients_come(new_world: World, visitor: Visitor, gallery: Gallery) -> None:
    enter_administration(visitor, new_world)
    visitor.open(f"{new_world.tenant_url}/admin/clients")
    gallery.take("admin-clients")
    visitor.follow("Who may come")
    gallery.take("admin-onboarding")
    page = visitor.page
    page.get_by_label("Any", exact=True).check()
    page.get_by_label("Anybody", exact=True).check()
    page.get_by_label("Ticket desk", exact=True).check()
    page.get_by_label("tickets:read").check()
    page.get_by_label("Contact", exact=True).fill("Olu Owner")
    page.get_by_label("E-mail address", exact=True).fill("olu@acme.test")
    visitor.press("Save")
    visitor.sees("The policy was saved.")
    gallery.take("admin-onboarding-saved")
    register(new_world)
    register(
        new_world,
        client_name="Quarterly numbers and everything that belongs to them, at last",
        redirect_uris=[f"https://a-very-long-host-name-of-a-department.example/{'path/' * 12}callback"],
        application_type="web",
    )
    visitor.open(f"{new_world.tenant_url}/admin/clients")
    visitor.sees("Waiting for you")
    gallery.take("admin-clients-waiting")
    page.get_by_role("button", name="Release Research assistant").click()
    visitor.sees("The application was released.")
    gallery.take("admin-clients-released")
    visitor.follow("Registration tokens")
    gallery.take("admin-registration-tokens-none")
    page.get_by_label("For whom").fill("Build server")
    visitor.press("Make a token")
    visitor.sees("The token was made. Copy it now.")
    gallery.take("admin-registration-tokens-made")

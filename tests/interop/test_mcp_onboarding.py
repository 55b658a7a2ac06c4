"""The official MCP SDK introduces itself: by its address (MCP-04), or by registering (MCP-11)."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from mcp.client.auth import OAuthClientProvider
from mcp.shared.auth import OAuthClientMetadata
from sqlalchemy import func, select

from broker.agents.admission import admit
from broker.agents.client_documents import ClientDocument
from broker.agents.client_metadata import read_metadata
from broker.agents.models import ClientRegistration
from broker.demo.mcp_server import CREATE, READ
from broker.oauth.client_resolution import newcomer_of, offered
from broker.tenants.models import Tenant
from broker.tenants.registry import save_tenant
from tests.builders.maya import Maya
from tests.builders.published_clients import CLIENT_ID
from tests.interop.servers.mcp_desks import Desks, running_desks
from tests.interop.test_mcp_sdk import Person, Storage, call_tool

pytestmark = [pytest.mark.proof, pytest.mark.interop]

CALLBACK = "http://127.0.0.1:1/callback"


@pytest.fixture
def desks() -> Iterator[Desks]:
    """One MCP server before a tenant that lets clients introduce themselves."""
    with running_desks(1, CALLBACK) as running:
        rt = running.demo.broker.runtime
        template = {
            "scopes": [READ, CREATE],
            "roles": ["support.agent"],
            "resources": running.urls,
            "owner": "first_person",
        }
        policy = {
            "cimd": "any",
            "registration": "open",
            "registration_quarantine": False,
            "template": template,
        }
        with rt.database.unscoped(write=True) as session:
            row = session.scalars(select(Tenant)).one()
            save_tenant(
                session, row.slug, {"settings": {**row.settings, "onboarding": policy}}, rt.clock.now()
            )
        yield running


@pytest.fixture
def person(desks: Desks) -> Person:
    """Maya at the keyboard."""
    return Person(Maya(desks.demo, CALLBACK))


def newcomer(url: str, person: Person, storage: Storage, address: str | None = None) -> OAuthClientProvider:
    """An SDK client that has no client information; ``address`` is where its metadata stands."""
    metadata: dict[str, Any] = {
        "redirect_uris": [CALLBACK],
        "client_name": "SDK",
        "token_endpoint_auth_method": "none",
    }
    return OAuthClientProvider(
        server_url=url,
        client_metadata=OAuthClientMetadata(**metadata),
        storage=storage,
        redirect_handler=person.follow,
        callback_handler=person.bring_back,
        client_metadata_url=address,
    )


def registrations(desks: Desks) -> int:
    """How many rows clients that introduced themselves have."""
    with desks.demo.broker.runtime.database.unscoped() as session:
        return session.scalar(select(func.count()).select_from(ClientRegistration)) or 0


def test_mcp_11_the_sdk_registers_and_calls_a_tool(desks: Desks, person: Person) -> None:
    url = desks.urls[0]
    ids = set()
    for _ in range(2):
        storage = Storage()
        told = asyncio.run(call_tool(newcomer(url, person, storage), url, "list_tickets"))
        assert told["for"].startswith("usr_")
        assert storage.client is not None
        ids.add(storage.client.client_id)
    assert len(ids) == 1
    assert registrations(desks) == 1


def test_mcp_04_the_sdk_connects_by_the_address_of_its_metadata(desks: Desks, person: Person) -> None:
    rt, tenant = desks.demo.broker.runtime, desks.builder.again(desks.demo.broker.tenant)
    # The SDK takes an https address only, which this machine cannot serve: the document was read before.
    said = {"client_name": "SDK", "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none"}
    document = ClientDocument(CLIENT_ID, read_metadata(said, offered(rt, tenant)), 3600)
    ctx = desks.builder.ctx
    with rt.database.write(tenant.id) as session:
        assert admit(session, rt, tenant, newcomer_of(tenant, document, ctx.now), ctx)
    url, storage = desks.urls[0], Storage()
    told = asyncio.run(call_tool(newcomer(url, person, storage, CLIENT_ID), url, "list_tickets"))
    assert told["for"].startswith("usr_")
    assert storage.client is not None
    assert storage.client.client_id == CLIENT_ID
    assert registrations(desks) == 1

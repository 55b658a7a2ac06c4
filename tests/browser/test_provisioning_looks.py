"""SCIM of a connection, made ready by clicks, in light and dark, on a phone and a desktop."""

import contextlib
import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from sqlalchemy import update

from broker.demo.world import World
from broker.federation.models import DirectorySync
from broker.tenants.snapshot import find_tenant
from tests.browser.gallery import Gallery
from tests.browser.visitor import Visitor
from tests.browser.walks import enter_administration

pytestmark = pytest.mark.browser


def push(world: World, secret: str, path: str, body: object) -> None:
    request = Request(
        f"{world.tenant_url}/scim/v2/{path}",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {secret}", "Content-Type": "application/scim+json"},
        method="POST",
    )
    with contextlib.suppress(HTTPError):
        urlopen(request, timeout=10).close()


@pytest.mark.proof
def test_a_provider_is_given_its_token(new_world: World, visitor: Visitor, gallery: Gallery) -> None:
    enter_administration(visitor, new_world)
    visitor.open(f"{new_world.tenant_url}/admin/connections")
    visitor.follow("Okta-like")
    visitor.follow("SCIM tokens and log")
    visitor.sees_heading("SCIM of Okta-like")
    gallery.take("admin-scim-new")
    visitor.follow("Request log")
    gallery.take("admin-scim-log-empty")
    visitor.follow("SCIM settings")
    visitor.press("Make a token")
    visitor.sees("The token was made. Copy it now.")
    for steps in ("Steps for Okta", "Steps for Microsoft Entra ID"):
        visitor.page.get_by_text(steps, exact=True).click()
    gallery.take("admin-scim-made")

    secret = visitor.page.locator(".notice code").inner_text()
    user = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "kim@acme.test"}
    for _ in range(2):
        push(new_world, secret, "Users", user | {"externalId": "kim", "active": True})
    visitor.open(f"{new_world.tenant_url}/admin/connections")
    visitor.follow("Okta-like")
    visitor.follow("SCIM tokens and log")
    visitor.sees("Refused lately")
    gallery.take("admin-scim-used")
    visitor.follow("All of them")
    visitor.page.locator("details.event summary").first.click()
    gallery.take("admin-scim-log")


@pytest.mark.proof
def test_a_directorys_walk_is_watched(new_world: World, visitor: Visitor, gallery: Gallery) -> None:
    rt, now = new_world.broker.runtime, new_world.broker.runtime.clock.now()
    tenant = find_tenant(rt, "acme")
    assert tenant is not None
    connection = next(iter(tenant.connections.values()))
    page = f"{new_world.tenant_url}/admin/connections/{connection.id}/sync"
    enter_administration(visitor, new_world)
    visitor.open(page)
    gallery.take("admin-sync-never")
    walk = DirectorySync(
        connection_id=connection.id, run=1, state="running", phase="people", parts=[], known=100_000,
        started_at=now - 300, changed_at=now,
    )  # fmt: skip
    with rt.database.write(tenant.id) as session:
        session.add(walk)
    visitor.page.reload()
    gallery.take("admin-sync-running")
    with rt.database.write(tenant.id) as session:
        session.execute(update(DirectorySync).values(state="waiting", leaving=9_000))
    visitor.page.reload()
    gallery.take("admin-sync-waiting")
    visitor.press("Switch them off")
    visitor.sees("Running")

"""SCIM of a connection, made ready by clicks, in light and dark, on a phone and a desktop."""

import contextlib
import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from sqlalchemy import update

from broker.audit.log import ActorRef
from broker.demo.world import World
from broker.directory.models import IdentityLink, User
from broker.federation.models import DirectorySync
from broker.kernel.context import CallContext
from broker.scim.access import issue_token
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


def sign_in_before(world: World, tenant_id: str, connection_id: str) -> None:
    """Write what is there after Maya has signed in once."""
    with world.broker.runtime.database.write(tenant_id) as session:
        now = world.broker.runtime.clock.now()
        session.add(
            User(
                id="usr_maya",
                display_name="Maya Lindqvist-Okonkwo",
                email="maya@acme.test",
                email_verified_by="idp_asserted",
                created_at=now,
                last_sign_in_at=now,
            )
        )
        session.add(
            IdentityLink(
                id="idl_maya",
                user_id="usr_maya",
                connection_id=connection_id,
                created_at=now,
                issuer="https://idp.test",
                subject_kind="sub",
                subject="00u1a2b3c4d5e6f7g8h9",
            )
        )


@pytest.mark.proof
def test_a_pushed_person_is_joined_by_hand(new_world: World, visitor: Visitor, gallery: Gallery) -> None:
    rt = new_world.broker.runtime
    tenant = find_tenant(rt, "acme")
    assert tenant is not None
    connection = next(iter(tenant.connections.values()))
    sign_in_before(new_world, tenant.id, connection.id)
    ctx = CallContext(now=rt.clock.now(), request_id="req_push", ip="127.0.0.1", user_agent="")
    with rt.database.write(tenant.id) as session:
        token = issue_token(
            session, rt, ctx, tenant, connection, ActorRef("operator", "test"), name="Provider", days=30
        )
    enter_administration(visitor, new_world)
    page = f"{new_world.tenant_url}/admin/connections/{connection.id}/scim"
    visitor.open(f"{page}/people")
    gallery.take("admin-pushed-nobody")
    core = "urn:ietf:params:scim:schemas:core:2.0"
    for number, name in enumerate(("Maya Lindqvist-Okonkwo", "Tom Berg", "Kim")):
        address = f"{name.split()[0].lower()}@acme.test"
        user = {"schemas": [f"{core}:User"], "userName": address, "displayName": name, "externalId": address}
        user["emails"] = [{"value": address, "type": "work"}]  # type: ignore[assignment]
        push(new_world, token.secret, "Users", user | {"active": number != 1})
    visitor.open(page)
    visitor.follow("Who is not recognised")
    gallery.take("admin-pushed-people")
    visitor.follow("Maya Lindqvist-Okonkwo")
    visitor.sees("Who is it?")
    gallery.take("admin-pushed-person")
    visitor.page.get_by_role("link", name="Compare with Maya").click()
    visitor.sees("Are these two the same person?")
    gallery.take("admin-pushed-compare")
    visitor.press("They are the same person")
    visitor.sees("The two are one person now.")
    gallery.take("admin-pushed-joined")
    visitor.press("Separate the two")
    visitor.press("Separate")
    visitor.sees("The two were separated.")

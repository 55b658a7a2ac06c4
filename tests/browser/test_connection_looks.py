"""A connection is added, edited, tested and removed: each page in light and dark, small and large."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from broker.demo.world import World
from broker.federation.metadata_refresh import REFRESH_SECONDS, UNSIGNED_CHANGE
from broker.federation.models import MetadataReading
from broker.kernel.versions import bump
from broker.tenants.models import Connection
from broker.tenants.snapshot import ConnectionView
from tests.browser.gallery import Gallery
from tests.browser.visitor import Visitor
from tests.browser.walks import enter_administration
from tests.builders.followed_metadata import URL, certificate

pytestmark = [pytest.mark.browser, pytest.mark.proof]


def fill(visitor: Visitor, **fields: str) -> None:
    for name, value in fields.items():
        visitor.page.locator(f'[name="{name}"]').fill(value)


def test_a_connection_from_its_first_page_to_its_last(
    new_world: World, visitor: Visitor, gallery: Gallery
) -> None:
    enter_administration(visitor, new_world)
    visitor.open(f"{new_world.tenant_url}/admin/connections")
    visitor.follow("Add a connection")
    gallery.take("admin-connection-new")
    visitor.page.get_by_role("link", name="Okta by OpenID Connect").click()
    fill(visitor, name="Staff of Acme", slug="staff", domains="acme.test")
    gallery.take("admin-connection-name")
    visitor.press("Continue")
    gallery.take("admin-connection-setup")
    fill(
        visitor,
        **{
            "take-issuer": "https://acme.okta.example",
            "take-client_id": "0oa1",
            "take-client_secret": "sesame-open-now",
        },
    )
    visitor.press("Save, switched off")
    visitor.sees("The connection was saved, switched off.")
    gallery.take("admin-connection-saved")
    visitor.follow("Edit")
    gallery.take("admin-connection-edit")
    visitor.page.go_back()
    visitor.follow("Test")
    gallery.take("admin-connection-tests")
    visitor.page.go_back()
    visitor.follow("Remove")
    gallery.take("admin-connection-remove")


def test_the_set_up_of_every_make_by_every_protocol(
    new_world: World, visitor: Visitor, gallery: Gallery
) -> None:
    enter_administration(visitor, new_world)
    visitor.open(f"{new_world.tenant_url}/admin/connections/new")
    offers = visitor.page.locator(".offer-kinds a").evaluate_all("all => all.map(one => one.href)")
    assert len(offers) >= 11
    for number, address in enumerate(offers):
        visitor.open(address)
        visitor.press("Continue")
        visitor.page.locator("details.more-fields").last.locator("summary").click()
        query = dict(parse_qsl(urlsplit(address).query))
        gallery.take(f"admin-set-up-{query.get('preset', 'hand')}-{query['kind']}")
        visitor.press("Save, switched off")
        if number % 3 == 0:
            gallery.take(f"admin-set-up-{query.get('preset', 'hand')}-{query['kind']}-wrong", status=400)


def offer_changes(world: World) -> ConnectionView:
    """Let the Google-like connection follow metadata that offers another key and another address."""
    rt, tenant = world.broker.runtime, world.broker.tenant
    google = tenant.find_connection("google")
    assert google is not None
    changes = {"certificates": [certificate("idp-next")], "sso_url": "https://idp.example/saml/sso2"}
    with rt.database.write(tenant.id) as session:
        session.get_one(Connection, google.id).config = {**google.config, "metadata_url": URL}
        session.add(
            MetadataReading(
                tenant_id=tenant.id,
                connection_id=google.id,
                refresh_at=rt.clock.now() + REFRESH_SECONDS,
                read_at=rt.clock.now(),
                problem=UNSIGNED_CHANGE,
                offered={"changes": changes, "is_refused": False},
            )
        )
        session.flush()
        bump(session.connection(), tenant.id)
    return google


def test_keys_and_metadata_of_a_saml_connection(new_world: World, visitor: Visitor, gallery: Gallery) -> None:
    enter_administration(visitor, new_world)
    google = offer_changes(new_world)
    visitor.open(f"{new_world.tenant_url}/admin/connections/{google.id}")
    gallery.take("admin-connection-warned")
    visitor.follow("Compare")
    gallery.take("admin-connection-metadata")
    visitor.press("Refuse it")
    visitor.sees("The changes were refused.")
    gallery.take("admin-connection-metadata-refused")

    visitor.open(f"{new_world.tenant_url}/admin/connections/{google.id}/keys")
    gallery.take("admin-connection-keys-none")
    visitor.press("Make the first keys")
    gallery.take("admin-connection-keys")
    visitor.press("Publish the next keys")
    gallery.take("admin-connection-keys-next")
    visitor.page.get_by_label("The provider has the next signing certificate").check()
    visitor.press("Use the next keys now")
    visitor.sees("The next keys are in use.")
    gallery.take("admin-connection-keys-former")
    visitor.press("Drop the former keys")
    visitor.page.get_by_role("dialog").get_by_role("button", name="Drop").click()
    visitor.sees("The former keys are gone.")

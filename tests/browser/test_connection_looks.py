"""A connection is added, edited, tested and removed: each page in light and dark, small and large."""

import pytest

from broker.demo.world import World
from tests.browser.gallery import Gallery
from tests.browser.visitor import Visitor
from tests.browser.walks import enter_administration

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

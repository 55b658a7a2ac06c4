"""Other parties and tasks, in light and dark, on a phone and a desktop."""

import pytest

from broker.demo.world import World
from tests.browser.gallery import Gallery
from tests.browser.visitor import Visitor
from tests.browser.walks import enter_administration

pytestmark = [pytest.mark.browser, pytest.mark.proof]


def test_an_administrator_enters_a_target(new_world: World, visitor: Visitor, gallery: Gallery) -> None:
    enter_administration(visitor, new_world)
    visitor.follow("Other parties")
    visitor.sees("There is no other party yet")
    gallery.take("admin-trusts-empty")
    visitor.open(f"{new_world.tenant_url}/admin/trusts/new?kind=target")
    gallery.take("admin-trust-new")
    page = visitor.page
    page.fill("#slug", "chat")
    page.fill("#name", "Chat of a partner with a name that is long enough to be broken somewhere")
    page.fill("#issuer", "http://chat.example")
    visitor.press("Add target")
    visitor.sees("Nothing was saved.")
    gallery.take("admin-trust-refused", status=400)
    page.fill("#issuer", "https://login.chat.partner.example/tenants/0123456789")
    page.fill("#agents", "planner")
    page.fill("#scopes", "chat:read\nchat:write")
    visitor.press("Add target")
    visitor.sees("was made.")
    gallery.take("admin-trusts-one")
    visitor.open(f"{new_world.tenant_url}/admin/trusts/new?kind=workload")
    gallery.take("admin-trust-new-workload")
    assert gallery.problems == []

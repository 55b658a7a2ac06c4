"""A person's own tokens, by clicks: making one, copying it once, revoking it; pictures of each state."""

import pytest

from broker.demo.world import World
from tests.browser.gallery import Gallery
from tests.browser.visitor import Visitor
from tests.browser.walks import sign_in_to

pytestmark = [pytest.mark.browser, pytest.mark.proof]


def test_a_token_is_made_and_revoked(new_world: World, visitor: Visitor, gallery: Gallery) -> None:
    sign_in_to(visitor, new_world, "/me/tokens", "Okta-like", "maya")
    visitor.sees("You have no token")
    gallery.take("my-tokens-none")
    visitor.page.get_by_role("link", name="Choose").first.click()
    visitor.sees("What it may do for you")
    gallery.take("my-tokens-new")
    visitor.page.get_by_role("checkbox").first.check()
    visitor.page.get_by_label("Name", exact=True).fill("Nightly report")
    visitor.press("Make the token")
    visitor.sees("Copy it now.")
    gallery.take("my-tokens-made")
    visitor.page.get_by_role("button", name="Revoke").first.click()
    visitor.sees("Nightly report was revoked.")
    gallery.take("my-tokens-revoked")

"""What an administrator does by clicks: come in by the one-time link, map a group, kill an agent."""

import pytest
from playwright.sync_api import Browser, expect

from broker.agent_client import OAuthRefused
from broker.demo.journey import Journey
from broker.demo.person_browser import PersonBrowser
from broker.demo.world import World
from tests.browser.visitor import Visitor, visiting
from tests.browser.walks import enter_administration, sign_in_to

pytestmark = pytest.mark.browser

PAGES = {
    "Overview": "Acme",
    "Agents": "Agents",
    "People": "People",
    "Roles": "Roles",
    "Resources": "Resources",
    "Connections": "Connections",
    "Audit log": "Audit log",
}


def let_maya_allow(world: World) -> None:
    """Maya allows Planner, which hands on to Ticket writer; both calls are answered."""
    journey = Journey(world, PersonBrowser())
    journey.allow(journey.sign_in("okta", "maya"))
    journey.browser.close()
    assert world.story.list_tickets().is_allowed
    world.story.hand_over()
    assert world.story.create_ticket().is_allowed


def test_the_setup_link_works_once(new_world: World, chromium: Browser, visitor: Visitor) -> None:
    with visiting(chromium) as scanner:
        # A mail scanner opens every link; that spends nothing.
        assert scanner.open(new_world.setup_link) == 200
    enter_administration(visitor, new_world)
    visitor.sees_heading("Acme")
    with visiting(chromium) as second:
        assert second.open(new_world.setup_link) == 410
        second.sees_heading("This link was already used or is too old")
        assert second.page.get_by_role("button", name="Continue as administrator").count() == 0
        second.open(f"{new_world.tenant_url}/admin")
        second.sees_heading("Sign in to Acme")


@pytest.mark.parametrize("size", [(1280, 800), (360, 640)], ids=["desktop", "phone"])
def test_every_item_of_the_navigation_opens(
    new_world: World, chromium: Browser, size: tuple[int, int]
) -> None:
    is_phone = size[0] < 992
    with visiting(chromium, size=size) as visitor:
        enter_administration(visitor, new_world)
        for words, heading in PAGES.items():
            if is_phone:
                visitor.page.get_by_text("Menu", exact=True).click()
            visitor.follow(words)
            visitor.sees_heading(heading)
            assert visitor.answers[-1].status == 200
            current = visitor.page.locator("nav a[aria-current=page]").first
            assert current.text_content() == words


def test_an_administrator_by_role_gets_in_and_others_do_not(new_world: World, chromium: Browser) -> None:
    with visiting(chromium) as ines:
        sign_in_to(ines, new_world, "/admin", "Okta-like", "ines")
        ines.sees_heading("Acme")
    with visiting(chromium) as omar:
        sign_in_to(omar, new_world, "/admin", "Okta-like", "omar")
        omar.sees_heading("You may not open this page")
        assert omar.answers[-1].status == 403


def test_a_killed_agent_gets_nothing_more(new_world: World, visitor: Visitor) -> None:
    let_maya_allow(new_world)
    enter_administration(visitor, new_world)
    visitor.follow("Agents")
    visitor.page.get_by_role("link", name="Kill… Planner").click()
    visitor.sees_heading("Planner")
    visitor.page.get_by_label("Reason, for the audit log").fill("Its key was found in a public repository")

    visitor.press("Kill Planner")
    dialog = visitor.page.get_by_role("dialog", name="Kill Planner?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    assert new_world.story.list_tickets().is_allowed

    visitor.press("Kill Planner")
    dialog.get_by_role("button", name="Kill", exact=True).click()
    visitor.sees("Planner was killed.")
    visitor.sees("2 tokens and 1 permission ended just now.")
    assert new_world.story.list_tickets().status == 401
    assert new_world.story.create_ticket().status == 401
    with pytest.raises(OAuthRefused):
        new_world.story.hand_over()
    visitor.follow("Audit log")
    visitor.sees("Agent killed")


def test_one_token_is_revoked_and_the_rest_goes_on(new_world: World, visitor: Visitor) -> None:
    let_maya_allow(new_world)
    enter_administration(visitor, new_world)
    visitor.open(f"{new_world.tenant_url}/admin/agents/{new_world.agent_ids['ticket-writer']}")
    of_maya = visitor.page.locator(".token-row", has_text="for Maya Lindqvist")
    of_maya.get_by_role("button", name="Revoke").click()
    visitor.page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    visitor.sees("ended just now")
    assert new_world.story.create_ticket().status == 401
    assert new_world.story.list_tickets().is_allowed


def test_a_mapping_is_added_and_removed(new_world: World, visitor: Visitor) -> None:
    enter_administration(visitor, new_world)
    visitor.follow("Roles")
    role = visitor.page.locator("article", has=visitor.page.get_by_role("heading", name="support.reader"))
    role.get_by_text("Change", exact=True).click()
    role.get_by_label("Add a group").fill("finance-*")
    role.get_by_label("Compared").select_option("glob")
    role.get_by_label("Told by").select_option(label="Okta-like")
    role.get_by_role("button", name="Add the rule").click()
    visitor.page.wait_for_load_state()
    expect(role.get_by_label("Groups that give support.reader")).to_contain_text("finance-*")

    role.get_by_text("Change", exact=True).click()
    role.get_by_role("button", name="Remove the rule for finance-*").click()
    visitor.page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    visitor.page.wait_for_load_state()
    expect(role.get_by_label("Groups that give support.reader")).not_to_contain_text("finance-*")


def test_a_role_is_made_and_removed(new_world: World, visitor: Visitor) -> None:
    enter_administration(visitor, new_world)
    visitor.follow("Roles")
    form = visitor.page.locator("#new-role")
    form.get_by_label("Name").fill("finance.reader")
    form.get_by_label("Scopes").fill("tickets:read")
    visitor.press("Make the role")
    role = visitor.page.locator("article", has=visitor.page.get_by_role("heading", name="finance.reader"))
    expect(role).to_contain_text("No group gives it")
    role.get_by_text("Change", exact=True).click()
    role.get_by_role("button", name="Remove the role").click()
    visitor.page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    visitor.page.wait_for_load_state()
    expect(role).to_have_count(0)


def test_a_person_is_looked_up_and_disabled(new_world: World, visitor: Visitor) -> None:
    let_maya_allow(new_world)
    enter_administration(visitor, new_world)
    visitor.follow("People")
    visitor.page.get_by_label("Name or e-mail").fill("maya")
    visitor.press("Show")
    visitor.follow("Maya Lindqvist")
    visitor.sees_heading("Maya Lindqvist")
    for words in ("support.agent", "agents-support", "Okta-like", "Planner"):
        visitor.sees(words)
    visitor.press("Disable")
    visitor.page.get_by_role("dialog").get_by_role("button", name="Disable").click()
    visitor.sees("Disabled")
    assert new_world.story.create_ticket().status == 401


def test_the_audit_log_is_filtered_and_its_chain_checked(new_world: World, visitor: Visitor) -> None:
    let_maya_allow(new_world)
    enter_administration(visitor, new_world)
    visitor.follow("Audit log")
    events = visitor.page.locator("details.event")
    everything = events.count()
    visitor.page.get_by_label("Event").select_option(label="Access allowed")
    visitor.press("Show")
    assert "event=consent.granted" in visitor.page.url
    assert 1 == events.count() < everything
    events.first.locator("summary").click()
    expect(events.first).to_contain_text("Request id")
    visitor.page.get_by_label("Agent id").fill("agt_unknown")
    visitor.press("Show")
    visitor.sees("No event matches")
    visitor.follow("Clear")
    visitor.press("Check the chain")
    visitor.sees("Intact")
    visitor.sees("events checked just now")

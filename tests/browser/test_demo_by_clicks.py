"""What a newcomer does in the demo, by clicks: sign in, allow, use, look, take back; also without scripts."""

import pytest
from playwright.sync_api import Browser, expect

from broker.demo.world import World
from tests.browser.visitor import Visitor, visiting
from tests.browser.walks import allow, choose, enter_administration, pick, sign_in, start, use_agents

pytestmark = pytest.mark.browser


def test_from_the_first_page_to_a_refused_call(new_world: World, visitor: Visitor) -> None:
    sign_in(visitor, new_world, "Okta-like", "maya")
    for words in ("Maya Lindqvist", "Read your tickets", "Create tickets in your name"):
        visitor.sees(words)
    allow(visitor, new_world)
    use_agents(visitor)

    token = visitor.page.get_by_label("Decoded token")
    expect(token).to_contain_text(new_world.agent_ids["ticket-writer"])
    expect(token).to_contain_text('"scope": "tickets:create"')
    chain = visitor.page.locator(".chain")
    for party in ("You", "Planner", "Ticket writer", "Ticket desk"):
        expect(chain).to_contain_text(party)

    visitor.press("Open your agents")
    visitor.arrives_at(f"{new_world.tenant_url}/me/agents")
    visitor.sees_heading("Your agents")
    visitor.press("Revoke Planner")
    visitor.sees("Planner was revoked.")
    visitor.sees("No agent acts for you")

    visitor.open(new_world.console_url)
    visitor.press("Let Ticket writer try again")
    visitor.sees("Refused, as it should be.")
    assert not new_world.story.calls[0].is_allowed


def test_a_sign_in_by_saml_crosses_sites(new_world: World, visitor: Visitor) -> None:
    sign_in(visitor, new_world, "Google-like", "aiko")
    posted = [answer.request for answer in visitor.answers if answer.request.method == "POST"]
    assertion_post = [request for request in posted if request.url.endswith("/saml/google/acs")]
    assert len(assertion_post) == 1
    # The provider's site is another one, so no cookie of ours may have come with the post.
    assert "cookie" not in assertion_post[0].all_headers()
    visitor.sees("Aiko Tanaka")
    allow(visitor, new_world)
    use_agents(visitor)


def test_a_sign_in_at_the_third_provider(new_world: World, visitor: Visitor) -> None:
    sign_in(visitor, new_world, "Entra-like", "sofia")
    visitor.sees("Asked for, but it will not get")
    allow(visitor, new_world)


def test_an_email_address_leads_to_its_provider(new_world: World, visitor: Visitor) -> None:
    start(visitor, new_world)
    visitor.page.get_by_label("work e-mail").fill("jonas@acme-werke.test")
    visitor.press("Continue")
    visitor.sees("Pick who you are.")
    pick(visitor, "jonas")
    visitor.sees_heading("May Planner act for you?")


def test_denying_ends_at_the_agent_with_nothing(new_world: World, visitor: Visitor) -> None:
    sign_in(visitor, new_world)
    visitor.press("Deny")
    visitor.arrives_at(f"{new_world.console_url}/")
    visitor.sees("Planner got no permission.")
    assert new_world.story.planner_token == ""


def test_somebody_else_can_answer_instead(new_world: World, visitor: Visitor) -> None:
    sign_in(visitor, new_world, "Okta-like", "omar")
    visitor.press("Not Omar Haddad?")
    visitor.sees_heading("Sign in to Acme")
    choose(visitor, "Okta-like")
    pick(visitor, "maya")
    visitor.sees_heading("May Planner act for you?")
    visitor.sees("Maya Lindqvist")
    allow(visitor, new_world)


def test_a_chosen_theme_stays(new_world: World, visitor: Visitor) -> None:
    background = "() => getComputedStyle(document.body).backgroundColor"
    visitor.open(f"{new_world.tenant_url}/sign-in")
    light = visitor.page.evaluate(background)
    visitor.press("Switch to dark theme")
    dark = visitor.page.evaluate(background)
    assert dark != light
    visitor.open(new_world.console_url)
    visitor.open(f"{new_world.tenant_url}/sign-in")
    assert visitor.page.evaluate(background) == dark
    visitor.press("Switch to light theme")
    assert visitor.page.evaluate(background) == light


def test_an_address_is_copied(new_world: World, visitor: Visitor) -> None:
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    enter_administration(visitor, new_world)
    visitor.press("Copy issuer")
    assert visitor.page.evaluate("() => navigator.clipboard.readText()") == new_world.tenant_url
    expect(visitor.page.get_by_role("status").filter(has_text="Copied")).to_have_count(1)


@pytest.mark.parametrize(
    ("provider", "person"),
    [pytest.param("Okta-like", "maya", id="oidc"), pytest.param("Google-like", "aiko", id="saml")],
)
def test_every_step_works_without_scripts(
    new_world: World, chromium: Browser, provider: str, person: str
) -> None:
    with visiting(chromium, has_scripts=False) as visitor:
        start(visitor, new_world)
        choose(visitor, provider)
        pick(visitor, person)
        if provider == "Google-like":
            # The provider's page posts itself only by a script; without one it has a button.
            visitor.press("Continue")
        visitor.sees_heading("May Planner act for you?")
        allow(visitor, new_world)
        use_agents(visitor)
        visitor.press("Open your agents")
        visitor.press("Revoke Planner")
        visitor.sees("Planner was revoked.")
        visitor.open(new_world.console_url)
        visitor.press("Let Ticket writer try again")
        visitor.sees("Refused, as it should be.")
        visitor.open(f"{new_world.tenant_url}/me/agents")
        visitor.page.locator("summary").first.click()
        visitor.press("Sign out")
        visitor.sees_heading("You are signed out")

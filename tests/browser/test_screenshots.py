"""Every page in light and dark, on a phone and a desktop: a picture each, and what it must fulfil."""

import pytest
from playwright.sync_api import Browser, Route

from broker.demo.journey import Journey
from broker.demo.person_browser import PersonBrowser
from broker.demo.world import World
from tests.browser.gallery import Gallery
from tests.browser.hostile import rename_everything
from tests.browser.visitor import Visitor
from tests.browser.walks import (
    allow,
    choose,
    enter_administration,
    pick,
    sign_in,
    sign_in_to,
    start,
    use_agents,
)

# Two hundred pictures are as much work as all other tests of pages together.
pytestmark = [pytest.mark.browser, pytest.mark.proof]


def test_the_way_of_an_employee(new_world: World, visitor: Visitor, gallery: Gallery) -> None:
    visitor.open(new_world.console_url)
    gallery.take("demo-console-start")
    sign_in_to(visitor, new_world, "/me/agents", "Okta-like", "maya")
    gallery.take("my-agents-empty")
    visitor.page.locator("summary").first.click()
    gallery.take("account-menu")
    visitor.press("Sign out")
    gallery.take("signed-out")

    start(visitor, new_world)
    gallery.take("sign-in-for-an-agent")
    choose(visitor, "Okta-like")
    gallery.take("demo-provider-login")
    pick(visitor, "maya")
    visitor.sees_heading("May Planner act for you?")
    gallery.take("consent")
    visitor.page.locator("details.technical summary").click()
    gallery.take("consent-details")
    allow(visitor, new_world)
    gallery.take("demo-console-allowed")
    use_agents(visitor)
    gallery.take("demo-console-used")
    visitor.press("Open your agents")
    gallery.take("my-agents-one")
    visitor.follow("Details of Planner")
    gallery.take("my-agent")
    visitor.press("Revoke")
    gallery.take("my-agents-revoked")
    visitor.open(f"{new_world.tenant_url}/me/agents/{new_world.agent_ids['planner']}")
    gallery.take("my-agent-revoked")
    visitor.open(new_world.console_url)
    visitor.press("Let Ticket writer try again")
    gallery.take("demo-console-refused")


def test_consents_that_give_less_or_more(new_world: World, visitor: Visitor, gallery: Gallery) -> None:
    sign_in(visitor, new_world, "Okta-like", "omar")
    gallery.take("consent-less")
    visitor.press("Deny")
    visitor.sees("Planner got no permission.")
    gallery.take("demo-console-denied")
    visitor.open(new_world.tenant_url + "/me/agents")
    visitor.page.locator("summary").first.click()
    visitor.press("Sign out")

    visitor.open(new_world.story.planner.begin("tickets:read"))
    choose(visitor, "Google-like")
    pick(visitor, "aiko")
    visitor.sees_heading("May Planner act for you?")
    hold_onward_pages(visitor)
    visitor.press("Allow")
    gallery.take("onward")
    visitor.page.unroute_all()
    visitor.follow("Continue")
    visitor.sees("Planner may act for you.")
    visitor.press("Start again")
    visitor.sees_heading("Planner asks for more access")
    gallery.take("consent-more")


def hold_onward_pages(visitor: Visitor) -> None:
    """Take away the header by which pages go on by themselves, so that they can be looked at."""

    def answer(route: Route) -> None:
        response = route.fetch(max_redirects=0)
        kept = {name: value for name, value in response.headers.items() if name != "refresh"}
        route.fulfill(response=response, headers=kept)

    visitor.page.route("**/consent/**", answer)


def test_pages_that_say_no(new_world: World, visitor: Visitor, gallery: Gallery) -> None:
    tenant = new_world.tenant_url
    visitor.open(f"{new_world.broker.runtime.settings.public_url}/me/agents?organization=nowhere")
    gallery.take("organization", status=404)
    visitor.open(f"{tenant}/sign-in")
    gallery.take("sign-in")
    visitor.page.get_by_label("work e-mail").fill("somebody@elsewhere.test")
    visitor.press("Continue")
    gallery.take("sign-in-unknown-address", status=400)
    visitor.open(f"{tenant}/no-such-page")
    gallery.take("error-not-found", status=404)
    visitor.open(f"{tenant}/authorize?client_id=unknown&response_type=code&redirect_uri=https://agent.test/")
    gallery.take("error-authorize", status=400)
    visitor.open(f"{tenant}/oidc/okta/callback?code=stolen&state=guessed")
    gallery.take("error-sign-in", status=400)
    sign_in_to(visitor, new_world, "/me/agents", "Okta-like", "omar")
    visitor.open(f"{tenant}/admin")
    gallery.take("error-forbidden", status=403)
    visitor.open(f"{tenant}/me/agents")
    visitor.page.evaluate("() => document.querySelector('input[name=csrf_token]').value = 'forged'")
    visitor.page.locator("summary").first.click()
    visitor.press("Sign out")
    gallery.take("error-form", status=400)


def populate(world: World) -> None:
    """Give the administration something to show: people of every kind, chains, refusals, an ended grant."""
    journey = Journey(world, PersonBrowser())
    for connection, person in (("okta", "omar"), ("entra", "sofia"), ("google", "aiko"), ("okta", "maya")):
        journey.allow(journey.sign_in(connection, person))
        world.story.list_tickets()
    world.story.hand_over()
    world.story.create_ticket()
    world.story.read_beyond()
    journey.sign_in("entra", "tomek")
    journey.sign_in("google", "lars")
    journey.browser.close()


def test_the_administration(new_world: World, visitor: Visitor, gallery: Gallery) -> None:
    tenant = new_world.tenant_url
    visitor.open(new_world.setup_link)
    gallery.take("setup")
    enter_administration(visitor, new_world)
    gallery.take("admin-overview-new")
    visitor.open(f"{tenant}/admin/people")
    gallery.take("admin-people-empty")
    visitor.open(new_world.setup_link)
    gallery.take("setup-spent", status=410)

    populate(new_world)
    visitor.open(f"{tenant}/admin")
    gallery.take("admin-overview")
    for page in ("agents", "people", "roles", "resources", "connections", "audit"):
        visitor.open(f"{tenant}/admin/{page}")
        gallery.take(f"admin-{page}")
    visitor.open(f"{tenant}/admin/agents?q=nobody")
    gallery.take("admin-agents-none")
    visitor.open(f"{tenant}/admin/audit?outcome=refused")
    visitor.page.locator("details.event summary").first.click()
    gallery.take("admin-audit-refused")
    visitor.press("Check the chain")
    gallery.take("admin-audit-checked")
    visitor.open(f"{tenant}/admin/roles")
    visitor.page.locator("details.role-edit summary").nth(1).click()
    gallery.take("admin-roles-edit")
    for person in ("Maya Lindqvist", "Tomek Zając"):
        visitor.open(f"{tenant}/admin/people")
        visitor.follow(person)
        gallery.take(f"admin-person-{person.partition(' ')[0].lower()}")
    for connection in ("Okta-like", "Google-like"):
        visitor.open(f"{tenant}/admin/connections")
        visitor.follow(connection)
        gallery.take(f"admin-connection-{connection.partition('-')[0].lower()}")


def test_the_kill_switch(new_world: World, visitor: Visitor, gallery: Gallery) -> None:
    enter_administration(visitor, new_world)
    populate(new_world)
    agent = f"{new_world.tenant_url}/admin/agents/{new_world.agent_ids['planner']}"
    visitor.open(agent)
    gallery.take("admin-agent")
    visitor.press("Suspend")
    gallery.take("admin-agent-dialog")
    visitor.page.get_by_role("dialog").get_by_role("button", name="Suspend").click()
    visitor.sees("Planner was suspended.")
    gallery.take("admin-agent-suspended")
    visitor.page.get_by_label("Reason, for the audit log").fill("Its key was found in a public repository")
    visitor.press("Kill Planner")
    visitor.page.get_by_role("dialog").get_by_role("button", name="Kill").click()
    visitor.sees("Planner was killed.")
    gallery.take("admin-agent-killed")
    visitor.open(f"{new_world.tenant_url}/admin")
    gallery.take("admin-overview-after-kill")


LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2


def test_long_names_stay_on_the_page(new_world: World, visitor: Visitor, gallery: Gallery) -> None:
    maya = new_world.providers.okta.people["maya"]
    maya.given_name, maya.groups = LONG, [LONG, *maya.groups, *(f"group-{number}" for number in range(60))]
    populate(new_world)
    rename_everything(new_world, LONG)
    tenant = new_world.tenant_url
    visitor.open(new_world.story.begin())
    gallery.check("long-sign-in")
    visitor.page.locator("a.connection-button").last.click()
    pick(visitor, "ines")
    visitor.page.wait_for_url("**/consent/**")
    gallery.check("long-consent")
    visitor.press("Allow")
    visitor.arrives_at(f"{new_world.console_url}/")
    gallery.check("long-console")
    visitor.open(f"{tenant}/me/agents")
    gallery.check("long-my-agents")
    for page in ("", "/agents", "/people", "/roles", "/resources", "/connections", "/audit"):
        visitor.open(f"{tenant}/admin{page}")
        gallery.check(f"long-admin{page.replace('/', '-')}")
    visitor.open(f"{tenant}/admin/agents/{new_world.agent_ids['planner']}")
    gallery.check("long-admin-agent")
    visitor.open(f"{tenant}/admin/people?q={LONG[:20]}")
    visitor.page.locator("main tbody a").first.click()
    gallery.check("long-admin-person")


def test_twin_the_checks_find_what_is_wrong(chromium: Browser) -> None:
    visitor = Visitor(chromium)
    gallery = Gallery(visitor)
    visitor.page.set_content(
        """<style>main { width: 2000px } :focus-visible { outline: none }</style>
        <main id="a"><p id="a" style="color: #bbb; background: #fff">pale</p><input><a href="#a"></a>
        <p style="opacity: 0.4">faint</p></main>"""
    )
    gallery.check("broken")
    found = "\n".join(gallery.problems)
    for fault in (
        "the document has no title", "0 visible h1", "scrolls sideways", "no label: <input>", "no name: <a",
        "id a is there twice", '"pale"', '"faint"', "the focus cannot be seen",
    ):  # fmt: skip
        assert fault in found, found
    visitor.context.close()

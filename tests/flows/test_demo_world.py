"""The demo from the outside: the headless journey, and the console as a person clicks through it."""

from collections.abc import Iterator

import pytest

pytest.importorskip("mcp")
pytest.importorskip("uvicorn")

from broker.demo.journey import STEPS, run_journey
from broker.demo.person_browser import Page, PersonBrowser
from broker.demo.world import World, running_world


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """One world for the console's tests, each of which signs in somebody else."""
    with running_world() as running:
        yield running


@pytest.fixture
def new_world() -> Iterator[World]:
    with running_world() as running:
        yield running


@pytest.fixture
def browser() -> Iterator[PersonBrowser]:
    one = PersonBrowser()
    yield one
    one.close()


def test_the_journey_ends_in_a_refused_token(new_world: World) -> None:
    lines: list[str] = []
    assert run_journey(new_world, lines.append), "\n".join(lines)
    assert len(lines) == len(STEPS) + 1
    assert "401 invalid_token" in lines[-2]


def test_a_failing_step_ends_the_journey_and_is_told(new_world: World) -> None:
    new_world.providers.okta.people["maya"].groups.clear()
    lines: list[str] = []
    assert not run_journey(new_world, lines.append)
    assert "FAIL" in lines[-1]


def press(browser: PersonBrowser, page: Page, action: str) -> Page:
    return browser.press(page, page.form_to(action))


def sign_in(browser: PersonBrowser, world: World, connection: str, person: str) -> Page:
    chooser = press(browser, browser.open(world.console_url), "/start")
    login = browser.open(world.tenant_url + chooser.link_to(f"/sign-in/{connection}").split("/t/acme")[1])
    return browser.press(login, login.form_with("person", person), "person", person)


def test_the_console_leads_from_a_sign_in_to_a_refused_call(world: World, browser: PersonBrowser) -> None:
    consent = sign_in(browser, world, "okta", "maya")
    page = browser.press(consent, consent.form_with("decision", "allow"), "decision", "allow")
    assert "Planner may act for you." in page.text
    page = press(browser, page, "/read")
    assert "Planner read the tickets." in page.text
    page = press(browser, page, "/hand-over")
    assert "Ticket writer created a ticket for you." in page.text
    assert world.agent_ids["ticket-writer"] in page.text
    mine = press(browser, page, "/revoke")
    assert mine.url == f"{world.tenant_url}/me/agents"
    press(browser, mine, f"/{world.agent_ids['planner']}")
    page = press(browser, browser.open(world.console_url), "/again")
    assert "Refused, as it should be." in page.text


def test_the_console_says_when_nothing_was_revoked_yet(world: World, browser: PersonBrowser) -> None:
    consent = sign_in(browser, world, "google", "aiko")
    page = browser.press(consent, consent.form_with("decision", "allow"), "decision", "allow")
    page = press(browser, press(browser, page, "/read"), "/hand-over")
    press(browser, page, "/revoke")
    page = press(browser, browser.open(world.console_url), "/again")
    assert "It still works." in page.text


def test_the_console_takes_no_for_an_answer(world: World, browser: PersonBrowser) -> None:
    consent = sign_in(browser, world, "entra", "jonas")
    page = browser.press(consent, consent.form_with("decision", "deny"), "decision", "deny")
    assert "Planner got no permission." in page.text


def test_the_console_refuses_an_answer_that_it_did_not_ask_for(world: World, browser: PersonBrowser) -> None:
    page = browser.open(f"{world.callback_url}?code=stolen&state=guessed&iss={world.tenant_url}")
    assert "This answer was not expected." in page.text


def test_groups_that_did_not_fit_into_the_token_give_no_permission(
    world: World, browser: PersonBrowser
) -> None:
    page = sign_in(browser, world, "entra", "tomek")
    assert not any(
        name == "decision" and value == "allow" for form in page.forms for name, value in form.buttons
    ) or ("tickets" not in page.text.partition("What it may do")[2].partition("Asked for")[0])


def test_the_console_changes_nothing_for_another_site(world: World, browser: PersonBrowser) -> None:
    page = browser.open(world.console_url)
    form = page.form_to("/start")
    form.fields.clear()
    assert browser.press(page, form).status == 400

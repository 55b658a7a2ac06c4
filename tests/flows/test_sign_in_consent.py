"""From an agent's request to its code: sign-in, the question, the answer, and back to the agent."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.builders.consent_flow import add_agent, answer, answer_of, asking, come_to_the_question, consents
from tests.builders.site import Site, form_token, refreshed_to
from tests.builders.world import TICKETS


@pytest.fixture
def agent_site(site: Site) -> Site:
    """A site with an agent that asks."""
    return add_agent(site)


def test_a_person_allows_an_agent(agent_site: Site) -> None:
    site, browser = agent_site, agent_site.browser()
    path = come_to_the_question(site, browser)
    page = browser.get(path)
    for words in (
        "May Writer act for you?",
        "Maya Moss",
        "maya@acme.example",
        "Okta",
        "Olu Owner",
        "Approved by your organization",
        "writer.example",
        "Read your tickets",
        "1 hour",
        "8 hours",
        "30 days",
        "Proofreader",
        "You are the first person here",
    ):
        assert words in page.text, words
    refused = page.text.index("Asked for, but it will not get")
    assert page.text.index("Delete tickets") > refused > page.text.index("Read your tickets")
    assert "Your groups do not give you this." in page.text

    decided = answer(browser, path, "allow", "28800")
    assert decided.status_code == 200
    back = answer_of(browser.get(refreshed_to(decided)))
    assert back["state"] == "s-1"
    assert back["iss"] == site.acme.issuer
    assert back["code"]
    (consent,) = consents(site)
    assert consent.scopes == {"tickets:read"}
    assert consent.resources == {TICKETS}
    assert consent.expires_at == site.world.now + 28800
    (event,) = site.events("consent.granted")
    assert event.client_id == "cli_writer"
    assert event.data["consent_id"] == consent.id
    assert event.data["scopes"] == ["tickets:read"]


def test_a_person_denies_an_agent(agent_site: Site) -> None:
    site, browser = agent_site, agent_site.browser()
    path = come_to_the_question(site, browser)
    back = answer_of(browser.get(refreshed_to(answer(browser, path, "deny"))))
    assert back["error"] == "access_denied"
    assert back["state"] == "s-1"
    assert "code" not in back
    assert consents(site) == ()
    assert len(site.events("consent.denied")) == 1


def test_what_was_agreed_to_is_not_asked_again(agent_site: Site) -> None:
    site, browser = agent_site, agent_site.browser()
    decided = answer(browser, come_to_the_question(site, browser), "allow")
    browser.get(refreshed_to(decided))

    assert "code" in answer_of(browser.get(asking(scope="tickets:read")))
    # More is asked for: the new part is marked.
    more = browser.get(asking(scope="tickets:read tickets:write"))
    page = browser.get(more.location)
    assert "Writer asks for more access" in page.text
    assert page.text.count('class="new-word"') == 1
    site.world.clock.advance(3600)
    later = browser.get(asking(scope="tickets:read"))
    assert "/consent/" in later.location or "/sign-in" in later.location


def test_not_you_lets_another_person_answer(agent_site: Site) -> None:
    site, browser = agent_site, agent_site.browser()
    path = come_to_the_question(site, browser, "maya")
    handle = path.rsplit("/", 1)[1]
    token = form_token(browser.get(path))
    left = browser.post("/t/acme/sign-out", {"csrf_token": token, "resume": handle})
    assert left.location == f"/t/acme/sign-in?resume={handle}"
    assert "let <strong>Writer</strong> act for you" in browser.get(left.location).text

    back = site.sign_in(browser, "max", query=f"resume={handle}", name="Max Mann")
    question = browser.get(back.location).location
    assert "Max Mann" in browser.get(question).text
    decided = answer(browser, question, "allow")
    assert "code" in answer_of(browser.get(refreshed_to(decided)))
    (consent,) = consents(site)
    assert consent.user_id == site.events("sign_in.succeeded")[-1].subject_id


def test_the_agent_is_named_before_the_sign_in(agent_site: Site) -> None:
    site, browser = agent_site, agent_site.browser()
    choice = browser.get(asking()).location
    assert "let <strong>Writer</strong> act for you" in browser.get(choice).text
    # Another browser learns nothing from the handle.
    assert "Writer" not in site.browser().get(choice).text


def test_an_agent_that_ends_soon_is_not_allowed_for_longer(agent_site: Site) -> None:
    site, browser = agent_site, agent_site.browser()
    writer = site.world.agent(site.acme, "brief", name="Brief", expires_at=site.world.now + 5400)
    site.world.client(site.acme, "cli_brief", agent=writer, scopes=["tickets:read"])
    path = come_to_the_question(site, browser, client_id="cli_brief", scope="tickets:read")
    page = browser.get(path)
    assert "1 hour 30 minutes" in page.text
    assert "8 hours" not in page.text
    assert "itself is registered until" in page.text
    answer(browser, path, "allow", "5400")
    assert [one.expires_at for one in consents(site)] == [site.world.now + 5400]


def test_a_request_posted_from_another_site_is_asked_again_by_get(agent_site: Site) -> None:
    """OC-07: a cross-site POST brings no Lax cookies; going on by GET keeps the browser's other requests."""
    browser = agent_site.browser()
    path, _, query = asking().partition("?")
    posted = browser.post_from_elsewhere(path, dict(parse_qsl(query)), "https://agent.example")
    assert posted.status_code == 303
    assert parse_qsl(urlsplit(posted.location).query) == parse_qsl(query)
    assert "f-acme" not in posted.headers.get("Set-Cookie", "")
    assert browser.get(posted.location).location.startswith("/t/acme/sign-in?resume=")

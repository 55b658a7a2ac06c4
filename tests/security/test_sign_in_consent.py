"""Attacks on the question and its answer: changed forms, repeated answers, swapped sessions."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, update

from broker.agents.models import Agent
from broker.approvals.models import Consent, Interaction
from broker.kernel.versions import bump
from tests.builders.consent_flow import add_agent, answer, answer_of, asking, come_to_the_question, consents
from tests.builders.site import Site, cookies_set, form_token, refreshed_to


@pytest.fixture
def agent_site(site: Site) -> Site:
    """A site with an agent that asks."""
    return add_agent(site)


def all_consents(site: Site) -> list[Consent]:
    with site.rt.database.read(site.acme.id) as session:
        return list(session.scalars(select(Consent)))


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"scope": "tickets:delete", "scopes": "tickets:delete"}, id="O47-more-scopes"),
        pytest.param({"resource": "https://other.example"}, id="O47-other-resource"),
        pytest.param({"user_id": "usr_other", "session_id": "ses_other"}, id="O47-other-person"),
        pytest.param(
            {"client_id": "cli_other", "redirect_uri": "https://evil.example"}, id="O47-other-client"
        ),
        pytest.param({"handle": "h" * 43, "consent_id": "cns_other"}, id="O47-other-handle"),
    ],
)
def test_O47_what_a_form_adds_changes_nothing(agent_site: Site, extra: dict[str, str]) -> None:
    site, browser = agent_site, agent_site.browser()
    path = come_to_the_question(site, browser)
    form = {"csrf_token": form_token(browser.get(path)), "decision": "allow", "duration": "3600", **extra}
    onward = refreshed_to(browser.post(path, form))
    assert "code" in answer_of(browser.get(onward))
    (consent,) = consents(site)
    assert consent.scopes == {"tickets:read"}
    assert consent.client_id == "cli_writer"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"duration": "2592001"}, id="O47-longer"),
        pytest.param({"duration": "7200"}, id="O47-between"),
        pytest.param({"duration": "-1"}, id="O47-negative"),
        pytest.param({"duration": "9" * 50}, id="O47-huge"),
        pytest.param({"duration": ""}, id="O47-none"),
        pytest.param({"duration": "٣٦٠٠"}, id="O47-other-digits"),
        pytest.param({"decision": ""}, id="no-decision"),
        pytest.param({"decision": "Allow"}, id="other-decision"),
    ],
)
def test_O47_only_what_was_offered_can_be_chosen(agent_site: Site, changes: dict[str, str]) -> None:
    site, browser = agent_site, agent_site.browser()
    path = come_to_the_question(site, browser)
    form = {"csrf_token": form_token(browser.get(path)), "decision": "allow", "duration": "3600"}
    refused = browser.post(path, {**form, **changes})
    assert refused.status_code == 400
    assert all_consents(site) == []
    # The twin: the same page, as it is.
    assert browser.post(path, form).status_code == 200
    assert len(all_consents(site)) == 1


def test_O54_an_answer_counts_once(agent_site: Site) -> None:
    site, browser = agent_site, agent_site.browser()
    path = come_to_the_question(site, browser)
    form = {"csrf_token": form_token(browser.get(path)), "decision": "deny"}
    first = browser.post(path, form)
    second = browser.post(path, {**form, "decision": "allow", "duration": "3600"})
    assert refreshed_to(second) == refreshed_to(first)
    assert all_consents(site) == []
    assert answer_of(browser.get(refreshed_to(second)))["error"] == "access_denied"
    assert browser.post(path, form).status_code == 400


def test_O54_of_eight_answers_at_once_one_counts(agent_site: Site) -> None:
    site, browser = agent_site, agent_site.browser()
    path = come_to_the_question(site, browser)
    form = {"csrf_token": form_token(browser.get(path)), "decision": "allow", "duration": "3600"}
    jar = {name: browser.cookie(name) for name in ("c", "f-acme", "s-acme")}

    def post(_: int) -> int:
        one = site.browser()
        for name, value in jar.items():
            one.set_cookie(name, str(value))
        return one.post(path, form).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(post, range(8))) <= {200, 400}
    assert len(all_consents(site)) == 1
    assert len(site.events("consent.granted")) == 1


def test_one_answer_gives_one_code(agent_site: Site) -> None:
    site, browser = agent_site, agent_site.browser()
    onward = refreshed_to(answer(browser, come_to_the_question(site, browser), "allow"))
    assert "code" in answer_of(browser.get(onward))
    again = browser.get(onward)
    assert again.status_code == 400
    assert len(site.events("code.issued")) == 1


def test_O54_a_stale_question_cannot_be_answered(agent_site: Site) -> None:
    site, browser = agent_site, agent_site.browser()
    path = come_to_the_question(site, browser)
    token = form_token(browser.get(path))
    site.world.clock.advance(601)
    late = browser.post(path, {"csrf_token": token, "decision": "allow", "duration": "3600"})
    assert late.status_code == 400
    assert "sign_in_expired" in late.text
    assert all_consents(site) == []


def test_O54_another_browser_of_the_same_person_cannot_answer(agent_site: Site) -> None:
    site, browser, other = agent_site, agent_site.browser(), agent_site.browser()
    path = come_to_the_question(site, browser)
    site.sign_in(other, "maya")
    assert other.get(path).status_code == 400
    token = form_token(other.get("/t/acme/sign-in"))
    forged = other.post(path, {"csrf_token": token, "decision": "allow", "duration": "3600"})
    assert forged.status_code == 400
    assert all_consents(site) == []
    assert "code" in answer_of(browser.get(refreshed_to(answer(browser, path, "allow"))))


def test_O55_another_person_in_the_same_browser_ends_the_request(agent_site: Site) -> None:
    site, browser = agent_site, agent_site.browser()
    path = come_to_the_question(site, browser, "maya")
    site.sign_in(browser, "mallory")
    assert browser.get(path).status_code == 400
    token = form_token(browser.get("/t/acme/sign-in"))
    onward = browser.post(path, {"csrf_token": token, "decision": "allow", "duration": "3600"})
    assert browser.get(refreshed_to(onward)).status_code == 400
    assert all_consents(site) == []
    assert site.events("code.issued") == []


def test_O55_a_swap_after_the_answer_gives_no_code(agent_site: Site) -> None:
    site, browser = agent_site, agent_site.browser()
    onward = refreshed_to(answer(browser, come_to_the_question(site, browser, "maya"), "allow"))
    site.sign_in(browser, "mallory")
    assert browser.get(onward).status_code == 400
    assert site.events("code.issued") == []


def test_O55_signing_out_with_anothers_handle_frees_nothing(agent_site: Site) -> None:
    site, browser, other = agent_site, agent_site.browser(), agent_site.browser()
    path = come_to_the_question(site, browser, "maya")
    site.sign_in(other, "mallory")
    form = {"csrf_token": form_token(other.get("/t/acme/sign-in")), "resume": path.rsplit("/", 1)[1]}
    assert other.post("/t/acme/sign-out", form).status_code == 303
    with site.rt.database.read(site.acme.id) as session:
        (waiting,) = session.scalars(select(Interaction))
    assert waiting.session_id
    assert "code" in answer_of(browser.get(refreshed_to(answer(browser, path, "allow"))))


def test_a_question_of_another_tenant_is_unknown(agent_site: Site) -> None:
    site, browser = agent_site, agent_site.browser()
    path = come_to_the_question(site, browser)
    site.world.tenant("beta")
    browser.set_cookie("f-beta", str(browser.cookie("f-acme")))
    browser.set_cookie("s-beta", str(browser.cookie("s-acme")))
    assert browser.get(path.replace("/t/acme/", "/t/beta/")).status_code == 400
    assert browser.get(path).status_code == 200


def test_nobody_sees_the_question_without_signing_in(agent_site: Site) -> None:
    site, browser = agent_site, agent_site.browser()
    path = come_to_the_question(site, browser)
    handle = path.rsplit("/", 1)[1]
    browser.delete_cookie("s-acme")
    assert browser.get(path).location == f"/t/acme/sign-in?resume={handle}"


@pytest.mark.parametrize("state", ["suspended", "killed"])
def test_an_agent_stopped_meanwhile_cannot_be_allowed(agent_site: Site, state: str) -> None:
    site, browser = agent_site, agent_site.browser()
    path = come_to_the_question(site, browser)
    token = form_token(browser.get(path))
    with site.rt.database.write(site.acme.id) as session:
        session.execute(update(Agent).where(Agent.slug == "writer").values(state=state))
        bump(session.connection(), site.acme.id)
    form: dict[str, Any] = {"csrf_token": token, "decision": "allow", "duration": "3600"}
    assert browser.post(path, form).status_code == 400
    assert all_consents(site) == []


def test_the_question_names_only_what_is_granted(agent_site: Site) -> None:
    site, browser = agent_site, agent_site.browser()
    path = come_to_the_question(site, browser, scope="openid tickets:read tickets:write tickets:delete")
    page = browser.get(path).text
    allowed = page[page.index("What it may do") : page.index("Asked for, but it will not get")]
    answer(browser, path, "allow")
    (consent,) = consents(site)
    words = {
        "openid": "Learn who you are",
        "tickets:read": "Read your tickets",
        "tickets:write": "Change your tickets",
        "tickets:delete": "Delete tickets",
    }
    assert {scope for scope, sentence in words.items() if sentence in allowed} == consent.scopes
    assert "tickets:delete" not in consent.scopes


def test_names_from_outside_are_text_and_not_markup(agent_site: Site) -> None:
    site, browser = agent_site, agent_site.browser()
    begun = browser.get(asking())
    evil = '"><script>alert(1)</script>'
    back = site.sign_in(browser, query=begun.location.partition("?")[2], name=evil, email=evil)
    page = browser.get(browser.get(back.location).location)
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert" in page.text
    assert "s-acme" not in cookies_set(page)

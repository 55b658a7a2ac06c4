"""An employee looks at the agents that act for them, and takes one's access back."""

import pytest

from tests.builders.office import Office, submit
from tests.builders.site import Browser, form_token

MINE = "/t/acme/me/agents"


def page_of(office: Office, name: str) -> str:
    return f"{MINE}/{office.scene.agents[name].id}"


def revoke(office: Office, browser: Browser, name: str) -> str:
    answer = submit(browser, MINE, f"{page_of(office, name)}/revoke")
    assert answer.status_code == 303
    return answer.location


def test_nobody_signed_in_is_sent_to_sign_in_and_back(office: Office) -> None:
    answer = office.browser().get(MINE)
    assert answer.status_code == 303
    assert answer.location == "/t/acme/sign-in?next=/t/acme/me/agents"


def test_the_page_says_when_no_agent_acts(office: Office) -> None:
    assert "No agent acts for you" in office.person().get(MINE).text


def test_a_card_tells_what_the_agent_may_do_in_words(office: Office) -> None:
    office.scene.person_token()
    page = office.person().get(MINE).text
    assert "Read your tickets" in page
    assert "Change your tickets" in page
    assert "Delete tickets" not in page
    assert "1 use" in page


def test_the_detail_shows_the_tree_the_chain_and_the_history(office: Office) -> None:
    scene = office.scene
    second = scene.hand_over(scene.person_token(), "b").token
    scene.hand_over(second, "c", scope="tickets:read")
    page = office.person().get(page_of(office, "a")).text
    assert page.count('class="token-row') == 3
    assert '<figure class="chain' in page
    assert "without tickets:write" in page
    assert "Token issued" in page


def test_revoking_ends_consents_grants_and_whole_trees_at_once(office: Office) -> None:
    scene, browser = office.scene, office.person()
    first = scene.person_token()
    second = scene.hand_over(first, "b").token
    third = scene.hand_over(second, "c").token
    other = scene.person_token("cli_d")

    receipt = browser.get(revoke(office, browser, "a")).text

    assert "A was revoked." in receipt
    assert "3 tokens and 1 permission ended just now." in receipt
    assert "up to\n  10 minutes" in receipt
    for token in (first, second, third):
        assert scene.introspect(token) == {"active": False}
    assert scene.introspect(other)["active"] is True
    event = office.events("consent.withdrawn")[-1]
    assert event.actor == {"kind": "user", "id": scene.maya}
    assert event.agent_id == scene.agents["a"].id
    assert event.data["token_count"] == 3
    page = browser.get(MINE).text
    assert "You revoked it" in page
    assert "was revoked." not in page


def test_after_revoking_the_agent_has_to_ask_again(office: Office) -> None:
    scene, browser = office.scene, office.person()
    first = scene.person_token()
    session = scene.session()
    before = scene.authorize(session).location
    assert "code=" in before

    revoke(office, browser, "a")

    assert "code=" not in scene.authorize(session).location
    assert scene.exchange(first, "a").error == "invalid_grant"


def test_revoking_twice_changes_nothing_the_second_time(office: Office) -> None:
    office.scene.person_token()
    first, second = office.person(), office.person()
    token = form_token(second.get(MINE))
    revoke(office, first, "a")
    again = second.post(f"{page_of(office, 'a')}/revoke", {"csrf_token": token})
    assert again.status_code == 303
    assert "was revoked." not in second.get(again.location).text
    assert len(office.events("consent.withdrawn")) == 1


def test_a_consent_that_was_never_used_can_be_revoked(office: Office) -> None:
    office.scene.consent("cli_a", ["tickets:read"])
    browser = office.person()
    receipt = browser.get(revoke(office, browser, "a")).text
    assert "0 tokens and 1 permission ended just now." in receipt
    assert "No service accepts them any more." in receipt


def test_access_that_ran_out_is_listed_as_ended(office: Office) -> None:
    office.scene.consent("cli_a", ["tickets:read"], ttl_seconds=300)
    office.world.clock.advance(400)
    page = office.person().get(MINE).text
    assert "No agent acts for you" in page
    assert "It ran out" in page


def test_a_stopped_agent_does_not_act(office: Office) -> None:
    office.scene.person_token()
    agent = f"/t/acme/admin/agents/{office.scene.agents['a'].id}"
    submit(office.admin(), agent, agent, action="suspend")
    page = office.person().get(MINE).text
    assert "Your organization stopped it" in page


def test_a_receipt_cannot_be_made_up(office: Office) -> None:
    office.scene.person_token()
    agent = office.scene.agents["a"].id
    page = office.person().get(f"{MINE}?agent={agent}&done=req_00000000000000000000")
    assert page.status_code == 200
    assert "was revoked." not in page.text


@pytest.mark.parametrize(("short", "target"), [("/me/agents", MINE), ("/admin", "/t/acme/admin")])
def test_a_short_address_leads_to_the_only_tenant(office: Office, short: str, target: str) -> None:
    assert office.browser().get(short).location == target


def test_a_short_address_follows_the_last_sign_in(office: Office) -> None:
    office.world.tenant("beta")
    browser = office.browser()
    assert "Which organization" in browser.get("/me/agents").text
    browser.set_cookie("l-beta", "con_00000000000000000000")
    assert browser.get("/me/agents").location == "/t/beta/me/agents"
    browser.set_cookie("l-acme", "con_00000000000000000000")
    assert "Which organization" in browser.get("/me/agents").text


def test_a_short_address_takes_a_typed_name(office: Office) -> None:
    office.world.tenant("beta")
    office.world.tenant("gone", state="disabled")
    browser = office.browser()
    assert browser.get("/admin?organization=ACME").location == "/t/acme/admin"
    disabled, unknown = (browser.get(f"/admin?organization={name}") for name in ("gone", "gnoe"))
    assert disabled.status_code == unknown.status_code == 404
    assert disabled.text.replace("gone", "") == unknown.text.replace("gnoe", "")
    assert browser.get("/admin?organization=//evil.example").status_code == 404

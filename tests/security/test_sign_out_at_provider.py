"""Signing out at the OpenID provider after signing out here: offered, never waited for, answered once."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from broker.tokens.models import BrowserSession
from tests.builders.oidc_op import CLIENT_ID
from tests.builders.site import Browser, Site, form_token

END_SESSION = "https://op.example/logout?app=1"
SIGNED_OUT = "/t/acme/oidc/okta/signed-out"


@pytest.fixture
def site_with_logout(site: Site) -> Site:
    """The provider offers a sign-out."""
    site.op.metadata_extra = {"end_session_endpoint": END_SESSION}
    return site


def leave(site: Site, browser: Browser) -> TestResponse:
    """Sign out here by the button of the person's page."""
    token = form_token(browser.get("/t/acme/me/agents"))
    left = browser.post("/t/acme/sign-out", {"csrf_token": token})
    assert left.status_code == 200, left.text
    assert "You are signed out" in left.text
    assert site.live_sessions() == []
    return left


def offered(page: TestResponse) -> str:
    """Where the page leads to for a sign-out at the provider, or an empty string."""
    found = re.search(r'href="(https://op\.example/[^"]*)"', page.text)
    return unescape(found.group(1)) if found else ""


def asked_of(page: TestResponse) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(offered(page)).query).items()}


def test_the_provider_is_told_who_leaves_and_where_to_send_them(site_with_logout: Site) -> None:
    site, browser = site_with_logout, site_with_logout.browser()
    site.sign_in(browser, login_hint="opaque-hint")
    page = leave(site, browser)
    asked = asked_of(page)
    assert offered(page).startswith(END_SESSION + "&")
    assert asked["client_id"] == CLIENT_ID
    assert asked["post_logout_redirect_uri"] == f"{site.base_url}{SIGNED_OUT}"
    assert asked["id_token_hint"].count(".") == 2
    assert asked["logout_hint"] == "opaque-hint"
    assert len(asked["state"]) >= 40
    back = browser.get(SIGNED_OUT, query_string={"state": asked["state"]})
    assert back.status_code == 200
    assert "signed out here and at Okta" in back.text


def test_a_long_id_token_is_not_put_into_an_address(site_with_logout: Site) -> None:
    browser = site_with_logout.browser()
    site_with_logout.sign_in(browser, groups=[f"group-{number:05}" for number in range(400)])
    asked = asked_of(leave(site_with_logout, browser))
    assert "id_token_hint" not in asked
    assert asked["client_id"] == CLIENT_ID


@pytest.mark.parametrize(
    "endpoint",
    [None, "", "http://op.example/logout", "javascript:alert(1)", "https://op.example/logout#x", 7],
)
def test_without_a_usable_address_nothing_is_offered_and_both_ways_work(site: Site, endpoint: Any) -> None:
    site.op.metadata_extra = {"end_session_endpoint": endpoint}
    browser = site.browser()
    assert site.sign_in(browser).status_code == 303
    page = leave(site, browser)
    assert offered(page) == ""
    assert "javascript" not in page.text


def test_a_provider_that_is_down_holds_nobody_up(site_with_logout: Site) -> None:
    site, browser = site_with_logout, site_with_logout.browser()
    site.sign_in(browser)
    site.op.down |= {"/.well-known/openid-configuration", "/jwks", "/token"}
    site.world.clock.advance(900)
    before = len(site.op.requests)
    assert offered(leave(site, browser))
    assert len(site.op.requests) == before


def test_what_a_session_kept_for_this_is_erased_when_it_ends(site_with_logout: Site) -> None:
    site, browser = site_with_logout, site_with_logout.browser()
    site.sign_in(browser)
    assert kept(site) == [True]
    leave(site, browser)
    assert kept(site) == [False]


def kept(site: Site) -> list[bool]:
    with site.rt.database.read(site.acme.id) as session:
        return [one is not None for one in session.scalars(select(BrowserSession.sealed_upstream))]


# --- the way back ------------------------------------------------------------------------------------


def without_state(site: Site, browser: Browser, state: str) -> TestResponse:
    return browser.get(SIGNED_OUT)


def with_another_state(site: Site, browser: Browser, state: str) -> TestResponse:
    return browser.get(SIGNED_OUT, query_string={"state": "x" * 43})


def with_two_states(site: Site, browser: Browser, state: str) -> TestResponse:
    return browser.get(f"{SIGNED_OUT}?state={state}&state={'x' * 43}")


def in_another_browser(site: Site, browser: Browser, state: str) -> TestResponse:
    other = site.browser()
    other.get("/t/acme/sign-in")
    return other.get(SIGNED_OUT, query_string={"state": state})


def too_late(site: Site, browser: Browser, state: str) -> TestResponse:
    site.world.clock.advance(601)
    return browser.get(SIGNED_OUT, query_string={"state": state})


def as_a_sign_in(site: Site, browser: Browser, state: str) -> TestResponse:
    return browser.get("/t/acme/oidc/okta/callback", query_string={"state": state, "code": "x"})


def with_the_state_of_a_sign_in(site: Site, browser: Browser, state: str) -> TestResponse:
    begun = parse_qs(urlsplit(site.begin(browser).redirect_url).query)["state"][0]
    return browser.get(SIGNED_OUT, query_string={"state": begun})


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(without_state, id="O28-no-state"),
        pytest.param(with_another_state, id="O28-guessed-state"),
        pytest.param(with_two_states, id="O28-two-states"),
        pytest.param(in_another_browser, id="O28-another-browser"),
        pytest.param(as_a_sign_in, id="O28-sign-out-used-as-a-sign-in"),
        pytest.param(with_the_state_of_a_sign_in, id="O28-sign-in-used-as-a-sign-out"),
    ],
)
def test_O28_an_answer_to_no_sign_out_of_this_browser_says_nothing(
    site_with_logout: Site, attack: Callable[[Site, Browser, str], TestResponse]
) -> None:
    site, browser = site_with_logout, site_with_logout.browser()
    site.sign_in(browser)
    state = asked_of(leave(site, browser))["state"]
    answer = attack(site, browser, state)
    assert answer.status_code == 400
    assert "You are signed out" not in answer.text
    # The twin: the same browser's own answer, which the attack has not used up. It works once.
    assert browser.get(SIGNED_OUT, query_string={"state": state}).status_code == 200
    assert browser.get(SIGNED_OUT, query_string={"state": state}).status_code == 400


def test_O28_an_answer_that_comes_too_late_says_nothing(site_with_logout: Site) -> None:
    browser = site_with_logout.browser()
    site_with_logout.sign_in(browser)
    state = asked_of(leave(site_with_logout, browser))["state"]
    assert too_late(site_with_logout, browser, state).status_code == 400


def test_W08_the_return_address_is_ours_whatever_the_request_says(site_with_logout: Site) -> None:
    browser = site_with_logout.browser()
    site_with_logout.sign_in(browser)
    token = form_token(browser.get("/t/acme/me/agents"))
    form = {"csrf_token": token, "post_logout_redirect_uri": "https://evil.example", "next": "//evil.example"}
    page = browser.post("/t/acme/sign-out", form)
    assert "evil.example" not in page.text
    assert asked_of(page)["post_logout_redirect_uri"].startswith(site_with_logout.base_url)

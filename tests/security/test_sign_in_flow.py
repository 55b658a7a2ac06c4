"""Attacks on a sign-in in progress: whose browser, which connection, how often, how late."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from broker.directory.models import User
from broker.federation.models import SignInFlow
from broker.kernel.versions import bump
from broker.tenants.models import Connection, Tenant
from idp_connectors.base import Begun
from tests.builders.oidc_op import CLIENT_ID, CLIENT_SECRET
from tests.builders.site import Browser, Site, cookies_set

CALLBACK = "/t/acme/oidc/okta/callback"


def assert_refused(site: Site, answer: TestResponse, reason: str, status: int = 400) -> None:
    """The page says that it failed, the event log says why, and nobody is signed in."""
    assert answer.status_code == status, answer.text
    assert reason not in answer.text
    assert not any(name.startswith("s-") for name in cookies_set(answer))
    assert [one.reason for one in site.events("sign_in.refused")] == [reason]
    assert site.live_sessions() == []


def query_of(site: Site, begun: Begun) -> dict[str, str]:
    return dict(site.op.sign_in(begun, sub="maya").query)


def second_connection(site: Site) -> None:
    site.world.connection(
        site.acme,
        "evil",
        config={"issuer": site.op.issuer, "client_id": CLIENT_ID},
        secrets={"client_secret": CLIENT_SECRET},
    )


def second_tenant(site: Site) -> None:
    beta = site.world.tenant("beta")
    site.world.connection(
        beta,
        "okta",
        config={"issuer": site.op.issuer, "client_id": CLIENT_ID},
        secrets={"client_secret": CLIENT_SECRET},
    )


# --- O17, O62: state ---------------------------------------------------------------------------------


def test_twin_the_answer_in_its_own_browser_signs_in(site: Site) -> None:
    browser = site.browser()
    assert site.come_back(browser, site.begin(browser)).status_code == 303
    assert len(site.live_sessions()) == 1
    assert site.events("sign_in.refused") == []


def without_state(site: Site, browser: Browser, query: dict[str, str]) -> TestResponse:
    del query["state"]
    return browser.get(CALLBACK, query_string=query)


def with_other_state(site: Site, browser: Browser, query: dict[str, str]) -> TestResponse:
    return browser.get(CALLBACK, query_string={**query, "state": "x" * 43})


def with_empty_state(site: Site, browser: Browser, query: dict[str, str]) -> TestResponse:
    return browser.get(CALLBACK, query_string={**query, "state": ""})


def in_a_browser_without_cookie(site: Site, browser: Browser, query: dict[str, str]) -> TestResponse:
    return site.browser().get(CALLBACK, query_string=query)


def in_a_browser_with_a_flow_of_its_own(site: Site, browser: Browser, query: dict[str, str]) -> TestResponse:
    other = site.browser()
    site.begin(other)
    return other.get(CALLBACK, query_string=query)


def after_it_expired(site: Site, browser: Browser, query: dict[str, str]) -> TestResponse:
    site.world.clock.advance(601)
    return browser.get(CALLBACK, query_string=query)


def at_another_connection(site: Site, browser: Browser, query: dict[str, str]) -> TestResponse:
    second_connection(site)
    return browser.get("/t/acme/oidc/evil/callback", query_string=query)


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        pytest.param(without_state, "flow_unknown", id="O17-state-missing"),
        pytest.param(with_empty_state, "flow_unknown", id="O17-state-empty"),
        pytest.param(with_other_state, "flow_unknown", id="O17-state-guessed"),
        pytest.param(in_a_browser_without_cookie, "flow_of_other_browser", id="O17-no-flow-cookie"),
        pytest.param(in_a_browser_with_a_flow_of_its_own, "flow_of_other_browser", id="O17-other-browser"),
        pytest.param(after_it_expired, "flow_expired", id="O17-expired"),
        pytest.param(at_another_connection, "flow_of_other_connection", id="O16-other-connection"),
    ],
)
def test_an_answer_that_is_not_of_this_flow_is_refused(
    site: Site, attack: Callable[[Site, Browser, dict[str, str]], TestResponse], reason: str
) -> None:
    browser = site.browser()
    answer = attack(site, browser, query_of(site, site.begin(browser)))
    assert_refused(site, answer, reason)
    # Nothing was asked of the provider: the code is unspent.
    assert not any(url.endswith("/token") for url in site.op.requests)


def test_O17_an_answer_at_another_tenant_is_refused(site: Site) -> None:
    second_tenant(site)
    browser = site.browser()
    query = query_of(site, site.begin(browser))
    site.begin(browser, slug="beta")
    assert browser.get("/t/beta/oidc/okta/callback", query_string=query).status_code == 400
    assert browser.get(CALLBACK, query_string=query).status_code == 303


def test_O62_an_answer_works_once(site: Site) -> None:
    browser = site.browser()
    query = query_of(site, site.begin(browser))
    assert browser.get(CALLBACK, query_string=query).status_code == 303
    again = browser.get(CALLBACK, query_string=query)
    assert again.status_code == 400
    assert [one.reason for one in site.events("sign_in.refused")] == ["flow_reused"]
    assert len(site.live_sessions()) == 1


def test_O62_of_eight_at_once_one_wins(site: Site) -> None:
    browser = site.browser()
    query = query_of(site, site.begin(browser))
    secret = browser.cookie("f-acme")
    assert secret

    def come(_: int) -> int:
        one = site.browser()
        one.set_cookie("f-acme", secret)
        return one.get(CALLBACK, query_string=query).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(come, range(8))) == [303] + [400] * 7
    assert len(site.live_sessions()) == 1


def test_O16_another_issuer_in_the_answer_is_refused(site: Site) -> None:
    browser = site.browser()
    query = {**query_of(site, site.begin(browser)), "iss": "https://evil.example"}
    assert_refused(site, browser.get(CALLBACK, query_string=query), "issuer_mismatch")


def test_a_repeated_parameter_is_refused(site: Site) -> None:
    browser = site.browser()
    query = query_of(site, site.begin(browser))
    answer = browser.get(CALLBACK, query_string=[*query.items(), ("code", "another")])
    assert_refused(site, answer, "repeated_parameter")
    assert browser.get(CALLBACK, query_string=query).status_code == 303


def test_a_failed_answer_uses_the_flow_up_and_stores_nobody(site: Site) -> None:
    browser = site.browser()
    query = query_of(site, site.begin(browser))
    site.op.bend_claims = lambda claims: claims.update(nonce="another")
    assert_refused(site, browser.get(CALLBACK, query_string=query), "nonce_mismatch")
    site.op.bend_claims = lambda claims: None
    assert browser.get(CALLBACK, query_string=query).status_code == 400
    with site.rt.database.read(site.acme.id) as session:
        assert session.scalars(select(User)).all() == []


def test_open_flows_of_one_browser_are_bounded(site: Site) -> None:
    browser = site.browser()
    for _ in range(10):
        site.begin(browser)
    refused = browser.get("/t/acme/sign-in/okta")
    assert refused.status_code == 400
    assert "Many sign-ins are open" in refused.text
    site.begin(site.browser())
    site.world.clock.advance(601)
    site.begin(browser)


def test_only_hashes_and_sealed_values_are_stored(site: Site) -> None:
    browser = site.browser()
    begun = site.begin(browser)
    asked = query_of(site, begun)
    with site.rt.database.read(site.acme.id) as session:
        (flow,) = session.scalars(select(SignInFlow))
    stored = repr([getattr(flow, column.key) for column in SignInFlow.__table__.columns])
    assert asked["state"] not in stored
    assert (browser.cookie("f-acme") or "-") not in stored
    assert b"nonce" not in flow.sealed_private


# --- SAML: S32, S33, S34, S49 --------------------------------------------------------------------------


def post_answer(site: Site, form: Any, connection: str = "adfs", slug: str = "acme") -> TestResponse:
    path = f"/t/{slug}/saml/{connection}/acs"
    return site.browser().post_from_elsewhere(path, form, "https://idp.example")


def saml_form(site: Site, browser: Browser) -> dict[str, str]:
    return dict(site.saml.sign_in(site.begin(browser, "adfs"), name_id="maya").form)


def test_S33_an_assertion_in_another_browser_is_refused_and_not_used_up(site: Site) -> None:
    browser = site.browser()
    onward = post_answer(site, saml_form(site, browser)).location
    victim = site.browser()
    site.begin(victim, "adfs")
    assert_refused(site, victim.get(onward), "flow_of_other_browser")
    assert browser.get(onward).status_code == 303
    assert len(site.live_sessions()) == 1


def test_S32_S33_a_posted_answer_works_once(site: Site) -> None:
    browser = site.browser()
    form = saml_form(site, browser)
    onward = post_answer(site, form).location
    assert browser.get(onward).status_code == 303
    assert browser.get(onward).status_code == 400
    assert post_answer(site, form).status_code == 400
    assert len(site.live_sessions()) == 1


def test_S32_a_replayed_assertion_in_a_new_flow_is_refused(site: Site) -> None:
    browser = site.browser()
    form = saml_form(site, browser)
    assert browser.get(post_answer(site, form).location).status_code == 303
    fresh = saml_form(site, browser)
    onward = post_answer(site, {**form, "RelayState": fresh["RelayState"]}).location
    assert browser.get(onward).status_code == 400
    assert [one.reason for one in site.events("sign_in.refused")] == ["request_mismatch"]


def test_the_first_posted_answer_stands(site: Site) -> None:
    browser = site.browser()
    form = saml_form(site, browser)
    onward = post_answer(site, form).location
    second = post_answer(site, {**form, "SAMLResponse": "bm90aGluZw=="})
    assert second.status_code == 400
    assert [one.reason for one in site.events("sign_in.refused")] == ["answer_repeated"]
    assert browser.get(onward).status_code == 303


def test_a_kept_assertion_is_deleted_when_it_is_taken(site: Site) -> None:
    browser = site.browser()
    onward = post_answer(site, saml_form(site, browser)).location

    def kept() -> list[bytes | None]:
        with site.rt.database.read(site.acme.id) as session:
            return list(session.scalars(select(SignInFlow.sealed_answer)))

    assert kept()[0]
    browser.get(onward)
    assert kept() == [None]


@pytest.mark.parametrize(
    "relay_state",
    [
        pytest.param(None, id="S34-unsolicited-without"),
        pytest.param("", id="S34-unsolicited-empty"),
    ],
)
def test_S34_an_unsolicited_answer_is_refused(site: Site, relay_state: str | None) -> None:
    form = saml_form(site, site.browser())
    del form["RelayState"]
    if relay_state is not None:
        form["RelayState"] = relay_state
    assert_refused(site, post_answer(site, form), "unsolicited")


@pytest.mark.parametrize(
    "relay_state",
    [
        pytest.param("https://evil.example/", id="S49-url"),
        pytest.param("//evil.example", id="S49-scheme-relative"),
        pytest.param("/t/acme/me/agents", id="S49-own-path"),
        pytest.param("<script>alert(1)</script>", id="S49-script"),
        pytest.param("x\r\nLocation: https://evil.example", id="S49-crlf"),
        pytest.param("x" * 65_536, id="S49-64KiB"),
    ],
)
def test_S49_relay_state_is_a_handle_and_nothing_else(site: Site, relay_state: str) -> None:
    form = saml_form(site, site.browser())
    answer = post_answer(site, {**form, "RelayState": relay_state})
    assert_refused(site, answer, "flow_unknown")
    assert "evil.example" not in str(answer.headers)
    assert relay_state[:60] not in answer.text


def test_S33_an_answer_at_another_saml_connection_is_refused(site: Site) -> None:
    site.world.connection(
        site.acme, "other", kind="saml", config={**site.saml.config(), "subject": "nameid-any-format"}
    )
    browser = site.browser()
    form = saml_form(site, browser)
    assert_refused(site, post_answer(site, form, "other"), "flow_of_other_connection")
    assert browser.get(post_answer(site, form).location).status_code == 303


def test_each_kind_answers_at_its_own_address(site: Site) -> None:
    browser = site.browser()
    form, query = saml_form(site, browser), query_of(site, site.begin(browser))
    assert post_answer(site, form, "okta").status_code == 404
    assert browser.get("/t/acme/saml/adfs/callback", query_string=form).status_code == 404
    assert browser.get("/t/acme/saml/okta/callback", query_string=query).status_code == 404
    elsewhere = browser.post_from_elsewhere("/t/acme/oidc/okta/acs", query, "https://idp.example")
    assert elsewhere.status_code == 404


# --- switched off on every path ------------------------------------------------------------------------


def switch_off(site: Site, model: Any, row_id: str) -> None:
    with site.rt.database.unscoped(write=True) as session:
        session.execute(update(model).where(model.id == row_id).values(state="disabled"))
        bump(session.connection(), site.acme.id)


@pytest.mark.parametrize("kind", ["okta", "adfs"], ids=["S50-okta", "S50-adfs"])
def test_a_connection_that_is_switched_off_is_refused_at_every_step(site: Site, kind: str) -> None:
    browser = site.browser()
    begun = site.begin(browser, kind)
    query = query_of(site, begun) if kind == "okta" else {}
    form = dict(site.saml.sign_in(begun).form) if kind == "adfs" else {}
    onward = post_answer(site, form).location if form else f"{CALLBACK}?"
    switch_off(site, Connection, (site.okta if kind == "okta" else site.adfs).id)

    assert browser.get(f"/t/acme/sign-in/{kind}").status_code == 400
    assert browser.get(onward, query_string=query).status_code == 400
    assert f"/sign-in/{kind}" not in browser.get("/t/acme/sign-in").text
    assert [one.reason for one in site.events("sign_in.refused")] == ["connection_disabled"]
    assert site.live_sessions() == []


def test_a_tenant_that_is_switched_off_looks_like_none(site: Site) -> None:
    browser = site.browser()
    query = query_of(site, site.begin(browser))
    switch_off(site, Tenant, site.acme.id)
    for path in ("/t/acme/sign-in", "/t/acme/sign-in/okta", "/t/acme/consent/x", CALLBACK):
        gone, never = browser.get(path), browser.get(path.replace("acme", "nobody"))
        assert gone.status_code == never.status_code == 404
        assert "Acme" not in gone.text
    assert browser.get(CALLBACK, query_string=query).status_code == 404
    assert site.live_sessions() == []


def test_a_person_who_is_switched_off_is_refused(site: Site) -> None:
    browser = site.browser()
    site.sign_in(browser)
    (session,) = site.live_sessions()
    switch_off(site, User, str(session.user_id))
    refused = site.sign_in(browser)
    assert refused.status_code == 400
    assert "switched off" in refused.text
    assert [one.reason for one in site.events("sign_in.refused")] == ["user_disabled"]


# --- W02, O55: whose session ----------------------------------------------------------------------------


def test_W02_a_planted_session_cookie_does_not_survive_the_sign_in(site: Site) -> None:
    browser = site.browser()
    browser.set_cookie("s-acme", "planted" * 6)
    site.sign_in(browser)
    assert browser.cookie("s-acme") not in (None, "planted" * 6)


def test_W02_a_session_that_was_there_before_ends(site: Site) -> None:
    attacker, victim = site.browser(), site.browser()
    site.sign_in(attacker, "mallory")
    planted = attacker.cookie("s-acme")
    assert planted
    victim.set_cookie("s-acme", planted)
    site.sign_in(victim, "maya")
    assert victim.cookie("s-acme") != planted
    (session,) = site.live_sessions()
    assert session.user_id == site.events("sign_in.succeeded")[-1].subject_id


def test_O55_login_csrf_an_attackers_answer_signs_nobody_else_in(site: Site) -> None:
    attacker, victim = site.browser(), site.browser()
    query = dict(site.op.sign_in(site.begin(attacker), sub="mallory").query)
    site.sign_in(victim, "maya")
    before = victim.cookie("s-acme")
    assert victim.get(CALLBACK, query_string=query).status_code == 400
    assert victim.cookie("s-acme") == before

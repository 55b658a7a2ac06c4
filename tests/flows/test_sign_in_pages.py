"""Signing in and out in a browser: by button, by e-mail address, through OpenID Connect and SAML."""

from typing import Any

import pytest

from broker.directory.models import User
from broker.tenants.models import Connection
from tests.builders.saml_idp import SSO_URL
from tests.builders.site import Site, cookies_set, form_token, refreshed_to
from tests.builders.world import NOW


def test_a_person_signs_in_by_openid_connect(site: Site) -> None:
    browser = site.browser()
    choice = browser.get("/t/acme/sign-in")
    assert choice.status_code == 200
    assert "Continue with Okta" in choice.text
    assert "Continue with Adfs" in choice.text

    site.world.clock.advance(5)
    done = site.sign_in(browser, "maya", name="Maya Moss", email="maya@acme.example")

    assert done.status_code == 303
    assert done.location == "/t/acme/me/agents"
    assert set(cookies_set(done)) == {"s-acme", "l-acme"}
    (session,) = site.live_sessions()
    with site.rt.database.read(site.acme.id) as rows:
        user = rows.get(User, session.user_id)
        connection = rows.get(Connection, site.okta.id)
    assert user is not None
    assert user.display_name == "Maya Moss"
    assert connection is not None
    assert connection.last_sign_in_at == site.world.now
    (event,) = site.events("sign_in.succeeded")
    assert event.subject_id == user.id
    assert event.target_id == site.okta.id
    assert "Last used here" in browser.get("/t/acme/sign-in").text


def test_a_person_signs_in_by_saml(site: Site) -> None:
    browser = site.browser()
    begun = site.begin(browser, "adfs")
    assert begun.redirect_url.startswith(SSO_URL)
    answer = site.saml.sign_in(begun, name_id="maya")

    posted = browser.post_from_elsewhere("/t/acme/saml/adfs/acs", answer.form, "https://idp.example")
    assert posted.status_code == 303
    assert posted.location.startswith("/t/acme/saml/adfs/continue/")
    assert "s-acme" not in cookies_set(posted)

    done = browser.get(posted.location)
    assert done.location == "/t/acme/me/agents"
    assert [one.connection_id for one in site.live_sessions()] == [site.adfs.id]


def test_metadata_describes_us_from_configuration(site: Site) -> None:
    document = site.browser().get("/t/acme/saml/adfs/metadata", headers={"Host": "evil.example"})
    assert document.status_code == 200
    assert f"{site.acme.issuer}/saml/adfs/acs" in document.text
    assert "evil.example" not in document.text
    assert site.browser().get("/t/acme/oidc/okta/metadata").status_code == 404


@pytest.mark.parametrize(
    ("email", "leads_to"),
    [
        pytest.param("maya@acme.example", "okta", id="one-connection"),
        pytest.param("MAYA@ACME.EXAMPLE", "okta", id="in-capitals"),
        pytest.param("max@shared.example", "", id="two-connections"),
        pytest.param("maya@elsewhere.example", "", id="unknown-domain"),
        pytest.param("no address", "", id="no-address"),
    ],
)
def test_an_address_leads_to_its_connections(site: Site, email: str, leads_to: str) -> None:
    config = {"issuer": site.op.issuer, "client_id": "broker"}
    secrets = {"client_secret": "s"}
    for slug, domains in (("north", ["acme.example", "shared.example"]), ("south", ["shared.example"])):
        site.world.connection(site.acme, slug, config=config, secrets=secrets, domains=domains)
    browser = site.browser()
    token = form_token(browser.get("/t/acme/sign-in?next=/t/acme/me/agents"))

    answer = browser.post("/t/acme/sign-in", {"email": email, "csrf_token": token})
    if leads_to:
        assert refreshed_to(answer).startswith(f"{site.op.issuer}/authorize?")
        assert "login_hint=" in refreshed_to(answer)
    elif "shared" in email:
        assert answer.status_code == 200
        assert "Continue with North" in answer.text
        assert "Continue with South" in answer.text
        assert "Continue with Okta" not in answer.text
    else:
        assert answer.status_code == 400
        assert "Continue with" in answer.text


def test_signing_out_ends_the_session_and_the_cookie(site: Site) -> None:
    browser = site.browser()
    site.sign_in(browser)
    secret = browser.cookie("s-acme")
    token = form_token(browser.get("/t/acme/sign-in"))

    left = browser.post("/t/acme/sign-out", {"csrf_token": token})
    assert left.status_code == 200
    assert "You are signed out" in left.text
    assert "Okta" in left.text
    assert browser.cookie("s-acme") is None
    assert site.live_sessions() == []
    assert [one.reason for one in site.events("session.ended")] == ["signed_out"]

    # The old cookie is dead, not only forgotten.
    assert secret
    browser.set_cookie("s-acme", secret)
    again = browser.post("/t/acme/sign-out", {"csrf_token": form_token(browser.get("/t/acme/sign-in"))})
    assert "Okta" not in again.text


def test_signing_out_works_for_nobody_too(site: Site) -> None:
    browser = site.browser()
    token = form_token(browser.get("/t/acme/sign-in"))
    assert browser.post("/t/acme/sign-out", {"csrf_token": token}).status_code == 200


def test_a_new_sign_in_replaces_the_session(site: Site) -> None:
    browser = site.browser()
    site.sign_in(browser, "maya")
    first = browser.cookie("s-acme")
    site.sign_in(browser, "max")
    assert browser.cookie("s-acme") != first
    (session,) = site.live_sessions()
    assert session.user_id == site.events("sign_in.succeeded")[-1].subject_id


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        pytest.param({}, 36_000, id="nothing-told"),
        pytest.param({"session_expiry": NOW + 900}, 900, id="ends-sooner"),
        pytest.param({"session_expiry": NOW + 90_000}, 36_000, id="ends-later"),
        pytest.param({"session_expiry": "soon"}, 36_000, id="not-a-time"),
    ],
)
def test_a_session_does_not_outlive_the_providers(site: Site, told: dict[str, Any], seconds: int) -> None:
    site.sign_in(site.browser(), **told)
    (session,) = site.live_sessions()
    assert session.expires_at == site.world.now + seconds

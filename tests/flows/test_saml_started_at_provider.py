"""Answers that nobody asked for: refused, or, where a connection allows it, the start of a new sign-in."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from broker.federation.models import SignInFlow
from broker.kernel.versions import bump
from broker.tenants.models import Connection
from idp_connectors.base import Begun
from tests.builders.saml_idp import SamlIdentityProvider, instant
from tests.builders.site import Browser, Site, open_site

ACS = "/t/acme/saml/adfs/acs"
START = "/t/acme/sign-in/adfs/start"


@pytest.fixture
def site(sqlite_url: str, tmp_path: Path) -> Iterator[Site]:
    with open_site(sqlite_url, tmp_path) as opened:
        yield opened


def allow(site: Site) -> None:
    with site.rt.database.core_write() as core:
        config = {**site.adfs.config, "idp_initiated": True}
        core.execute(update(Connection).where(Connection.id == site.adfs.id).values(config=config))
        bump(core, site.acme.id)


def started_flows(site: Site) -> int:
    """How many sign-ins were ever begun."""
    with site.rt.database.read(site.acme.id) as session:
        return session.scalar(select(func.count()).select_from(SignInFlow)) or 0


def unasked(site: Site, browser: Browser, relay_state: str | None) -> dict[str, str]:
    """A good answer for this tenant that is brought without a handle of ours."""
    form = dict(site.saml.sign_in(site.begin(browser, "adfs"), name_id="mallory").form)
    del form["RelayState"]
    return form if relay_state is None else {**form, "RelayState": relay_state}


@pytest.mark.parametrize(
    "relay_state",
    [None, "", "https://evil.example/", "/t/acme/me/agents"],
    ids=["without", "empty", "S49-url", "own-path"],
)
def test_S34_an_unasked_answer_only_starts_a_sign_in_of_our_own(site: Site, relay_state: str | None):
    victim = site.browser()
    form = unasked(site, site.browser(), relay_state)
    assert victim.post_from_elsewhere(ACS, form, "https://idp.example").status_code == 400

    allow(site)
    answer = victim.post_from_elsewhere(ACS, form, "https://idp.example")
    assert (answer.status_code, answer.location) == (303, START)
    assert site.live_sessions() == []
    assert site.events("sign_in.succeeded") == []

    # Nothing starts before the person says so.
    page = victim.get(answer.location)
    assert (page.status_code, "Continue to sign in to" in page.text) == (200, True)
    assert started_flows(site) == 1, "only the one that made the answer"

    # They go on, and are signed in as whoever the provider says they are: not as the answer's person.
    (button,) = re.findall(r'href="(/t/acme/sign-in/adfs)"', page.text)
    started = victim.get(button)
    again = dict(site.saml.sign_in(Begun(started.location, {}), name_id="maya").form)
    onward = victim.post_from_elsewhere(ACS, again, "https://idp.example").location
    assert victim.get(onward).location == "/t/acme/me/agents"
    assert len(site.live_sessions()) == 1


def test_S34_an_unasked_answer_completes_no_sign_in_that_waits(site: Site):
    allow(site)
    victim = site.browser()
    waiting = site.begin(victim, "adfs")
    form = unasked(site, site.browser(), "")
    assert victim.post_from_elsewhere(ACS, form, "https://idp.example").location == START
    assert site.live_sessions() == []
    kept = victim.post_from_elsewhere(
        ACS, site.saml.sign_in(waiting, name_id="maya").form, "https://idp.example"
    )
    assert victim.get(kept.location).status_code == 303


def test_S50_a_connection_that_is_switched_off_starts_nothing(site: Site):
    allow(site)
    form = unasked(site, site.browser(), "")
    with site.rt.database.core_write() as core:
        core.execute(update(Connection).where(Connection.id == site.adfs.id).values(state="disabled"))
        bump(core, site.acme.id)
    assert site.browser().post_from_elsewhere(ACS, form, "https://idp.example").status_code == 400
    assert [one.reason for one in site.events("sign_in.refused")] == ["connection_disabled"]


def test_a_handle_that_is_not_ours_is_refused_all_the_same(site: Site):
    allow(site)
    form = unasked(site, site.browser(), "h" * 43)
    assert site.browser().post_from_elsewhere(ACS, form, "https://idp.example").status_code == 400
    assert [one.reason for one in site.events("sign_in.refused")] == ["flow_unknown"]


def test_S37_a_session_ends_with_the_providers_own(site: Site):
    browser = site.browser()
    begun = site.begin(browser, "adfs")
    ends_at = site.world.now + 1200

    def limit(root) -> None:
        statement = root.find(".//{urn:oasis:names:tc:SAML:2.0:assertion}AuthnStatement")
        statement.set("SessionNotOnOrAfter", instant(ends_at))

    site.saml.bend = limit
    form = dict(site.saml.sign_in(begun, name_id="maya").form)
    browser.get(browser.post_from_elsewhere(ACS, form, "https://idp.example").location)
    (session,) = site.live_sessions()
    assert session.expires_at == ends_at


def test_S40_a_person_of_another_provider_is_another_person(site: Site):
    """Two providers that name the same person: neither can speak for the other's."""
    other = SamlIdentityProvider(key_name="idp-other", now=site.world.now)
    other.count = 10
    site.world.connection(
        site.acme, "rogue", kind="saml", config={**other.config(), "subject": "nameid-any-format"}
    )
    first, second = site.browser(), site.browser()
    form = dict(site.saml.sign_in(site.begin(first, "adfs"), name_id="maya").form)
    first.get(first.post_from_elsewhere(ACS, form, "https://idp.example").location)
    begun = site.begin(second, "rogue")
    form = dict(other.sign_in(begun, name_id="maya").form)
    rogue = "/t/acme/saml/rogue/acs"
    second.get(second.post_from_elsewhere(rogue, form, "https://idp.example").location)
    assert len({session.user_id for session in site.live_sessions()}) == 2

    # Nor does its key count at the other connection, nor an answer that was made for it.
    begun = site.begin(second, "adfs")
    form = dict(other.sign_in(begun, name_id="maya").form)
    assert (
        second.get(second.post_from_elsewhere(ACS, form, "https://idp.example").location).status_code == 400
    )

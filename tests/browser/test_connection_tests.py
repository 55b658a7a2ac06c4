"""A connection test in Chromium: every misconfiguration has its own diagnosis, in a window of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from broker.demo.idps.faults import Fault
from broker.directory.models import User
from broker.kernel import egress
from broker.tokens.models import BrowserSession
from tests.browser.visitor import Visitor, visiting
from tests.builders.emulated import PEOPLE, EmulatedSite, serve_emulated

pytestmark = pytest.mark.browser

# Fault, provider, the look that finds it, what it says of the cause, and a word of what was received.
DIAGNOSES = [
    (Fault.EXPIRED_CERTIFICATE, "google", "certificate", "The signing certificate has ended", "Google-like"),
    (Fault.CLOCK_SKEW, "okta", "time", "differ by more than a minute", "600 seconds ahead"),
    (Fault.WRONG_AUDIENCE, "okta", "audience", "made for another application", "another-application"),
    (Fault.WRONG_ISSUER, "okta", "issuer", "calls itself otherwise", "/elsewhere"),
    (Fault.ROTATED_KEY, "okta", "signature", "a key or algorithm that the provider does not publish", "kid="),
    (Fault.UNSIGNED, "okta", "signature", "The answer is unsigned", "alg is 'none'"),
    (Fault.MISSING_GROUPS, "okta", "groups", "The provider sent no groups", "absent"),
    (Fault.OVERAGE, "entra", "groups", "in more groups than the provider sends", "overage"),
    (Fault.BUSY, "okta", "address", "limits how often it may be asked", "429"),
    (Fault.SLOW, "okta", "address", "drops the question without a word", "Nothing within"),
    (Fault.DRIP, "okta", "address", "begins and does not end", "bytes had come"),
    (Fault.MALFORMED, "okta", "metadata", "a maintenance or login page", "not a JSON object"),
    (Fault.HUGE, "okta", "metadata", "larger than the broker reads", "larger than any honest one"),
]


@pytest.fixture(scope="module")
def site(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedSite]:
    """The broker and its three providers, each listening on loopback."""
    folder: Path = tmp_path_factory.mktemp("tested")
    with pytest.MonkeyPatch.context() as patch:
        # Otherwise a slow provider is waited for as long as in real life.
        patch.setattr(egress, "TOTAL_SECONDS", 1.0)
        with serve_emulated(f"sqlite:///{folder / 'broker.db'}", folder) as served:
            yield served


@pytest.fixture(scope="module")
def admin(chromium: Browser, site: EmulatedSite) -> Iterator[Visitor]:
    """An administrator's browser; leaving it means that nothing went wrong on any page."""
    with visiting(chromium) as visitor:
        visitor.open(f"{address(site)}/setup?code={site.setup_code()}")
        visitor.press("Continue as administrator")
        visitor.arrives_at(address(site))
        yield visitor


def address(site: EmulatedSite) -> str:
    """Where the administration is."""
    return f"{site.rt.settings.public_url}/t/acme/admin"


def try_out(site: EmulatedSite, admin: Visitor, name: str) -> Page:
    """Start a test by a click and sign in in its window; returns the window with the result."""
    admin.open(f"{address(site)}/connections/{site.connections[name].id}/tests")
    with admin.context.expect_page() as opened:
        admin.page.get_by_role("button", name="Start a test").click()
    window = opened.value
    person = window.locator(f'button[name="person"][value="{PEOPLE[name]}"]')
    result = window.get_by_role("heading", level=1, name="Test of")
    expect(person.or_(result)).to_be_visible()
    if person.is_visible():
        person.click()
    expect(result).to_be_visible()
    return window


@pytest.mark.parametrize(("name", "passed", "warned"), [("okta", 16, 0), ("google", 15, 1)])
def test_twin_a_good_connection_passes(
    site: EmulatedSite, admin: Visitor, name: str, passed: int, warned: int
) -> None:
    before = admin.cookies()
    window = try_out(site, admin, name)
    assert window.locator("details.event", has_text="Passed").count() == passed
    assert window.locator("details.event").count() == passed + warned
    window.close()
    # The first window shows it too, and is signed in as it was.
    admin.follow("Show what is new")
    expect(admin.page.locator(".plain-rows li").first).to_contain_text(f"{passed} passed, {warned} not")
    sessions = {key: cookie for key, cookie in admin.cookies().items() if key[:2] in ("a-", "s-")}
    assert sessions == {key: before[key] for key in sessions}
    assert site.count(User) == site.count(BrowserSession) - 1 == 0


@pytest.mark.parametrize(("fault", "name", "look", "cause", "received"), DIAGNOSES)
def test_each_misconfiguration_has_its_own_diagnosis(
    site: EmulatedSite, admin: Visitor, fault: Fault, name: str, look: str, cause: str, received: str
) -> None:
    good = dict(site.connections[name].config)
    site.providers[name].switch.turn(fault)
    if fault is Fault.EXPIRED_CERTIFICATE:
        # Time has passed since the administrator copied it.
        site.configure(name, site.google_config())
    try:
        window = try_out(site, admin, name)
    finally:
        site.providers[name].switch.turn(None)
        site.configure(name, good)
    opened = window.locator("details.event[open]")
    # The SAML provider's identifier is weak whatever else it does.
    usual = ["person"] if name == "google" else []
    assert [one.get_attribute("id") for one in opened.all()] == [look, *usual]
    shown = opened.first
    for words in ("Expected", "Received", received, "Cause", cause, "Whose move", "What to do"):
        expect(shown).to_contain_text(words)
    window.close()

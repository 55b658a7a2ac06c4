"""What only a browser can tell: cookies out of reach, names that stay names, frames that stay empty."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Browser

from broker.demo.journey import Journey
from broker.demo.loopback import WsgiServer
from broker.demo.person_browser import PersonBrowser
from broker.demo.world import World
from tests.browser.hostile import EVERY_KIND, PAYLOADS, hire_hostile_people, rename_everything
from tests.browser.visitor import Visitor, visiting
from tests.browser.walks import allow, choose, enter_administration, pick, sign_in, use_agents

pytestmark = pytest.mark.browser

ADMIN_PAGES = ("", "/agents", "/people", "/roles", "/resources", "/connections", "/audit")


def origins_of(world: World) -> set[str]:
    """Where the world's servers answer."""
    providers = world.providers
    known = (
        world.tenant_url,
        world.console_url,
        providers.okta.issuer,
        providers.entra.issuer,
        providers.google.entity_id,
    )
    return {f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, known)}


def test_W03_scripts_of_a_page_reach_no_cookie(new_world: World, visitor: Visitor) -> None:
    sign_in(visitor, new_world)
    allow(visitor, new_world)
    enter_administration(visitor, new_world)
    kept = {name: one for name, one in visitor.cookies().items() if name != "demo-console"}
    assert {"s-acme", "a-acme", "f-acme"} <= kept.keys()
    for name, cookie in kept.items():
        assert cookie["httpOnly"], name
        assert cookie["sameSite"] == "Lax", name
        assert (cookie["domain"], cookie["path"]) == ("127.0.0.1", "/"), name
    assert visitor.page.evaluate("() => document.cookie") == ""
    assert visitor.page.evaluate("() => localStorage.length + sessionStorage.length") == 0


def test_no_page_asks_anybody_else_for_anything(new_world: World, visitor: Visitor) -> None:
    sign_in(visitor, new_world, "Google-like", "aiko")
    allow(visitor, new_world)
    use_agents(visitor)
    visitor.press("Open your agents")
    visitor.follow("Details of Planner")
    enter_administration(visitor, new_world)
    for page in ADMIN_PAGES:
        visitor.open(f"{new_world.tenant_url}/admin{page}")
    for provider in ("Entra-like", "Okta-like"):
        visitor.open(f"{new_world.tenant_url}/sign-in")
        choose(visitor, provider)
    assert visitor.origins == origins_of(new_world)


# What a payload would leave behind if any of it became markup; none of our pages has such a thing.
_MARKUP = ", ".join(
    (
        *("[data-ran]", "script:not([src])", "base", "iframe", 'a[href^="javascript:" i]'),
        *("[onerror]", "[onload]", "[onfocus]", "[onmouseover]", "[ontoggle]", "[onbegin]"),
    )
)
_FIND_MARKUP = "(css) => [...document.querySelectorAll(css)].map((element) => element.outerHTML)"


def assert_only_text(visitor: Visitor, where: str) -> None:
    """Nothing of a payload became an element, an attribute or a script, and no policy had to stop one."""
    found = visitor.page.evaluate(_FIND_MARKUP, _MARKUP)
    assert found == [], f"{where}: {found}"
    assert visitor.faults == [], f"{where}: {visitor.faults}"


@pytest.fixture(scope="module")
def hostile_world(world: World) -> World:
    """A world where everything with a name is called like an attack, and everybody has signed in once."""
    people = hire_hostile_people(world)
    journey = Journey(world, PersonBrowser())
    journey.allow(journey.sign_in("google", "aiko"))
    world.story.list_tickets()
    world.story.hand_over()
    for person in people:
        journey.sign_in("okta", person)
    journey.browser.close()
    rename_everything(world)
    return world


def test_W09_twin_the_corpus_becomes_markup_where_nothing_is_escaped(chromium: Browser) -> None:
    visitor = Visitor(chromium)
    for payload in PAYLOADS:
        places = ("<title>{}</title>", "<p>{}</p>", '<input value="{}">', "<input value='{}'>")
        pages = ["<!doctype html>" + place.replace("{}", payload) for place in places]
        is_live = False
        for page in pages:
            visitor.page.set_content(page, wait_until="commit")
            is_live = is_live or bool(visitor.page.evaluate(_FIND_MARKUP, _MARKUP))
        assert is_live, payload
    assert any(fault.startswith("dialog") for fault in visitor.faults)
    visitor.context.close()


def test_W09_names_stay_text_for_administrators(hostile_world: World, visitor: Visitor) -> None:
    enter_administration(visitor, hostile_world)
    admin = f"{hostile_world.tenant_url}/admin"
    visitor.open(f"{admin}/people")
    body = visitor.page.locator("main").inner_text()
    assert all(re.sub(r"\s+", " ", payload) in re.sub(r"\s+", " ", body) for payload in PAYLOADS[:8])
    links = visitor.page.locator("main a, nav.side-nav a")
    pages = {links.nth(index).get_attribute("href") or "" for index in range(links.count())}
    for area in ("agents", "connections"):
        visitor.open(f"{admin}/{area}")
        found = visitor.page.locator(f"main a[href*='/admin/{area}/']")
        pages |= {
            (found.nth(index).get_attribute("href") or "").partition("#")[0] for index in range(found.count())
        }
    assert len(pages) > len(PAYLOADS)
    for path in sorted(pages):
        visitor.open(f"{hostile_world.broker.runtime.settings.public_url}{path}")
        assert_only_text(visitor, path)


@pytest.mark.parametrize("person", ["hostile-1", "hostile-9", "hostile-14"])
def test_W09_names_stay_text_for_the_person(hostile_world: World, visitor: Visitor, person: str) -> None:
    visitor.open(hostile_world.story.begin())
    assert_only_text(visitor, "sign-in")
    visitor.page.get_by_role("link", name="Continue with okta").click()
    pick(visitor, person)
    visitor.page.wait_for_url("**/consent/**")
    assert EVERY_KIND in visitor.page.locator("main").inner_text()
    visitor.page.locator("details.technical summary").click()
    assert_only_text(visitor, "consent")
    visitor.press("Allow")
    visitor.arrives_at(f"{hostile_world.console_url}/")
    visitor.press("Let Planner read")
    assert_only_text(visitor, "console")
    visitor.open(f"{hostile_world.tenant_url}/me/agents")
    assert_only_text(visitor, "agents")
    visitor.page.get_by_role("link", name="Details").click()
    assert_only_text(visitor, "agent")
    visitor.page.get_by_role("button", name="Revoke").click()
    visitor.sees("was revoked.")
    assert_only_text(visitor, "revoked")
    visitor.page.locator("summary").first.click()
    visitor.press("Sign out")
    assert_only_text(visitor, "signed out")


REFLECTING = {
    "people": lambda payload: f"/t/acme/admin/people?q={payload}&state={payload}",
    "agents": lambda payload: f"/t/acme/admin/agents?q={payload}&state={payload}",
    "audit": lambda payload: f"/t/acme/admin/audit?event={payload}&person={payload}&request_id={payload}",
    "receipt": lambda payload: f"/t/acme/admin/roles?done={payload}",
    "organization": lambda payload: f"/me/agents?organization={payload}",
    "sign-in": lambda payload: f"/t/acme/sign-in?next={payload}&resume={payload}",
    "callback": lambda payload: f"/t/acme/oidc/okta/callback?error=x&error_description={payload}&state=x",
    "authorize": lambda payload: (
        f"/t/acme/authorize?client_id={payload}&redirect_uri={payload}&state={payload}"
    ),
    "unknown": lambda payload: f"/t/acme/{payload}",
}


@pytest.fixture(scope="module")
def administrator(chromium: Browser, hostile_world: World) -> Iterator[Visitor]:
    """A visitor who is an administrator by the role of a group."""
    with visiting(chromium) as one:
        one.open(f"{hostile_world.tenant_url}/admin")
        one.page.get_by_role("link", name="Continue with okta").click()
        pick(one, "ines")
        one.arrives_at(f"{hostile_world.tenant_url}/admin")
        yield one


@pytest.mark.parametrize("place", REFLECTING)
def test_W09_what_an_address_says_stays_text(
    hostile_world: World, administrator: Visitor, place: str
) -> None:
    address: Callable[[str], str] = REFLECTING[place]
    # Every place meets a third of the corpus, and every payload meets three places.
    for payload in PAYLOADS[list(REFLECTING).index(place) % 3 :: 3]:
        administrator.open(
            hostile_world.broker.runtime.settings.public_url + address(quote(payload, safe=""))
        )
        assert_only_text(administrator, f"{place} {payload}")


def test_W09_what_is_typed_at_the_sign_in_stays_text(hostile_world: World, visitor: Visitor) -> None:
    for payload in PAYLOADS[::5]:
        visitor.open(f"{hostile_world.tenant_url}/sign-in")
        visitor.page.get_by_label("work e-mail").fill(payload)
        visitor.press("Continue")
        assert visitor.page.get_by_label("work e-mail").input_value() == payload.strip()
        assert_only_text(visitor, payload)


@contextmanager
def attacker_page(host: str, framed: str) -> Iterator[str]:
    """A page of somebody else on ``host`` with ``framed`` in a frame; yields its address."""
    page = f'<!doctype html><title>Win</title><h1>Click</h1><iframe src="{framed}" width="600" height="900">'

    def serve(environ: dict[str, str], start_response: Callable[..., object]) -> list[bytes]:
        is_harmless = environ["PATH_INFO"] == "/harmless"
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [b"<!doctype html><h1>May Planner act for you?</h1>" if is_harmless else page.encode()]

    server = WsgiServer(host)
    server.start(serve)
    try:
        yield server.url
    finally:
        server.stop()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["another-site", "our-site-another-port"])
def test_O53_the_consent_page_shows_in_no_frame(new_world: World, chromium: Browser, host: str) -> None:
    visitor = Visitor(chromium)
    sign_in(visitor, new_world)
    consent = visitor.page.url
    with attacker_page(host, consent) as address:
        visitor.open(address)
        frame = visitor.page.frames[1]
        frame.wait_for_load_state()
        assert frame.get_by_role("button", name="Allow").count() == 0
        assert "Planner" not in frame.content()
        assert any("frame-ancestors" in fault or "X-Frame-Options" in fault for fault in visitor.faults)
    with attacker_page(host, "/harmless") as address:
        # The twin: a frame of a page that does not mind is shown, so an empty frame means something.
        visitor.open(address)
        twin = visitor.page.frame_locator("iframe")
        assert twin.get_by_role("heading").text_content() == "May Planner act for you?"
    visitor.context.close()


@pytest.mark.parametrize("path", ["/sign-in", "/me/agents", "/admin/agents", "/admin/setup?code=x"])
def test_O53_no_page_shows_in_a_frame(world: World, chromium: Browser, path: str) -> None:
    visitor = Visitor(chromium)
    with attacker_page("localhost", f"{world.tenant_url}{path}") as address:
        visitor.open(address)
        frame = visitor.page.frames[1]
        frame.wait_for_load_state()
        assert frame.get_by_role("heading").count() == 0
        assert any("frame-ancestors" in fault or "X-Frame-Options" in fault for fault in visitor.faults)
    visitor.context.close()

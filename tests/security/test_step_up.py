"""Step-up at the provider: what it does not prove is not done, and nobody goes round and round (S55, S56)."""

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from sqlalchemy import update

from broker.kernel.versions import bump
from broker.tenants.models import Connection
from tests.builders.oauth import CHALLENGE, REDIRECT_URI
from tests.builders.site import Browser, Site
from tests.builders.world import TICKETS

LONG_AGO = 7_000


@pytest.fixture
def shop(site: Site) -> Site:
    """An agent's client may ask; the provider can be asked to prove ``phr``."""
    world = site.world
    world.resource(site.acme)
    world.client(site.acme, "cli_a", agent=world.agent(site.acme, "a"))
    with site.rt.database.write(site.acme.id) as session:
        config = {**site.okta.config, "step_up_values": ["phr"]}
        session.execute(update(Connection).where(Connection.slug == "okta").values(config=config))
        bump(session.connection(), site.acme.id)
    return site


def ask(browser: Browser, **wanted: Any) -> Any:
    params = {
        "response_type": "code",
        "client_id": "cli_a",
        "redirect_uri": REDIRECT_URI,
        "scope": "tickets:read",
        "resource": TICKETS,
        "state": "st-1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **wanted,
    }
    return browser.get(f"/t/acme/authorize?{urlencode(params)}")


def sign_in_for(site: Site, browser: Browser, stop: Any, **claims: Any) -> tuple[dict[str, str], Any]:
    """Sign in for the request that stopped at the sign-in page; return what was asked and what came next."""
    assert urlsplit(stop.location).path == "/t/acme/sign-in", stop.location
    begun = site.begin(browser, query=urlsplit(stop.location).query)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(begun.redirect_url).query).items()}
    done = site.come_back(browser, begun, "maya", **claims)
    return asked, browser.get(done.location)


def error_of(answer: Any) -> str:
    assert answer.location.startswith(REDIRECT_URI), answer.location
    query = parse_qs(urlsplit(answer.location).query)
    assert (query["state"], query["iss"]) == (["st-1"], ["http://127.0.0.1:8080/t/acme"])
    return query["error"][0]


def is_consent(answer: Any) -> bool:
    return urlsplit(answer.location).path.startswith("/t/acme/consent/")


@pytest.mark.parametrize(
    ("wanted", "asked", "good", "bad", "error"),
    [
        pytest.param(
            {"max_age": "300"},
            {"max_age": "300"},
            {"auth_time": -100},
            [{}, {"auth_time": -LONG_AGO}],
            "unmet_authentication_requirements",
            id="max-age",
        ),
        pytest.param(
            {"prompt": "login"},
            {"prompt": "login", "max_age": "0"},
            {"auth_time": 0},
            [{}, {"auth_time": -61}],
            "login_required",
            id="S56-login",
        ),
        pytest.param(
            {"acr_values": "phr"},
            {"acr_values": "phr"},
            {"acr": "phr"},
            [{}, {"acr": "pwd"}],
            "unmet_authentication_requirements",
            id="S55-acr",
        ),
        pytest.param(
            {"acr_values": "unheard-of"},
            {},
            {"acr": "unheard-of"},
            [{"acr": "phr"}],
            "unmet_authentication_requirements",
            id="S55-unlisted-acr",
        ),
    ],
)
def test_what_the_provider_proves_goes_on_and_what_it_does_not_is_an_error(
    shop: Site, wanted: Any, asked: dict[str, str], good: Any, bad: list[Any], error: str
) -> None:
    def claims(told: dict[str, Any]) -> dict[str, Any]:
        now = shop.world.now
        return {name: now + value if name == "auth_time" else value for name, value in told.items()}

    for told in bad:
        browser = shop.browser()
        shop.sign_in(browser, auth_time=shop.world.now - LONG_AGO, acr="pwd")
        sent, came = sign_in_for(shop, browser, ask(browser, **wanted), **claims(told))
        assert {name: sent[name] for name in ("prompt", "max_age", "acr_values") if name in sent} == asked
        assert error_of(came) == error
    assert {one.reason for one in shop.events("authorization.refused")} == {f"unproven_{_word(wanted)}"}
    browser = shop.browser()
    shop.sign_in(browser, auth_time=shop.world.now - LONG_AGO, acr="pwd")
    assert is_consent(sign_in_for(shop, browser, ask(browser, **wanted), **claims(good))[1])


def _word(wanted: dict[str, str]) -> str:
    return "login" if "prompt" in wanted else next(iter(wanted))


def test_a_session_that_proves_it_already_is_not_sent_away(shop: Site) -> None:
    browser = shop.browser()
    shop.sign_in(browser, auth_time=shop.world.now - 100, acr="phr")
    assert is_consent(ask(browser, max_age="300", acr_values="phr other"))
    # The twin: without the provider's word, the time of our own session stands for nothing.
    other = shop.browser()
    shop.sign_in(other)
    assert urlsplit(ask(other, max_age="300").location).path == "/t/acme/sign-in"


def test_prompt_none_never_leads_to_a_page(shop: Site) -> None:
    browser = shop.browser()
    shop.sign_in(browser)
    for wanted in ({"max_age": "300"}, {"acr_values": "phr"}):
        assert error_of(ask(browser, prompt="none", **wanted)) == "login_required"
    assert error_of(ask(browser, prompt="none")) == "consent_required"


def test_too_many_acr_values_are_refused(shop: Site) -> None:
    values = [f"v{number}" for number in range(11)]
    assert error_of(ask(shop.browser(), acr_values=" ".join(values))) == "invalid_request"
    assert "sign-in" in ask(shop.browser(), acr_values=" ".join(values[:10])).location


def test_the_metadata_says_what_can_be_proven(shop: Site) -> None:
    document = shop.browser().get("/.well-known/oauth-authorization-server/t/acme").json
    assert document["acr_values_supported"] == ["phr"]

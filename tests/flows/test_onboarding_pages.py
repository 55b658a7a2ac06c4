"""Administrators decide who may come: the policy in words, who waits, and tokens for registering."""

from typing import Any

import pytest

from broker.admin.entry import LINK_PURPOSE
from broker.agents.models import Agent, Client
from broker.tokens.links import make_link
from tests.builders.onboarding import OnboardingDesk
from tests.builders.published_clients import CLIENT_ID, policy
from tests.builders.registering import URI, register, said, state_of
from tests.builders.site import Browser, form_token
from tests.builders.world import TICKETS

HOME = "/t/acme/admin/clients"


def admin(desk: OnboardingDesk) -> Browser:
    """A browser that came in by a setup link."""
    with desk.site.rt.database.core_write() as connection:
        link = make_link(
            connection,
            tenant_id=desk.site.acme.id,
            purpose=LINK_PURPOSE,
            now=desk.site.world.now,
            ttl_seconds=3600,
        )
    browser = desk.site.browser()
    path = "/t/acme/admin/setup"
    token = form_token(browser.get(f"{path}?code={link}"))
    assert browser.post(path, {"csrf_token": token, "code": link}).status_code == 303
    return browser


def submit(browser: Browser, page: str, target: str, fields: dict[str, Any]) -> Any:
    """Post a form of a page."""
    return browser.post(target, {"csrf_token": form_token(browser.get(page)), **fields})


def form(**changes: Any) -> dict[str, Any]:
    """The policy's form, filled in so that any address may come."""
    given = {
        "cimd": "any",
        "cimd_listed": "",
        "registration": "open",
        "registration_quarantine": "on",
        "grant_types": ["authorization_code", "refresh_token"],
        "changed_client": "revoke",
        "max_clients": "100",
        "agent": "",
        "owner": "contact",
        "contact_name": "Olu Owner",
        "contact_email": "olu@acme.example",
        "scopes": ["tickets:read"],
        "resources": [TICKETS],
        "ttl_seconds": "600",
        "max_depth": "1",
        "expires_in_days": "30",
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}


def test_one_form_lets_clients_connect(desk: OnboardingDesk) -> None:
    desk.set_policy()
    assert desk.site.browser().get(desk.asking()).status_code == 401
    browser = admin(desk)
    page = browser.get(f"{HOME}/policy").text
    assert "Tickets" in page
    assert "tickets:write" in page
    saved = submit(browser, f"{HOME}/policy", f"{HOME}/policy", form())
    assert saved.status_code == 303
    assert "The policy was saved." in browser.get(saved.location).text
    stored = desk.site.tenant.settings.onboarding
    assert (stored.cimd, stored.registration, stored.max_clients) == ("any", "open", 100)
    assert stored.template.resources == (TICKETS,)
    assert desk.redeem(desk.code(desk.site.browser()))["scope"] == "tickets:read"
    event = desk.site.events("tenant.changed")[-1]
    assert event.data["fields"] == ["cimd", "max_clients", "registration", "template"]
    assert (event.actor or {})["kind"] == "admin"
    listing = browser.get(HOME).text
    assert "app.example" in listing
    assert "By its address" in listing


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"cimd": "everybody"}, "cimd"),
        ({"cimd": "listed"}, "List a host"),
        ({"cimd": "listed", "cimd_listed": "app.example/path"}, "begins with https://"),
        ({"contact_email": ""}, "answers for such agents"),
        ({"agent": "nobody"}, "does not exist"),
        ({"ttl_seconds": "9"}, "ttl_seconds"),
        ({"max_clients": "many"}, "max_clients"),
    ],
)
def test_a_form_that_does_not_fit_changes_nothing(
    desk: OnboardingDesk, changes: dict[str, Any], why: str
) -> None:
    browser = admin(desk)
    before = desk.site.tenant.settings.onboarding
    refused = submit(browser, f"{HOME}/policy", f"{HOME}/policy", form(**changes))
    assert refused.status_code == 400
    assert why in refused.text
    assert desk.site.tenant.settings.onboarding == before


def test_taking_an_address_back_ends_what_it_holds_at_once(desk: OnboardingDesk) -> None:
    told = desk.redeem(desk.code(desk.site.browser()))
    browser = admin(desk)
    fields = form(cimd="listed", cimd_listed="other.example")
    assert submit(browser, f"{HOME}/policy", f"{HOME}/policy", fields).status_code == 303
    assert desk.site.events("tenant.changed")[-1].data["grants_ended"] == 1
    desk.set_policy(**policy())
    again = desk.token(grant_type="refresh_token", refresh_token=told["refresh_token"])
    assert again.status_code == 400


def test_what_the_policy_takes_away_is_taken_from_those_that_came_before(desk: OnboardingDesk) -> None:
    told = desk.redeem(desk.code(desk.site.browser(), scope="tickets:read tickets:write"))
    assert told["scope"] == "tickets:read tickets:write"
    browser = admin(desk)
    assert submit(browser, f"{HOME}/policy", f"{HOME}/policy", form()).status_code == 303
    assert set(desk.client().scopes) >= {"openid", "tickets:read"}
    assert "tickets:write" not in desk.client().scopes
    again = desk.token(grant_type="refresh_token", refresh_token=told["refresh_token"])
    assert again.json["scope"] == "tickets:read"
    fields = form(grant_types=["authorization_code"], scopes=["tickets:read", "tickets:write"])
    assert submit(browser, f"{HOME}/policy", f"{HOME}/policy", fields).status_code == 303
    assert "tickets:write" not in desk.client().scopes, "what comes back counts for newcomers"
    late = desk.token(grant_type="refresh_token", refresh_token=again.json["refresh_token"])
    assert late.json["error"] == "unauthorized_client"


def test_who_waits_is_shown_and_released(desk: OnboardingDesk) -> None:
    desk.set_policy(**policy(registration="open"))
    told = register(desk).json
    browser = admin(desk)
    assert "1 application waiting for you." in browser.get("/t/acme/admin").text
    page = browser.get(HOME).text
    assert URI in page
    assert "Its name is its own choice." in page
    fields = {"client_id": told["client_id"], "decision": "release"}
    released = submit(browser, HOME, HOME, fields)
    assert "The application was released." in browser.get(released.location).text
    assert desk.redeem_for(told["client_id"], URI)["scope"] == "tickets:read"
    assert desk.site.events("client.enabled")[-1].reason == "released"
    assert submit(browser, HOME, HOME, fields).status_code == 400, "a decision counts once"
    consent = desk.site.browser()
    asked = {"client_id": told["client_id"], "redirect_uri": URI, "prompt": "consent"}
    shown = consent.get(desk.question(consent, **asked)).text
    assert "Approved by your organization" in shown


def test_who_is_refused_cannot_come_again_for_a_while(desk: OnboardingDesk) -> None:
    desk.set_policy(**policy(registration="open"))
    told = register(desk).json
    browser = admin(desk)
    fields = {"client_id": told["client_id"], "decision": "refuse"}
    assert submit(browser, HOME, HOME, fields).status_code == 303
    assert state_of(desk, told["client_id"]) == "disabled"
    assert register(desk).json["client_id"] == told["client_id"]
    assert state_of(desk, told["client_id"]) == "disabled"
    assert desk.rows(Agent) == 0
    assert desk.site.events("client.disabled")[-1].target_id == told["client_id"]


def test_a_token_is_shown_once_and_ended(desk: OnboardingDesk) -> None:
    browser = admin(desk)
    page = f"{HOME}/tokens"
    made = submit(browser, page, page, {"name": "Build server", "days": "7", "uses": "2"})
    secret = made.text.partition("brk_iat_")[2].partition("<")[0].partition('"')[0]
    token = f"brk_iat_{secret}"
    assert register(desk, token=token).status_code == 201
    listing = browser.get(page).text
    assert token not in listing
    assert "Build server" in listing
    token_id = desk.site.events("registration.token_created")[-1].target_id
    ended = submit(browser, page, f"{page}/revoke", {"token_id": token_id})
    assert "The token was revoked." in browser.get(ended.location).text
    assert register(desk, said(client_name="Other"), token=token).status_code == 401
    assert submit(browser, page, f"{page}/revoke", {"token_id": token_id}).status_code == 400
    assert submit(browser, page, page, {"name": "x", "days": "900", "uses": "2"}).status_code == 400


def test_strangers_and_other_tenants_decide_nothing(desk: OnboardingDesk) -> None:
    desk.set_policy(**policy(registration="open"))
    told = register(desk).json
    stranger = desk.site.browser()
    assert stranger.get(HOME).status_code in {302, 303}
    browser = admin(desk)
    fields = {"client_id": told["client_id"], "decision": "release"}
    assert browser.post(HOME, fields).status_code == 400, "without the form's token"
    assert submit(browser, HOME, HOME, {**fields, "client_id": CLIENT_ID}).status_code == 404
    assert submit(browser, HOME, HOME, {**fields, "decision": "both"}).status_code == 400
    assert state_of(desk, told["client_id"]) == "quarantined"
    assert desk.rows(Client) == 1

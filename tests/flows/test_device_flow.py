"""The device flow (DV-01, O56): off by default, one answer a device, decided by who knows whose it is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from werkzeug.test import TestResponse

from broker.oauth.device import DEVICE_CODE
from broker.tenants.models import Tenant
from broker.tokens.device_codes import LETTERS, LIFE_SECONDS, POLL_SECONDS
from broker.tokens.switching_off import end_client
from tests.builders.consent_flow import add_agent, answer
from tests.builders.oauth import claims_of
from tests.builders.site import Browser, Site, form_token, open_site, refreshed_to
from tests.builders.world import SECRET, TICKETS

GRANTS = ["authorization_code", "refresh_token", DEVICE_CODE]


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    with open_site(database_url, tmp_path) as opened:
        offer(opened)
        add_agent(opened)
        agent = opened.world.agent(opened.acme, "tv", name="Television")
        opened.world.client(opened.acme, "cli_tv", agent=agent, grant_types=GRANTS)
        yield opened


def offer(site: Site, *, is_on: bool = True) -> None:
    with site.rt.database.unscoped(write=True) as session:
        session.execute(update(Tenant).values(settings={"device_flow": is_on}))
    site.world.add(site.acme)


def post(site: Site, endpoint: str, client: str = "cli_tv", **form: str) -> TestResponse:
    return site.app.test_client().post(f"/t/acme/{endpoint}", data=form, auth=(client, SECRET))


def ask(site: Site, **form: str) -> dict[str, Any]:
    given = {"scope": "tickets:read", "resource": TICKETS, **form}
    reply = post(site, "device_authorization", **given)
    assert reply.status_code == 200, reply.text
    return dict(reply.json)


def poll(site: Site, device_code: str, client: str = "cli_tv") -> str:
    """What the device is told: an error code, or its token."""
    reply = post(site, "token", client, grant_type=DEVICE_CODE, device_code=device_code)
    return str(reply.json.get("error") or reply.json["access_token"])


def signed_in(site: Site, sub: str = "maya") -> Browser:
    browser = site.browser()
    site.sign_in(browser, sub)
    return browser


def type_code(browser: Browser, code: str) -> TestResponse:
    page = browser.get(f"/t/acme/device?user_code={code}")
    return browser.post("/t/acme/device", {"user_code": code, "csrf_token": form_token(page)})


def decide(browser: Browser, code: str, decision: str) -> TestResponse:
    page = type_code(browser, code)
    assert "Is this your device?" in page.text
    device = page.text.split('name="device" value="')[1].split('"')[0]
    onward = browser.post("/t/acme/device/confirm", {"device": device, "csrf_token": form_token(page)})
    consent = refreshed_to(onward)
    assert consent.startswith("/t/acme/consent/"), consent
    return browser.get(refreshed_to(answer(browser, consent, decision)))


def finish(browser: Browser, response: TestResponse) -> TestResponse:
    """Follow the dispatcher's redirect to the page that writes the decision down."""
    assert response.status_code == 303
    assert "/t/acme/device/done?" in response.location
    return browser.get(response.location)


def test_dv_01_a_person_allows_a_device_and_it_gets_one_token(site: Site) -> None:
    asked = ask(site)
    letters = asked["user_code"].replace("-", "")
    assert len(letters) == 10
    assert set(letters) <= set(LETTERS)
    assert (asked["expires_in"], asked["interval"]) == (LIFE_SECONDS, POLL_SECONDS)
    assert asked["verification_uri"] == f"{site.tenant.issuer}/device"
    assert poll(site, asked["device_code"]) == "authorization_pending"
    browser = signed_in(site)
    page = finish(browser, decide(browser, asked["user_code"].lower(), "allow"))
    assert "Your device is connected" in page.text
    token = poll(site, asked["device_code"])
    claims = claims_of(token)
    assert (claims["aud"], claims["scope"]) == (TICKETS, "tickets:read")
    assert claims["act"]["sub"] != claims["sub"]
    assert poll(site, asked["device_code"]) == "invalid_grant"
    assert site.events("device.allowed")[0].client_id == "cli_tv"


def test_dv_01_the_person_says_no(site: Site) -> None:
    asked = ask(site)
    browser = signed_in(site)
    page = finish(browser, decide(browser, asked["user_code"], "deny"))
    assert "Nothing was allowed" in page.text
    assert poll(site, asked["device_code"]) == "access_denied"
    assert poll(site, asked["device_code"]) == "invalid_grant"


def test_dv_01_a_device_that_polls_too_fast_is_slowed_down_for_good(site: Site) -> None:
    asked = ask(site)
    told = []
    # The pause grows by five seconds at each poll that comes too early: 5, 10, 15.
    for pause in (0, 1, 9, 15):
        site.world.clock.advance(pause)
        told.append(poll(site, asked["device_code"]))
    assert told == ["authorization_pending", "slow_down", "slow_down", "authorization_pending"]
    site.world.clock.advance(60)
    assert poll(site, asked["device_code"]) == "authorization_pending"


def test_dv_01_it_is_off_unless_the_tenant_and_the_client_say_otherwise(site: Site) -> None:
    asked = ask(site)
    refused = post(site, "device_authorization", "cli_writer", scope="tickets:read", resource=TICKETS)
    assert refused.json["error"] == "unauthorized_client"
    metadata = "/.well-known/oauth-authorization-server/t/acme"
    told = site.browser().get(metadata).json
    assert told["device_authorization_endpoint"] == f"{site.tenant.issuer}/device_authorization"
    assert DEVICE_CODE in told["grant_types_supported"]
    offer(site, is_on=False)
    told = site.browser().get(metadata).json
    assert "device_authorization_endpoint" not in told
    assert DEVICE_CODE not in told["grant_types_supported"]
    assert post(site, "device_authorization", scope="tickets:read").json["error"] == "access_denied"
    assert poll(site, asked["device_code"]) == "unsupported_grant_type"
    assert signed_in(site).get("/t/acme/device").status_code == 404


def test_o56_codes_end_and_belong_to_their_client(site: Site) -> None:
    asked = ask(site)
    assert poll(site, asked["device_code"], "cli_writer") == "unauthorized_client"
    other = site.world.agent(site.acme, "radio")
    site.world.client(site.acme, "cli_radio", agent=other, grant_types=GRANTS)
    assert poll(site, asked["device_code"], "cli_radio") == "invalid_grant"
    assert poll(site, asked["device_code"]) == "authorization_pending"
    site.world.clock.advance(LIFE_SECONDS)
    assert poll(site, asked["device_code"]) == "expired_token"
    assert type_code(signed_in(site), asked["user_code"]).status_code == 400


def test_o56_codes_cannot_be_guessed(site: Site) -> None:
    asked = ask(site)
    browser = signed_in(site)
    for number in range(5):
        assert type_code(browser, f"BBBBB-BBBB{LETTERS[number]}").status_code == 400
    assert type_code(browser, asked["user_code"]).status_code == 429
    # Somebody else, who types the right code, is not locked out; nobody who is not signed in gets a try.
    assert "Is this your device?" in type_code(signed_in(site, "noor"), asked["user_code"]).text
    assert site.browser().get("/t/acme/device").location.startswith("/t/acme/sign-in?next=")


def test_o56_the_person_sees_who_asks_and_from_where_and_is_always_asked(site: Site) -> None:
    browser = signed_in(site)
    for _ in range(2):
        asked = ask(site)
        page = type_code(browser, asked["user_code"])
        for shown in ("Television", "127.0.0.1", asked["user_code"]):
            assert shown in page.text
        # An earlier answer is not given to a device: each one is put to the person.
        finish(browser, decide(browser, asked["user_code"], "allow"))


def test_o56_another_code_of_the_client_cannot_be_given_to_a_device(site: Site) -> None:
    first, second = ask(site), ask(site)
    browser = signed_in(site)
    done = decide(browser, first["user_code"], "allow")
    page = type_code(browser, second["user_code"])
    device = page.text.split('name="device" value="')[1].split('"')[0]
    bent = done.location.split("&state=")[0] + f"&state={device}"
    assert browser.get(bent).status_code == 400
    assert poll(site, second["device_code"]) == "authorization_pending"
    assert browser.get("/t/acme/device/done?state=dvc_x&code=y").status_code == 400


def test_o56_what_a_stopped_agent_s_device_was_allowed_is_gone(site: Site) -> None:
    asked = ask(site)
    browser = signed_in(site)
    finish(browser, decide(browser, asked["user_code"], "allow"))
    with site.rt.database.core_write() as core:
        end_client(core, site.acme.id, "cli_tv", "test", site.world.now)
    assert poll(site, asked["device_code"]) == "invalid_client"

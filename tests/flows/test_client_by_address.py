"""A client with only an address connects: authorize, sign-in, consent, token; and what ends that again."""

import json
from typing import Any

import pytest

from broker.agents.models import Agent, Client, ClientRegistration
from broker.agents.snapshot import load_agents
from broker.oauth.client_upkeep import look_after_clients
from tests.builders.oauth import claims_of
from tests.builders.onboarding import OnboardingDesk
from tests.builders.published_clients import (
    CLIENT_ID,
    LOOPBACK_URI,
    REDIRECT_URI,
    document,
    policy,
)
from tests.builders.world import TICKETS


def test_mcp_04_an_address_is_all_that_a_client_needs(desk: OnboardingDesk) -> None:
    metadata = desk.site.browser().get("/.well-known/oauth-authorization-server/t/acme").json
    assert metadata["client_id_metadata_document_supported"] is True
    browser = desk.site.browser()
    told = desk.redeem(desk.code(browser))
    claims = claims_of(told["access_token"])
    assert claims["aud"] == TICKETS
    assert claims["client_id"] == CLIENT_ID
    assert claims["scope"] == "tickets:read"
    agents = load_agents(desk.site.rt, desk.site.acme.id)
    agent = agents.agent_of(agents.clients[CLIENT_ID])
    assert agent is not None
    assert (claims["act"]["sub"], agent.name, agent.owner_email) == (
        agent.id,
        "Example Assistant",
        "olu@acme.example",
    )
    again = desk.token(grant_type="refresh_token", refresh_token=told["refresh_token"])
    assert again.status_code == 200
    created = desk.site.events("client.created")
    assert [one.target_id for one in created] == [CLIENT_ID]


def test_mcp_04_metadata_says_so_only_where_it_is_so(desk: OnboardingDesk) -> None:
    desk.set_policy(cimd="off", registration="off")
    metadata = desk.site.browser().get("/.well-known/oauth-authorization-server/t/acme").json
    assert "client_id_metadata_document_supported" not in metadata
    assert "registration_endpoint" not in metadata
    page = desk.site.browser().get(desk.asking())
    assert page.status_code == 401
    assert "does not admit it" in page.text
    assert desk.rows(Client) == 0
    assert desk.web.asked == []
    told = desk.site.browser().get("/t/acme/.well-known/agent-broker-configuration").json
    assert told["client_onboarding"] == {"pre_registration": True, "cimd": False, "dcr": "closed"}


def test_mcp_05_the_page_shows_the_host_and_warns_of_programs_on_the_computer(desk: OnboardingDesk) -> None:
    browser = desk.site.browser()
    page = browser.get(desk.question(browser)).text
    assert "Unverified: identified only by app.example" in page
    assert "comes from <code>app.example</code>" in page
    assert "The answer goes to <code>app.example</code>" in page
    assert "a program on this computer" not in page
    local = "https://tool.example/client.json"
    desk.web.put(local, document(local, redirect_uris=[LOOPBACK_URI], client_name="Tool"))
    other = desk.site.browser()
    page = other.get(
        desk.question(other, client_id=local, redirect_uri="http://127.0.0.1:50123/callback")
    ).text
    assert "The answer goes to a program on this computer." in page
    assert "comes from <code>tool.example</code>" in page


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example/callback/",
        "https://app.example/callback?x=1",
        "https://evil.example/callback",
        "http://app.example/callback",
        "https://app.example:444/callback",
    ],
)
def test_mcp_05_an_answer_goes_only_where_the_document_says(desk: OnboardingDesk, uri: str) -> None:
    page = desk.site.browser().get(desk.asking(redirect_uri=uri))
    assert page.status_code == 400
    assert "Location" not in page.headers
    assert desk.site.browser().get(desk.asking()).status_code == 303


def test_cimd_09_o51_a_listed_host_is_approved_and_still_named(desk: OnboardingDesk) -> None:
    desk.set_policy(**policy(cimd="listed", cimd_listed=["app.example"]))
    desk.web.put(CLIENT_ID, document(client_name="Sign in to accounts.google.com"))
    browser = desk.site.browser()
    page = browser.get(desk.question(browser)).text
    assert "Approved by your organization" in page
    assert "comes from <code>app.example</code>" in page
    assert "google" not in page
    stranger = "https://app.example.evil.example/client.json"
    desk.web.put(stranger)
    refused = desk.site.browser().get(desk.asking(client_id=stranger))
    assert refused.status_code == 401
    assert stranger not in desk.web.asked


def test_o52_a_program_on_the_computer_is_asked_about_each_time(desk: OnboardingDesk) -> None:
    local = "https://tool.example/client.json"
    uri = "http://127.0.0.1:50123/callback"
    desk.web.put(local, document(local, redirect_uris=[LOOPBACK_URI]))
    browser = desk.site.browser()
    desk.code(browser, client_id=local, redirect_uri=uri)
    assert browser.get(desk.asking(client_id=local, redirect_uri=uri)).location.startswith("/t/acme/consent/")
    desk.code(browser)
    assert browser.get(desk.asking()).location.startswith(f"{REDIRECT_URI}?code=")


def test_cimd_06_what_was_good_is_kept_and_errors_are_not(desk: OnboardingDesk) -> None:
    good, body = desk.web.answers[CLIENT_ID], json.dumps(document() | {"client_id": "x"}).encode()
    desk.web.put(CLIENT_ID, body)
    for _ in range(2):
        assert desk.site.browser().get(desk.asking()).status_code == 401
    assert desk.web.asked == [CLIENT_ID] * 2
    assert desk.rows(Client) == 0
    desk.web.answers[CLIENT_ID] = good
    for _ in range(3):
        assert desk.site.browser().get(desk.asking()).status_code == 303
    assert desk.web.asked == [CLIENT_ID] * 3
    desk.later(601)
    assert desk.site.browser().get(desk.asking()).status_code == 303
    assert desk.web.asked == [CLIENT_ID] * 4
    assert (desk.rows(Client), desk.rows(Agent), desk.rows(ClientRegistration)) == (1, 1, 1)


def test_cimd_06_an_address_that_is_away_counts_for_a_day(desk: OnboardingDesk) -> None:
    assert desk.site.browser().get(desk.asking()).status_code == 303
    good = desk.web.answers.pop(CLIENT_ID)
    desk.later(3600)
    assert desk.site.browser().get(desk.asking()).status_code == 303
    desk.web.put(CLIENT_ID, b"{}")
    assert desk.site.browser().get(desk.asking()).status_code == 401
    del desk.web.answers[CLIENT_ID]
    desk.later(2 * 86_400)
    assert desk.site.browser().get(desk.asking()).status_code == 401
    desk.web.answers[CLIENT_ID] = good
    assert desk.site.browser().get(desk.asking()).status_code == 303


def test_cimd_05_strangers_cannot_have_us_call_without_end(desk: OnboardingDesk) -> None:
    urls = [f"https://h{number}.example/c.json" for number in range(80)]
    answers = [desk.site.browser().get(desk.asking(client_id=url)).status_code for url in urls]
    assert answers.count(401) == 60
    assert answers.count(503) == 20
    assert len(desk.web.asked) == 60
    desk.later(60)
    assert desk.site.browser().get(desk.asking()).status_code == 303


@pytest.mark.parametrize(
    ("changes", "fields", "grants_end"),
    [
        pytest.param({"client_name": "Another name"}, {"name"}, False, id="name"),
        pytest.param(
            {"redirect_uris": [REDIRECT_URI, "https://app.example/two"]},
            {"redirect_uris"},
            True,
            id="redirect",
        ),
        pytest.param(
            {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://app.example/keys"},
            {"auth_method", "jwks_uri"},
            True,
            id="authentication",
        ),
    ],
)
def test_cimd_08_a_changed_document_is_asked_about_anew(
    desk: OnboardingDesk, changes: dict[str, Any], fields: set[str], grants_end: bool
) -> None:
    browser = desk.site.browser()
    told = desk.redeem(desk.code(browser))
    desk.later(600)
    assert look_after_clients(desk.site.rt) == {"read": 1}
    assert desk.site.events("client.changed") == []
    desk.web.put(CLIENT_ID, document(**changes))
    desk.later(600)
    assert look_after_clients(desk.site.rt) == {"changed": 1}
    event = desk.site.events("client.changed")[-1]
    assert event.data["changed"] == sorted(fields)
    assert event.data["is_serious"] is grants_end
    assert event.data["consents_withdrawn"] == 1
    assert event.data["grants_ended"] == int(grants_end)
    refreshed = desk.token(grant_type="refresh_token", refresh_token=told["refresh_token"])
    assert (refreshed.status_code != 200) is grants_end
    assert browser.get(desk.asking()).location.startswith("/t/acme/consent/")


def test_cimd_08_the_policy_may_hold_a_changed_client_until_somebody_looks(desk: OnboardingDesk) -> None:
    desk.set_policy(**policy(changed_client="hold"))
    browser = desk.site.browser()
    desk.redeem(desk.code(browser))
    desk.web.put(CLIENT_ID, document(redirect_uris=[REDIRECT_URI, "https://app.example/two"]))
    desk.later(601)
    assert browser.get(desk.asking()).status_code == 400
    assert desk.client().state == "quarantined"


def test_a_policy_that_is_taken_back_ends_what_hangs_on_it(desk: OnboardingDesk) -> None:
    told = desk.redeem(desk.code(desk.site.browser()))
    desk.set_policy(**policy(cimd="listed", cimd_listed=["other.example"]))
    assert desk.token(grant_type="refresh_token", refresh_token=told["refresh_token"]).status_code == 401
    desk.later(601)
    assert look_after_clients(desk.site.rt) == {"not_admitted": 1}
    desk.set_policy(**policy())
    assert desk.token(grant_type="refresh_token", refresh_token=told["refresh_token"]).status_code == 400


def test_a_client_that_nobody_uses_ends_and_a_used_one_stays(desk: OnboardingDesk) -> None:
    assert desk.site.browser().get(desk.asking()).status_code == 303
    desk.later(86_400)
    assert look_after_clients(desk.site.rt) == {"ended": 1}
    assert (desk.rows(Client), desk.rows(Agent), desk.rows(ClientRegistration)) == (0, 0, 0)
    desk.redeem(desk.code(desk.site.browser()))
    desk.later(86_400)
    assert look_after_clients(desk.site.rt) == {"read": 1}
    assert (desk.rows(Client), desk.rows(Agent)) == (1, 1)


def test_the_first_person_who_agrees_answers_for_it_where_the_policy_says_so(desk: OnboardingDesk) -> None:
    desk.set_policy(**policy(template={"owner": "first_person", "contact_name": "", "contact_email": ""}))
    browser = desk.site.browser()
    page = browser.get(desk.question(browser)).text
    assert "Nobody is named as its owner" in page
    desk.code(browser)
    agents = load_agents(desk.site.rt, desk.site.acme.id)
    agent = agents.agent_of(agents.clients[CLIENT_ID])
    assert agent is not None
    assert (agent.owner_name, agent.owner_email) == ("Maya Moss", "maya@acme.example")


def test_a_policy_without_an_owner_or_an_agent_admits_nobody(desk: OnboardingDesk) -> None:
    desk.set_policy(**policy(template={"contact_email": ""}))
    assert desk.site.browser().get(desk.asking()).status_code == 400
    desk.set_policy(**policy(template={"agent": "nobody"}))
    assert desk.site.browser().get(desk.asking()).status_code == 400
    assert (desk.rows(Client), desk.rows(ClientRegistration)) == (0, 0)
    shared = desk.site.world.agent(desk.site.acme, "shared")
    desk.set_policy(**policy(template={"agent": "shared"}))
    assert desk.site.browser().get(desk.asking()).status_code == 303
    assert desk.client().agent_id == shared.id


def test_a_client_is_one_tenants_alone(desk: OnboardingDesk) -> None:
    desk.redeem(desk.code(desk.site.browser()))
    desk.site.world.tenant("globex")
    page = desk.site.browser().get(desk.asking().replace("/t/acme/", "/t/globex/"))
    assert page.status_code == 401

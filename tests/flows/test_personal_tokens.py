"""A person makes a token of their own; one agent exchanges it, never for more than they have now."""

import re

import pytest

from broker.tokens.personal import is_personal
from tests.builders.oauth import ACCESS_TOKEN, Answer, claims_of
from tests.builders.office import Office, submit
from tests.builders.site import Browser
from tests.builders.world import SECRET, TICKETS

MINE = "/t/acme/me/tokens"
PERSONAL = "urn:agent-sso-broker:token-type:personal_token"


def make(browser: Browser, *scopes: str, client: str = "cli_a", days: str = "7", name: str = "Nightly"):
    chosen = {"client_id": client, "name": name, "days": days, "scope": list(scopes)}
    return submit(browser, f"{MINE}?for={client}", MINE, **chosen)


def secret_in(page: str) -> str:
    found = re.search(r"asb_pat_[\w-]+", page)
    assert found
    return found[0]


def exchange(office: Office, secret: str, client: str = "cli_a", **changes: str) -> Answer:
    params = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": secret,
        "subject_token_type": PERSONAL,
        "resource": TICKETS,
        **changes,
    }
    return office.scene.call("token", params, client=client)


@pytest.fixture
def secret(office: Office) -> str:
    return secret_in(make(office.person(), "tickets:read", "tickets:write").text)


def test_it_is_shown_once_and_kept_as_a_hash(office: Office, secret: str):
    assert is_personal(secret)
    page = office.person().get(MINE).text
    assert "Nightly" in page
    assert secret not in page


def test_its_agent_acts_for_the_person(office: Office, secret: str):
    claims = claims_of(exchange(office, secret, scope="tickets:read").token)
    assert claims["sub"] == office.scene.maya
    assert claims["act"]["sub"] == office.scene.agents["a"].id
    assert claims["scope"] == "tickets:read"


def test_no_refresh_token_and_no_id_token_come_with_it(office: Office, secret: str):
    answer = exchange(office, secret)
    assert answer.status == 200
    assert not {"refresh_token", "id_token"} & answer.json.keys()


def test_it_never_does_more_than_its_owner_may_now(office: Office, secret: str):
    assert "tickets:write" in exchange(office, secret).json["scope"]
    office.world.user(office.scene.tenant, office.scene.okta, "maya", groups=[])
    assert exchange(office, secret).json["scope"] == "tickets:read"


def test_it_gives_what_was_chosen_and_no_more(office: Office):
    narrow = secret_in(make(office.person(), "tickets:read").text)
    assert exchange(office, narrow).json["scope"] == "tickets:read"
    assert exchange(office, narrow, scope="tickets:write").error == "invalid_scope"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"client": "cli_b"}, "invalid_grant", id="another agent"),
        pytest.param({"resource": "https://other.example/mcp"}, "invalid_target", id="another resource"),
        pytest.param(
            {"actor_token": "x", "actor_token_type": ACCESS_TOKEN}, "invalid_request", id="an actor token"
        ),
        pytest.param(
            {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
            "invalid_request",
            id="a refresh token",
        ),
    ],
)
def test_nothing_else_is_had_for_it(office: Office, secret: str, changes: dict[str, str], error: str):
    assert exchange(office, secret, **changes).error == error
    assert exchange(office, secret).status == 200


def test_what_only_looks_like_one_is_refused(office: Office, secret: str):
    body, _, checksum = secret.rpartition("_")
    altered = "B" if body[-1] == "A" else "A"
    for other in (f"{body[:-1]}{altered}_{checksum}", f"{body}_{int(checksum, 16) ^ 1:08x}", "asb_pat_", "x"):
        assert exchange(office, other).error == "invalid_grant"


def test_revoking_it_ends_what_came_of_it(office: Office, secret: str):
    browser, token = office.person(), exchange(office, secret).token
    handed = office.scene.hand_over(token, "b").token
    token_id = re.search(r'name="token_id" value="(\w+)"', browser.get(MINE).text)
    assert token_id
    answer = submit(browser, MINE, f"{MINE}/revoke", token_id=token_id[1])
    assert "Nightly was revoked." in browser.get(answer.location).text
    assert exchange(office, secret).error == "invalid_grant"
    for one in (token, handed):
        assert office.scene.introspect(one) == {"active": False}
    assert [event.target_id for event in office.events("personal_token.revoked")] == [token_id[1]]


def test_REV_04_a_client_that_holds_it_ends_it(office: Office, secret: str):
    assert office.scene.call("revoke", {"token": secret}, client="cli_a", secret=SECRET).status == 200
    assert exchange(office, secret).error == "invalid_grant"


def test_it_ends_with_its_time_its_owner_and_the_tenants_will(office: Office, secret: str):
    office.world.clock.advance(8 * 86_400)
    assert exchange(office, secret).error == "invalid_grant"


def test_a_tenant_can_have_none(office: Office, secret: str):
    office.world.settings(office.scene.tenant, personal_token_days=0)
    assert exchange(office, secret).error == "invalid_grant"
    page = office.person().get(MINE).text
    assert "Make a token" not in page


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"days": "365"}, id="a longer life"),
        pytest.param({"name": ""}, id="no name"),
        pytest.param({"scopes": ("tickets:delete",)}, id="a scope that nobody offered"),
        pytest.param({"scopes": ()}, id="no scope"),
    ],
)
def test_a_form_that_was_changed_by_hand_makes_nothing(office: Office, changes: dict):
    form = {"scopes": ("tickets:read",), **changes}
    assert make(office.person(), *form.pop("scopes"), **form).status_code == 400
    assert "You have no token" in office.person().get(MINE).text


def test_T01_somebody_elses_token_is_answered_as_a_made_up_one(office: Office, secret: str):
    stranger = office.person(office.world.user(office.scene.tenant, office.scene.okta, "sam"))
    token_id = re.search(r'name="token_id" value="(\w+)"', office.person().get(MINE).text)
    assert token_id
    answers = [submit(stranger, MINE, f"{MINE}/revoke", token_id=one) for one in (token_id[1], "pat_x")]
    assert {answer.status_code for answer in answers} == {404}
    assert exchange(office, secret).status == 200

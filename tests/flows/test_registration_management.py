"""A registered client looks after itself, and what it may never do that way."""

from broker.agents.models import Agent, Client, ClientRegistration
from broker.tokens.switching_off import end_client
from tests.builders.onboarding import OnboardingDesk
from tests.builders.published_clients import policy
from tests.builders.registering import URI, initial_token, manage, opened, register, said, state_of


def test_dcr_04_a_client_reads_replaces_and_deletes_itself(desk: OnboardingDesk) -> None:
    told = register(desk, token=initial_token(desk)).json
    assert manage(desk, "GET", told).json["client_name"] == "Command line"
    assert manage(desk, "GET", told, token="brk_reg_wrong").status_code == 401
    assert manage(desk, "PATCH", told).status_code == 405
    desk.redeem_for(told["client_id"], URI)
    partial = manage(desk, "PUT", told, {"client_name": "New"})
    assert (partial.status_code, partial.json["error"]) == (400, "invalid_client_metadata")
    other_id = manage(desk, "PUT", told, said(client_id="dcr_other"))
    assert other_id.status_code == 400
    changed = manage(desk, "PUT", told, said(client_id=told["client_id"], redirect_uris=[URI + "2"]))
    assert changed.status_code == 200
    assert changed.json["redirect_uris"] == [URI + "2"]
    assert manage(desk, "GET", told).status_code == 401, "the former token is spent"
    assert desk.site.events("client.changed")[-1].data["grants_ended"] == 1
    now_told = changed.json
    assert manage(desk, "DELETE", now_told).status_code == 204
    assert manage(desk, "GET", now_told).status_code == 401
    assert (desk.rows(Client), desk.rows(ClientRegistration), desk.rows(Agent)) == (0, 0, 0)
    assert desk.site.events("client.removed")[-1].client_id == told["client_id"]


def test_dcr_04_deleting_ends_what_the_client_holds(desk: OnboardingDesk) -> None:
    told = register(desk, token=initial_token(desk)).json
    tokens = desk.redeem_for(told["client_id"], URI)
    refresh = {"grant_type": "refresh_token", "client_id": told["client_id"]}
    again = desk.token(refresh_token=tokens["refresh_token"], **refresh)
    assert again.status_code == 200
    assert manage(desk, "DELETE", told).status_code == 204
    assert desk.token(refresh_token=again.json["refresh_token"], **refresh).status_code == 401
    assert desk.site.events("client.removed")[-1].data["grants_ended"] == 1


def test_dcr_04_a_token_tried_at_another_client_is_dead(desk: OnboardingDesk) -> None:
    token = initial_token(desk)
    mine = register(desk, token=token).json
    other = register(desk, said(client_name="Other"), token=token).json
    assert manage(desk, "GET", other, token=mine["registration_access_token"]).status_code == 401
    assert manage(desk, "GET", mine).status_code == 401
    assert manage(desk, "GET", other).status_code == 200


def test_o48_a_stopped_client_cannot_change_itself(desk: OnboardingDesk) -> None:
    told = register(desk, token=initial_token(desk)).json
    with desk.site.rt.database.core_write() as core:
        end_client(core, desk.site.acme.id, told["client_id"], "test", desk.site.world.now)
    for method, body in (("GET", None), ("PUT", said(client_id=told["client_id"], client_name="Back"))):
        assert manage(desk, method, told, body).status_code == 401
    assert state_of(desk, told["client_id"]) == "disabled"
    assert register(desk, token=initial_token(desk)).json["client_id"] == told["client_id"]
    assert state_of(desk, told["client_id"]) == "disabled"


def test_o48_what_was_released_is_held_again_when_it_changes(desk: OnboardingDesk) -> None:
    desk.set_policy(**policy(registration="open"))
    told = register(desk).json
    row = {"client_id": told["client_id"]}
    with desk.site.rt.database.write(desk.site.acme.id) as session:
        client = session.get(Client, (desk.site.acme.id, told["client_id"]))
        assert client is not None
        client.state = "active"
    assert (
        manage(desk, "PUT", told, said(redirect_uris=["https://evil.example/cb"], **row)).status_code == 200
    )
    assert state_of(desk, told["client_id"]) == "quarantined"


def test_who_registers_the_same_again_gets_no_power_over_the_first(desk: OnboardingDesk) -> None:
    opened(desk)
    first = register(desk).json
    assert manage(desk, "GET", first).status_code == 200
    second = register(desk, ip="10.0.0.2").json
    assert second["client_id"] == first["client_id"]
    assert "registration_access_token" not in second
    assert manage(desk, "GET", first).status_code == 401
    basic = said(token_endpoint_auth_method="client_secret_basic", client_name="With secret")
    mine = register(desk, basic).json
    theirs = register(desk, basic, ip="10.0.0.2").json
    assert theirs["client_id"] != mine["client_id"]
    again = register(desk, basic).json
    assert again["client_id"] == mine["client_id"]
    assert again["client_secret"] != mine["client_secret"]

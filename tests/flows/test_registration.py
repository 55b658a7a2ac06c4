"""Dynamic registration: who may, what may be said, once per client, and what a client may change later."""

from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import settings as effort
from hypothesis import strategies as st
from sqlalchemy import select

from broker.agents.models import Agent, Client, ClientRegistration
from broker.agents.registration_tokens import end_token
from broker.oauth.client_upkeep import look_after_clients
from tests.builders.onboarding import OnboardingDesk
from tests.builders.published_clients import LOOPBACK_URI, policy
from tests.builders.registering import URI, initial_token, manage, opened, register, said, state_of
from tests.builders.world import TICKETS, TOKEN_EXCHANGE


def test_dcr_01_off_token_or_open_and_held(desk: OnboardingDesk) -> None:
    desk.set_policy(**policy(registration="off"))
    off = register(desk)
    assert (off.status_code, off.json["error"]) == (400, "access_denied")
    desk.set_policy(**policy())
    without = register(desk)
    assert (without.status_code, without.json["error"]) == (401, "invalid_token")
    assert without.headers["WWW-Authenticate"].startswith("Bearer")
    assert register(desk, token="brk_iat_wrong").status_code == 401
    told = register(desk, token=initial_token(desk)).json
    assert state_of(desk, told["client_id"]) == "active"
    desk.set_policy(**policy(registration="open"))
    held = register(desk, said(client_name="Other")).json
    assert state_of(desk, held["client_id"]) == "quarantined"
    assert register(desk, said(client_name="Third"), token="brk_iat_wrong").status_code == 401
    assert desk.rows(Client) == 2


def test_dcr_01_the_default_is_the_initial_token(desk: OnboardingDesk) -> None:
    desk.set_policy()
    metadata = desk.site.browser().get("/.well-known/oauth-authorization-server/t/acme").json
    assert metadata["registration_endpoint"] == "http://127.0.0.1:8080/t/acme/register"
    assert register(desk).status_code == 401
    told = desk.site.browser().get("/t/acme/.well-known/agent-broker-configuration").json
    assert told["client_onboarding"]["dcr"] == "token"


def test_dcr_01_a_token_ends_is_counted_and_is_one_tenants(desk: OnboardingDesk) -> None:
    token = initial_token(desk, uses=2)
    assert register(desk, token=token).status_code == 201
    assert register(desk, token=token).status_code == 201, "the same client again costs no use"
    assert register(desk, said(client_name="Two"), token=token).status_code == 201
    assert register(desk, said(client_name="Three"), token=token).status_code == 401
    short = initial_token(desk, days=1)
    desk.later(86_400)
    assert register(desk, said(client_name="Four"), token=short).status_code == 401
    ended = initial_token(desk)
    with desk.site.rt.database.write(desk.site.acme.id) as session:
        row = session.execute(
            select(ClientRegistration.initial_token_id).where(
                ClientRegistration.initial_token_id.is_not(None)
            )
        ).first()
        assert row is not None
        assert end_token(session, desk.site.acme.id, row[0], desk.site.world.now)
    assert register(desk, token=token).status_code == 401
    assert register(desk, said(client_name="Five"), token=ended).status_code == 201


def test_dcr_02_everything_registered_is_echoed(desk: OnboardingDesk) -> None:
    token = initial_token(desk)
    answer = register(
        desk,
        said(token_endpoint_auth_method="client_secret_basic", client_uri="https://cli.example", logo="x"),
        token=token,
    )
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    told = answer.json
    assert told["client_id_issued_at"] == desk.site.world.now
    assert told["client_secret_expires_at"] == 0
    assert len(told["client_secret"]) >= 43
    assert told["redirect_uris"] == [URI]
    assert told["token_endpoint_auth_method"] == "client_secret_basic"
    assert told["application_type"] == "web"
    assert told["client_uri"] == "https://cli.example"
    assert "logo" not in told
    assert told["registration_client_uri"] == f"http://127.0.0.1:8080/t/acme/register/{told['client_id']}"
    public = register(desk, token=token).json
    assert "client_secret" not in public
    assert "client_secret_expires_at" not in public


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uris": ["http://cli.example/callback"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["cursor://callback"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://cli.example/callback#x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://cli.example/cb?code=1"]}, "invalid_redirect_uri"),
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": URI}, "invalid_redirect_uri"),
        ({"software_statement": "eyJhbGciOiJub25lIn0.e30."}, "unapproved_software_statement"),
        ({"token_endpoint_auth_method": "client_secret_post"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "tls_client_auth"}, "invalid_client_metadata"),
        ({"response_types": ["code", "token"]}, "invalid_client_metadata"),
        ({"require_signed_request_object": True}, "invalid_client_metadata"),
        ({"jwks_uri": "https://169.254.169.254/keys"}, "invalid_client_metadata"),
        ({"sector_identifier_uri": "https://127.0.0.1/"}, "invalid_client_metadata"),
        ({"client_name": "x" * 300}, "invalid_client_metadata"),
        ({"client_name": 7}, "invalid_client_metadata"),
        ({"scope": 'tickets:read "'}, "invalid_client_metadata"),
    ],
)
def test_dcr_03_each_fault_has_its_code(desk: OnboardingDesk, changes: dict[str, Any], error: str) -> None:
    opened(desk)
    refused = register(desk, said(**changes))
    assert (refused.status_code, refused.json["error"]) == (400, error)
    assert desk.rows(Client) == 0
    assert register(desk).status_code == 201


def test_dcr_03_a_body_that_is_no_object_is_refused(desk: OnboardingDesk) -> None:
    opened(desk)
    post = desk.site.app.test_client().post
    for data, kind in ((b"{", "application/json"), (b"[]", "application/json"), (b"a=b", "text/plain")):
        refused = post("/t/acme/register", data=data, content_type=kind, base_url=desk.site.base_url)
        assert (refused.status_code, refused.json["error"]) == (400, "invalid_client_metadata")
    large = b'{"x": "' + b"y" * 20_000 + b'"}'
    refused = post(
        "/t/acme/register", data=large, content_type="application/json", base_url=desk.site.base_url
    )
    assert refused.status_code == 413


PRIVILEGED = {
    "tenant_id": "ten_other",
    "agent_id": "agt_other",
    "resource_id": "res_other",
    "state": "active",
    "options": {"unverified": False},
    "unverified": False,
    "scopes": ["tickets:delete"],
    "secret_hash": "0" * 64,
    "cutoff_at": 0,
    "created_at": 0,
    "client_id": "planner",
    "client_secret": "chosen-by-the-client-itself-and-long-enough",
    "roles": ["admin"],
}


_WORDS = st.text("abc_.:/", max_size=12)


@effort(max_examples=15, deadline=None)
@drawn(
    extra=st.dictionaries(
        st.sampled_from(sorted(PRIVILEGED)) | _WORDS,
        st.none() | st.booleans() | st.integers() | _WORDS | st.lists(_WORDS, max_size=3),
        max_size=6,
    )
)
def test_o48_no_body_changes_what_is_not_the_clients(extra: dict[str, Any]) -> None:
    from broker.agents.client_metadata import Offered, read_metadata

    offered = Offered(frozenset({"authorization_code"}), frozenset({"ES256"}))
    plain = read_metadata(said(), offered)
    mixed = {**extra, **PRIVILEGED, **said()}
    assert read_metadata(mixed, offered).as_said() == plain.as_said()


def test_o48_privileged_members_are_ignored(desk: OnboardingDesk) -> None:
    desk.set_policy(**policy(registration="open"))
    told = register(desk, {**PRIVILEGED, **said()}).json
    assert told["client_id"].startswith("dcr_")
    with desk.site.rt.database.read(desk.site.acme.id) as session:
        row = session.get(Client, (desk.site.acme.id, told["client_id"]))
        assert row is not None
        assert (row.state, row.agent_id, row.resource_id, row.secret_hash) == (
            "quarantined",
            None,
            None,
            None,
        )
        assert row.options == {"unverified": True}
        assert "tickets:delete" not in row.scopes


def test_dcr_05_native_and_web_are_held_apart(desk: OnboardingDesk) -> None:
    opened(desk)
    web = register(desk, said(application_type="web", redirect_uris=[LOOPBACK_URI]))
    assert (web.status_code, web.json["error"]) == (400, "invalid_redirect_uri")
    public = register(desk, said(application_type="native", redirect_uris=["http://cli.example/cb"]))
    assert public.status_code == 400
    assert register(desk, said(application_type="desktop")).status_code == 400
    told = register(desk, said(application_type="native", redirect_uris=[LOOPBACK_URI])).json
    for uri, status in (
        (LOOPBACK_URI, 303),
        ("http://127.0.0.1:61234/callback", 303),
        ("http://127.0.0.1:61234/other", 400),
        ("http://localhost:61234/callback", 400),
        ("https://127.0.0.1:61234/callback", 400),
    ):
        asked = desk.site.browser().get(desk.asking(client_id=told["client_id"], redirect_uri=uri))
        assert asked.status_code == status, uri


def test_mcp_11_a_client_of_2025_registers_and_connects(desk: OnboardingDesk) -> None:
    opened(desk)
    uri = "http://localhost:53682/callback"
    told = register(desk, said(redirect_uris=[uri])).json
    assert told["application_type"] == "native"
    tokens = desk.redeem_for(told["client_id"], uri)
    assert tokens["scope"] == "tickets:read"
    browser = desk.site.browser()
    page = browser.get(desk.question(browser, client_id=told["client_id"], redirect_uri=uri)).text
    assert "Unverified" in page
    assert "a program on this computer" in page


def test_a_client_that_registers_again_and_again_is_one_row(desk: OnboardingDesk) -> None:
    """A thousand in the proof; here as many as one minute takes."""
    opened(desk)
    ids = set()
    for number in range(25):
        uri = f"http://127.0.0.1:{50_000 + number}/callback"
        ids.add(register(desk, said(redirect_uris=[uri])).json["client_id"])
    assert len(ids) == 1
    assert (desk.rows(Client), desk.rows(Agent), desk.rows(ClientRegistration)) == (1, 1, 1)


@pytest.mark.proof
def test_a_thousand_registrations_of_one_client_leave_one_row(desk: OnboardingDesk) -> None:
    opened(desk)
    for number in range(1_000):
        if number % 25 == 0:
            desk.later(60)
        method = "client_secret_basic" if number % 2 else "none"
        uri = f"http://127.0.0.1:{50_000 + number}/callback"
        answer = register(desk, said(redirect_uris=[uri], token_endpoint_auth_method=method))
        assert answer.status_code == 201
    assert desk.rows(Client) == 2, "one for each way to authenticate"


def test_dcr_06_o49_a_flood_is_slowed_down_and_unused_clients_end(desk: OnboardingDesk) -> None:
    opened(desk, max_clients=20)
    statuses = [register(desk, said(client_name=f"Client {number}")).status_code for number in range(40)]
    assert [statuses.count(one) for one in (201, 503, 429)] == [20, 10, 10]
    other = register(desk, said(client_name="Honest"), ip="10.0.0.2")
    assert (other.status_code, other.headers["Retry-After"]) == (503, "1")
    desk.later(86_400)
    assert look_after_clients(desk.site.rt) == {"ended": 20}
    assert (desk.rows(Client), desk.rows(Agent)) == (0, 0)
    assert register(desk, said(client_name="Honest"), ip="10.0.0.2").status_code == 201


def test_dcr_06_one_address_cannot_use_up_the_tenant(desk: OnboardingDesk) -> None:
    opened(desk)
    statuses = [register(desk, {"bad": 1}, ip="10.0.0.9").status_code for _ in range(31)]
    assert statuses[-1] == 429
    assert register(desk).status_code == 201


def test_dcr_06_a_held_client_may_do_nothing(desk: OnboardingDesk) -> None:
    desk.set_policy(**policy(registration="open"))
    told = register(desk, said(token_endpoint_auth_method="client_secret_basic")).json
    asked = desk.site.browser().get(desk.asking(client_id=told["client_id"], redirect_uri=URI))
    assert asked.status_code == 400
    refused = desk.site.app.test_client().post(
        "/t/acme/token",
        data={"grant_type": "client_credentials", "resource": TICKETS},
        auth=(told["client_id"], told["client_secret"]),
        base_url=desk.site.base_url,
    )
    assert (refused.status_code, refused.json["error"]) == (401, "invalid_client")
    assert manage(desk, "GET", told).status_code == 200


def test_dcr_07_no_grant_type_beyond_the_policy(desk: OnboardingDesk) -> None:
    opened(desk)
    wanted = ["authorization_code", "client_credentials", TOKEN_EXCHANGE, "password", "implicit"]
    basic = said(grant_types=wanted, token_endpoint_auth_method="client_secret_basic")
    assert register(desk, basic).json["grant_types"] == ["authorization_code"]
    only = said(grant_types=["client_credentials"], token_endpoint_auth_method="client_secret_basic")
    refused = register(desk, only)
    assert (refused.status_code, refused.json["error"]) == (400, "invalid_client_metadata")
    opened(desk, grant_types=["client_credentials"])
    assert register(desk, only).json["grant_types"] == ["client_credentials"]
    assert register(desk, said(grant_types=["client_credentials"])).status_code == 400


def test_a_registration_is_one_tenants_alone(desk: OnboardingDesk) -> None:
    token = initial_token(desk)
    told = register(desk, token=token).json
    desk.site.world.tenant("globex")
    client = desk.site.app.test_client()
    headers = {"Authorization": f"Bearer {token}"}
    refused = client.post("/t/globex/register", json=said(), headers=headers, base_url=desk.site.base_url)
    assert refused.status_code == 401
    headers = {"Authorization": f"Bearer {told['registration_access_token']}"}
    path = f"/t/globex/register/{told['client_id']}"
    assert client.get(path, headers=headers, base_url=desk.site.base_url).status_code == 401

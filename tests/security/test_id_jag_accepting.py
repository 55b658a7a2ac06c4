"""ID-JAGs that we take: IDJ-20 to IDJ-27, EMA-03, A27, ICH-03, and the round trip between two tenants."""

from dataclasses import replace
from typing import Any

import pytest
from joserfc.jwk import ECKey
from sqlalchemy import func, select

from broker.agents.models import Client
from broker.discovery.metadata import server_metadata
from broker.kernel.versions import bump
from broker.tokens.keys import public_jwks
from broker.tokens.models import IssuedToken, RefreshToken
from broker.tokens.switching_off import end_connection, end_user
from tests.builders.foreign_issuer import ALL_GRANTS, JWT_BEARER, KEYS_AT, ForeignIssuer, redeem
from tests.builders.forgery import forgeries
from tests.builders.oauth import Scene, claims_of
from tests.builders.proofs import Prover
from tests.builders.trusts import ask_id_jag, signed_in, target, trust
from tests.builders.world import TICKETS, TOKEN_EXCHANGE

OTHER_KEY = ECKey.generate_key("P-256", {"kid": "f1", "use": "sig"})
KEY = Prover()
PARTNER_ACTOR = {"iss": "https://idp.example", "sub": "agent-9", "sub_profile": "ai_agent"}


def grant_types(scene: Scene, client_id: str, *names: str) -> None:
    """Let a client use these grant types."""
    with scene.world.rt.database.write(scene.tenant.id) as session:
        row = session.get(Client, (scene.tenant.id, client_id))
        assert row is not None
        row.grant_types = list(names)
        bump(session.connection(), scene.tenant.id)


@pytest.fixture
def partner() -> ForeignIssuer:
    return ForeignIssuer()


@pytest.fixture
def open_door(scene: Scene, partner: ForeignIssuer) -> Scene:
    """The scene, with a partner whose ID-JAGs the client of agent a may bring."""
    for name in ("cli_a", "cli_b"):
        grant_types(scene, name, *ALL_GRANTS, TOKEN_EXCHANGE)
    allow(scene, partner)
    return scene


def allow(scene: Scene, partner: ForeignIssuer, **changes: Any) -> None:
    config = {
        "issuer": partner.issuer,
        "connection": "okta",
        "jwks": partner.jwks,
        "clients": ["cli_a"],
        "scopes": ["tickets:read", "tickets:write"],
    }
    given = {name: value for name, value in {**config, **changes}.items() if value is not None}
    trust(scene, "issuer", "partner", **given)


@pytest.mark.parametrize("name", ["IDJ-20", "IDJ-24", "EMA-03"])
def test_an_id_jag_gives_a_token_for_the_person(open_door: Scene, partner: ForeignIssuer, name: str) -> None:
    answer = redeem(open_door, partner.id_jag(open_door))
    claims = claims_of(answer.token)
    assert claims["sub"] == open_door.maya
    assert claims["aud"] == TICKETS
    assert claims["act"]["sub"] == open_door.agents["a"].id
    assert answer.json["scope"] == claims["scope"] == "tickets:read tickets:write"
    assert claims["roles"] == ["support.agent"]
    assert (claims["acr"], claims["amr"]) == ("phr", ["hwk"])
    assert open_door.introspect(answer.token)["active"] is True


@pytest.mark.parametrize("name", ["IDJ-25", "ICH-04"])
def test_no_refresh_token_crosses_domains(open_door: Scene, partner: ForeignIssuer, name: str) -> None:
    answer = redeem(open_door, partner.id_jag(open_door, scope="openid offline_access tickets:read"))
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "scope"}
    assert answer.json["scope"] == "tickets:read"
    with open_door.world.rt.database.read(open_door.tenant.id) as session:
        assert session.scalar(select(func.count()).select_from(RefreshToken)) == 0


def test_idj_25_an_id_jag_counts_once(open_door: Scene, partner: ForeignIssuer) -> None:
    token = partner.id_jag(open_door)
    assert redeem(open_door, token).status == 200
    again = redeem(open_door, token)
    assert (again.status, again.error) == (400, "invalid_grant")
    allow(open_door, partner, reuse=True)
    other = partner.id_jag(open_door)
    assert [redeem(open_door, other).status for _ in range(2)] == [200, 200]


ATTACKS: dict[str, dict[str, Any]] = {
    "IDJ-20-typ-jwt": {"header": {"typ": "JWT"}},
    "IDJ-20-typ-access-token": {"header": {"typ": "at+jwt"}},
    "IDJ-20-no-typ": {"header": {"typ": None}},
    "IDJ-20-typ-in-capitals": {"header": {"typ": "OAUTH-ID-JAG+JWT"}},
    "IDJ-20-wrong-aud": {"aud": "https://other.example"},
    "IDJ-20-token-endpoint-as-aud": {"aud": "http://127.0.0.1:8080/t/acme/token"},
    "IDJ-20-two-audiences": {"aud": ["http://127.0.0.1:8080/t/acme", "https://other.example"]},
    "IDJ-20-no-aud": {"aud": None},
    "IDJ-20-expired": {"iat": 1_795_500_000, "exp": 1_795_500_300},
    "IDJ-20-lives-too-long": {"exp": 1_795_503_600 + 86_400},
    "IDJ-20-from-the-future": {"iat": 1_795_503_600 + 900, "exp": 1_795_503_600 + 1000},
    "IDJ-20-no-exp": {"exp": None},
    "IDJ-20-no-jti": {"jti": None},
    "IDJ-20-jti-is-a-number": {"jti": 7},
    "IDJ-20-no-sub": {"sub": None},
    "IDJ-20-no-iat": {"iat": None},
    "IDJ-21-other-client": {"client_id": "cli_b"},
    "IDJ-21-no-client": {"client_id": None},
    "IDJ-22-unknown-issuer": {"iss": "https://evil.example"},
    "IDJ-22-issuer-with-slash": {"iss": "https://idp.example/"},
    "IDJ-22-no-issuer": {"iss": None},
    "IDJ-23-bound-to-a-key": {"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}},
    "IDJ-24-authorization-details": {"authorization_details": []},
    "ICH-03-unknown-person": {"sub": "mallory"},
    "EMA-03-an-address-names-nobody": {"sub": "maya@acme.example", "email": "maya@acme.example"},
    "A27-other-key": {"key": OTHER_KEY},
    "A27-unknown-kid": {"header": {"kid": "f2"}},
}


@pytest.mark.parametrize("changes", ATTACKS.values(), ids=ATTACKS)
def test_an_id_jag_that_is_not_for_us_is_refused(
    open_door: Scene, partner: ForeignIssuer, changes: dict[str, Any]
) -> None:
    refused = redeem(open_door, partner.id_jag(open_door, **changes))
    assert (refused.status, refused.error) == (400, "invalid_grant")
    assert refused.json["error_description"] == "The presented token is not valid for this client."
    assert redeem(open_door, partner.id_jag(open_door)).status == 200


def test_o01_to_o07_a_forged_id_jag_is_refused(open_door: Scene, partner: ForeignIssuer) -> None:
    token = partner.id_jag(open_door)
    for attack, forged in forgeries(token, dict(partner.jwks["keys"][0])):
        refused = redeem(open_door, forged)
        assert (refused.status, refused.error) in {(400, "invalid_grant"), (400, "invalid_request")}, attack
    assert redeem(open_door, token).status == 200


def test_idj_21_a_client_that_does_not_prove_itself_gets_nothing(
    open_door: Scene, partner: ForeignIssuer
) -> None:
    for params in ({}, {"client_id": "cli_a"}):
        refused = redeem(open_door, partner.id_jag(open_door), client=None, **params)
        assert (refused.status, refused.error) == (401, "invalid_client")
    # A client that is not on the partner's list may not bring even what was made for it.
    theirs = partner.id_jag(open_door, client_id="cli_b")
    assert redeem(open_door, theirs, client="cli_b").error == "invalid_grant"
    allow(open_door, partner, clients=["cli_a", "cli_b"])
    assert redeem(open_door, partner.id_jag(open_door, client_id="cli_b"), client="cli_b").status == 200


def test_idj_22_our_own_id_jag_is_never_redeemed(open_door: Scene) -> None:
    """Not even by a tenant that someone led to believe that its own issuer is a partner."""
    target(open_door)
    own = ask_id_jag(open_door, signed_in(open_door)["id_token"]).token
    assert redeem(open_door, own).error == "invalid_grant"
    assert claims_of(own)["iss"] == open_door.tenant.issuer


@pytest.mark.parametrize(
    ("changes", "params", "error"),
    [
        pytest.param({"resource": "https://evil.example/mcp"}, {}, "invalid_target", id="IDJ-24-resource"),
        pytest.param({}, {"resource": "https://evil.example/mcp"}, "invalid_target", id="IDJ-24-asked"),
        pytest.param({"scope": "tickets:delete"}, {}, "invalid_scope", id="IDJ-24-scope"),
        pytest.param(
            {"scope": "tickets:read"}, {"scope": "tickets:write"}, "invalid_scope", id="IDJ-24-wider"
        ),
        pytest.param({"resource": {"a": 1}}, {}, "invalid_grant", id="IDJ-24-resource-shape"),
        pytest.param({"scope": ["tickets:read"]}, {}, "invalid_grant", id="IDJ-24-scope-shape"),
        pytest.param({"act": {"sub": "agent-9"}}, {}, "invalid_request", id="ACT-01-no-issuer"),
        pytest.param({"act": "agent-9"}, {}, "invalid_request", id="ACT-01-no-object"),
        pytest.param(
            {"act": {**PARTNER_ACTOR, "client_profile": "x"}},
            {},
            "invalid_request",
            id="ACT-01-client-profile",
        ),
        pytest.param(
            {"act": {**PARTNER_ACTOR, "cnf": {"jkt": "x"}}}, {}, "invalid_request", id="ACT-05-cnf-in-act"
        ),
    ],
)
def test_what_an_id_jag_asks_for_is_all_looked_at(
    open_door: Scene,
    partner: ForeignIssuer,
    changes: dict[str, Any],
    params: dict[str, str],
    error: str,
) -> None:
    refused = redeem(open_door, partner.id_jag(open_door, **changes), **params)
    assert (refused.status, refused.error) == (400, error)
    assert redeem(open_door, partner.id_jag(open_door), scope="tickets:read").json["scope"] == "tickets:read"


@pytest.mark.parametrize("name", ["ACT-03", "ACT-02", "ACT-05"])
def test_actors_of_the_other_domain_stay_in_the_chain(
    open_door: Scene, partner: ForeignIssuer, name: str
) -> None:
    first = redeem(open_door, partner.id_jag(open_door, act=PARTNER_ACTOR)).token
    ours = {"iss": open_door.tenant.issuer, "sub_profile": "ai_agent"}
    a, b = open_door.agents["a"].id, open_door.agents["b"].id
    assert claims_of(first)["act"] == {"sub": a, **ours, "act": PARTNER_ACTOR}
    assert claims_of(first)["dlg"]["depth"] == 2
    second = open_door.hand_over(first, "b").token
    assert claims_of(second)["act"] == {"sub": b, **ours, "act": {"sub": a, **ours, "act": PARTNER_ACTOR}}
    assert open_door.introspect(second)["act"] == claims_of(second)["act"]


def test_act_04_a_chain_of_the_other_domain_counts(open_door: Scene, partner: ForeignIssuer) -> None:
    long: dict[str, Any] = PARTNER_ACTOR
    for number in range(3):
        long = {**PARTNER_ACTOR, "sub": f"agent-{number}", "act": long}
    refused = redeem(open_door, partner.id_jag(open_door, act=long))
    assert (refused.status, refused.error) == (400, "invalid_request")
    assert redeem(open_door, partner.id_jag(open_door, act=long["act"])).status == 200


@pytest.mark.parametrize("what", ["user", "connection"])
def test_what_was_switched_off_ends_what_came_by_an_id_jag(
    open_door: Scene, partner: ForeignIssuer, what: str
) -> None:
    token = redeem(open_door, partner.id_jag(open_door)).token
    now = open_door.world.now
    with open_door.world.rt.database.core_write() as connection:
        if what == "user":
            end_user(connection, open_door.tenant.id, open_door.maya, "test", now)
        else:
            end_connection(connection, open_door.tenant.id, open_door.okta.id, "test", now)
    assert open_door.introspect(token) == {"active": False}
    assert redeem(open_door, partner.id_jag(open_door)).error == "invalid_grant"


def test_idj_26_metadata_says_what_is_taken_and_never_from_whom(scene: Scene, partner: ForeignIssuer) -> None:
    profiles = "authorization_grant_profiles_supported"
    before = server_metadata(scene.world.rt, scene.tenant)
    assert profiles not in before
    assert JWT_BEARER not in before["grant_types_supported"]
    allow(scene, partner)
    told = server_metadata(scene.world.rt, scene.tenant)
    assert told[profiles] == ["urn:ietf:params:oauth:grant-profile:id-jag"]
    assert JWT_BEARER in told["grant_types_supported"]
    assert partner.issuer not in str(told)


def test_o38_o39_and_o41_an_issuers_keys_are_fetched_rarely_and_kept(
    open_door: Scene, partner: ForeignIssuer
) -> None:
    world = open_door.world
    allow(open_door, partner, jwks=None, jwks_uri=KEYS_AT)
    world.rt = replace(world.rt, egress=partner)  # type: ignore[arg-type]
    for _ in range(3):
        assert redeem(open_door, partner.id_jag(open_door)).status == 200
    assert partner.asked == 1
    for _ in range(5):
        assert redeem(open_door, partner.id_jag(open_door, header={"kid": "made-up"})).status == 400
    assert partner.asked == 1  # asked half a minute ago at most
    partner.key = ECKey.generate_key("P-256", {"kid": "f2", "use": "sig"})
    world.clock.advance(31)
    assert redeem(open_door, partner.id_jag(open_door, header={"kid": "f2"})).status == 200
    assert partner.asked == 2
    partner.is_up = False
    world.clock.advance(3600)
    assert redeem(open_door, partner.id_jag(open_door, header={"kid": "f2"})).status == 200
    world.clock.advance(86_400)
    assert redeem(open_door, partner.id_jag(open_door, header={"kid": "f2"})).error == "invalid_grant"


@pytest.mark.parametrize("name", ["IDJ-27", "IDJ-06"])
def test_the_round_trip_between_two_tenants(open_door: Scene, name: str) -> None:
    """Maya works at acme; the wiki company's server takes acme's word for her."""
    wiki = Scene(open_door.world, slug="wiki")
    acme_there = wiki.world.connection(wiki.tenant, "acme")
    wiki.maya = wiki.world.user(
        wiki.tenant, acme_there, open_door.maya, issuer=open_door.tenant.issuer, groups=["support"]
    )
    wiki.world.mapping(wiki.tenant, acme_there, "support", "support.agent")
    grant_types(wiki, "cli_b", *ALL_GRANTS)
    keys = dict(public_jwks(open_door.world.rt, open_door.tenant.id))
    trust(
        wiki,
        "issuer",
        "acme",
        issuer=open_door.tenant.issuer,
        connection="acme",
        jwks=keys,
        clients=["cli_b"],
        scopes=["tickets:read"],
    )
    target(open_door, issuer=wiki.tenant.issuer, clients={"cli_a": "cli_b"}, resources=[TICKETS])
    id_token = signed_in(open_door)["id_token"]
    asked = {"audience": wiki.tenant.issuer, "resource": TICKETS, "scope": "tickets:read tickets:write"}
    id_jag = ask_id_jag(open_door, id_token, **asked).token
    answer = redeem(wiki, id_jag, client="cli_b")
    claims = claims_of(answer.token)
    assert (claims["iss"], claims["sub"], claims["scope"]) == (wiki.tenant.issuer, wiki.maya, "tickets:read")
    assert wiki.introspect(answer.token)["active"] is True
    # It opens that one door, once, and not the one it came from.
    assert redeem(wiki, id_jag, client="cli_b").error == "invalid_grant"
    assert redeem(open_door, id_jag).error == "invalid_grant"
    third = Scene(open_door.world, slug="third")
    grant_types(third, "cli_b", *ALL_GRANTS)
    fresh = ask_id_jag(open_door, id_token, **asked).token
    assert redeem(third, fresh, client="cli_b").error == "invalid_grant"
    with wiki.world.rt.database.read(wiki.tenant.id) as session:
        assert session.scalar(select(func.count()).select_from(IssuedToken)) == 1


def test_idj_08_and_idj_23_an_id_jag_is_bound_to_the_key_that_was_proven(
    open_door: Scene, partner: ForeignIssuer
) -> None:
    target(open_door)
    id_token = signed_in(open_door)["id_token"]
    assert "cnf" not in claims_of(ask_id_jag(open_door, id_token).token)
    open_door.prover = KEY
    bound = ask_id_jag(open_door, id_token)
    assert claims_of(bound.token)["cnf"] == {"jkt": KEY.jkt}
    assert bound.json["token_type"] == "N_A"
    for wrong in (None, Prover()):
        open_door.prover = wrong
        refused = redeem(open_door, partner.id_jag(open_door, cnf={"jkt": KEY.jkt}))
        assert (refused.status, refused.error) == (400, "invalid_grant")
    open_door.prover = KEY
    answer = redeem(open_door, partner.id_jag(open_door, cnf={"jkt": KEY.jkt}))
    assert answer.json["token_type"] == "DPoP"
    assert claims_of(answer.token)["cnf"] == {"jkt": KEY.jkt}
    # A key that the ID-JAG does not name is no fault: the result is bound to it.
    assert claims_of(redeem(open_door, partner.id_jag(open_door)).token)["cnf"] == {"jkt": KEY.jkt}

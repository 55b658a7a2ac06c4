"""Every JWT that somebody sends us, forged in every classic way: O01 to O07, O33, O35, A24."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, RSAKey

from broker.kernel.ids import new_id
from broker.kernel.plain import PlainRequest
from broker.oauth.endpoints import answer
from broker.tokens.keys import public_jwks
from tests.builders.forgery import forgeries
from tests.builders.oauth import Answer, Scene, claims_of
from tests.builders.world import TICKETS

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def own_jwk(scene: Scene) -> dict[str, Any]:
    return dict(public_jwks(scene.world.rt, scene.tenant.id)["keys"][0])


def test_o01_to_o07_a_forged_subject_token_is_refused(scene: Scene) -> None:
    token = scene.person_token()
    for attack, forged in forgeries(token, own_jwk(scene)):
        refused = scene.exchange(forged, "a")
        assert (refused.status, refused.error) in {(400, "invalid_grant"), (400, "invalid_request")}, attack
    assert scene.exchange(token, "a").status == 200


def test_o01_to_o07_a_forged_actor_token_is_refused(scene: Scene) -> None:
    token, actor = scene.person_token(), scene.own_token("b")
    for attack, forged in forgeries(actor, own_jwk(scene)):
        assert scene.exchange(token, "b", actor=forged).status == 400, attack
    assert scene.exchange(token, "b", actor=actor).status == 200


def test_o01_to_o07_a_forged_token_is_inactive(scene: Scene) -> None:
    token = scene.person_token()
    for attack, forged in forgeries(token, own_jwk(scene)):
        told = scene.call("introspect", {"token": forged}, client="rs_tickets")
        assert told.json == {"active": False} or told.error == "invalid_request", attack
    assert scene.introspect(token)["active"] is True


# -- client assertions --------------------------------------------------------------------------------


KEY = ECKey.generate_key("P-256", {"kid": "k1", "use": "sig"})


@pytest.fixture
def keyed(scene: Scene) -> Scene:
    jwks = {"keys": [KEY.as_dict(private=False)]}
    scene.world.client(
        scene.tenant, "cli_key", agent=scene.agents["a"], auth_method="private_key_jwt", jwks=jwks
    )
    return scene


def assertion(scene: Scene, *, key: Any = KEY, header: dict[str, Any] | None = None, **changes: Any) -> str:
    claims = {
        "iss": "cli_key",
        "sub": "cli_key",
        "aud": scene.tenant.issuer,
        "iat": scene.world.now,
        "exp": scene.world.now + 60,
        "jti": new_id("jti"),
        **changes,
    }
    protected = {"alg": "ES256", "kid": "k1", "typ": "JWT", **(header or {})}
    body = json.dumps({name: value for name, value in claims.items() if value is not None}).encode()
    return jws.serialize_compact(protected, body, key, algorithms=["ES256", "RS256", "HS256"])


def present(scene: Scene, client_assertion: str, **more: str) -> Answer:
    return scene.call(
        "token",
        {
            "grant_type": "client_credentials",
            "resource": TICKETS,
            "scope": "tickets:read",
            "client_assertion_type": ASSERTION,
            "client_assertion": client_assertion,
            **more,
        },
    )


def test_the_honest_assertion_works(keyed: Scene) -> None:
    assert present(keyed, assertion(keyed)).status == 200
    typed = assertion(keyed, header={"typ": "client-authentication+jwt"}, aud=[keyed.tenant.issuer])
    assert present(keyed, typed).status == 200


def test_o33_an_assertion_counts_once(keyed: Scene) -> None:
    one = assertion(keyed)
    assert present(keyed, one).status == 200
    replayed = present(keyed, one)
    assert (replayed.status, replayed.error) == (401, "invalid_client")


def test_o33_an_assertion_stays_used_when_its_request_is_refused(keyed: Scene) -> None:
    """A refused refresh gives its token back, but never the assertion that came with it."""
    one = assertion(keyed)
    refused = present(keyed, one, grant_type="refresh_token", refresh_token="unknown")
    assert refused.error == "invalid_grant"
    assert present(keyed, one).error == "invalid_client"
    assert present(keyed, assertion(keyed)).status == 200


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"exp": None}, id="O33-no-exp"),
        pytest.param({"exp": 1}, id="O33-expired"),
        pytest.param({"exp": 2**40}, id="O33-far-exp"),
        pytest.param({"aud": "https://other.example"}, id="O33-other-audience"),
        pytest.param({"aud": ["https://other.example", "http://127.0.0.1:8080/t/acme"]}, id="WI-01-two"),
        pytest.param({"aud": "http://127.0.0.1:8080/t/acme/token"}, id="WI-01-token-endpoint"),
        pytest.param({"aud": None}, id="O33-no-audience"),
        pytest.param({"jti": None}, id="O33-no-jti"),
        pytest.param({"jti": 7}, id="O33-number-as-jti"),
        pytest.param({"iss": "cli_a"}, id="iss-differs"),
        pytest.param({"sub": "cli_a"}, id="sub-is-another-client"),
        pytest.param({"iat": 2**33}, id="from-the-future"),
        pytest.param({"header": {"typ": "at+jwt"}}, id="O35-access-token-typ"),
        pytest.param({"header": {"typ": "logout+jwt"}}, id="O35-logout-token-typ"),
        pytest.param({"header": {"kid": "k2"}}, id="O05-unknown-kid"),
        pytest.param({"key": ECKey.generate_key("P-256")}, id="A24-other-key"),
    ],
)
def test_o33_a_wrong_assertion_is_refused(keyed: Scene, changes: dict[str, Any]) -> None:
    refused = present(keyed, assertion(keyed, **changes))
    assert (refused.status, refused.error) == (401, "invalid_client")
    assert present(keyed, assertion(keyed)).status == 200


def test_o01_to_o07_a_forged_assertion_is_refused(keyed: Scene) -> None:
    for attack, forged in forgeries(assertion(keyed), KEY.as_dict(private=False)):
        refused = present(keyed, forged)
        assert refused.error in {"invalid_client", "invalid_request"}, attack
    assert present(keyed, assertion(keyed)).status == 200


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(OctKey.generate_key(256, {"kid": "k1"}), id="O40-symmetric"),
        pytest.param(RSAKey.generate_key(1024, {"kid": "k1"}), id="O40-small-rsa"),
    ],
)
def test_o40_a_weak_registered_key_never_verifies(keyed: Scene, key: Any) -> None:
    """Even if such a key got into the row, it is not admitted."""
    jwks = {"keys": [key.as_dict(private=key.key_type == "oct")]}
    keyed.world.client(
        keyed.tenant, "cli_weak", agent=keyed.agents["a"], auth_method="private_key_jwt", jwks=jwks
    )
    algorithm = "HS256" if key.key_type == "oct" else "RS256"
    weak = assertion(keyed, key=key, header={"alg": algorithm}, iss="cli_weak", sub="cli_weak")
    assert present(keyed, weak).error == "invalid_client"


@pytest.mark.parametrize(
    ("more", "client"),
    [
        pytest.param({"client_id": "cli_a"}, None, id="client-id-differs"),
        pytest.param({"client_secret": "x"}, None, id="secret-in-the-body-too"),
        pytest.param({"client_assertion_type": "urn:x"}, None, id="assertion-type"),
    ],
)
def test_one_method_at_a_time(keyed: Scene, more: dict[str, str], client: str | None) -> None:
    assert present(keyed, assertion(keyed), **more).error == "invalid_client"
    assert present(keyed, assertion(keyed), client_id="cli_key").status == 200


def test_a_confidential_client_is_not_public(scene: Scene) -> None:
    params = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": "cli_a"}
    assert scene.call("token", params).error == "invalid_client"


# -- one kind of token where another belongs ----------------------------------------------------------


def userinfo(scene: Scene, token: str) -> Answer:
    request = PlainRequest("GET", "/", "", {"authorization": f"Bearer {token}"}, b"", scene.world.ctx)
    return Answer(answer(scene.world.rt, scene.slug, "userinfo", request))


def test_o35_only_the_diagonal_passes(scene: Scene) -> None:
    """Each thing we issue, sent to every door but its own."""
    scene.consent("cli_a", ["openid", "email", "profile"])
    onward = scene.authorize(scene.session(), scope="openid email profile", resource=None, nonce="n-1")
    answered = scene.redeem(parse_qs(urlsplit(onward.location).query)["code"][0])
    issued = {
        "id_token": answered.json["id_token"],
        "refresh_token": answered.json["refresh_token"],
        "userinfo_token": answered.token,
        "resource_token": scene.person_token(),
    }
    assert claims_of(issued["id_token"])["nonce"] == "n-1"
    passes = {
        (kind, door)
        for kind, token in issued.items()
        for door, accepted in {
            "userinfo": userinfo(scene, token).status == 200,
            "introspect": scene.introspect(token) != {"active": False},
            "exchange": scene.exchange(token, "a").status == 200,
            "refresh": scene.call(
                "token", {"grant_type": "refresh_token", "refresh_token": token}, client="cli_a"
            ).status
            == 200,
            "assertion": present(scene, token).status == 200,
            "code": scene.redeem(token).status == 200,
        }.items()
        if accepted
    }
    assert passes == {
        ("userinfo_token", "userinfo"),
        ("userinfo_token", "exchange"),
        ("resource_token", "introspect"),
        ("resource_token", "exchange"),
        ("refresh_token", "refresh"),
    }


def test_a_resource_that_calls_a_scope_openid_opens_no_profile(scene: Scene) -> None:
    """A resource may name its scopes as it likes; userinfo is opened by a token for userinfo only."""
    words = {"openid": {"description": "Open the tickets", "effect": "read"}}
    scene.world.resource(scene.tenant, "https://mcp.open.example/mcp", scopes=words)
    odd = scene.world.agent(
        scene.tenant, "odd", scopes=["openid"], resources=["https://mcp.open.example/mcp"]
    )
    scene.world.client(scene.tenant, "cli_odd", agent=odd)
    params = {
        "grant_type": "client_credentials",
        "resource": "https://mcp.open.example/mcp",
        "scope": "openid",
    }
    token = scene.call("token", params, client="cli_odd").token
    assert claims_of(token)["scope"] == "openid"
    assert userinfo(scene, token).status == 401


def test_userinfo_tells_what_the_scopes_open(scene: Scene) -> None:
    scene.consent("cli_a", ["openid", "email"])
    onward = scene.authorize(scene.session(), scope="openid email", resource=None)
    token = scene.redeem(parse_qs(urlsplit(onward.location).query)["code"][0]).token
    told = userinfo(scene, token).json
    assert told["sub"] == scene.maya
    assert told["email"] == "maya@acme.example"
    assert told["email_verified"] is False
    assert "name" not in told
    challenge = dict(userinfo(scene, "nonsense").reply.headers)["WWW-Authenticate"]
    assert 'error="invalid_token"' in challenge

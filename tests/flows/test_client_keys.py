"""Clients that publish keys must prove themselves; grants without a browser are for them alone."""

from typing import Any

from broker.agents.models import Client
from broker.oauth.client_upkeep import look_after_clients
from tests.builders.oauth import ACCESS_TOKEN, VERIFIER, claims_of
from tests.builders.oidc_op import compact, ec_key
from tests.builders.onboarding import OnboardingDesk
from tests.builders.published_clients import CLIENT_ID, REDIRECT_URI, document, policy
from tests.builders.world import TICKETS, TOKEN_EXCHANGE

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def key_assertion(
    key: Any, audience: str = "http://127.0.0.1:8080/t/acme", *, now: int, jti: str = "j-1"
) -> str:
    claims = {"iss": CLIENT_ID, "sub": CLIENT_ID, "aud": audience, "exp": now + 60, "iat": now, "jti": jti}
    return compact({"alg": "ES256", "kid": key.kid, "typ": "JWT"}, claims, key)


def keyed(desk: OnboardingDesk, **changes: Any) -> Any:
    """Publish a client that proves itself by key, and admit grants without a person."""
    key = ec_key("k1")
    grants = ["authorization_code", "client_credentials", TOKEN_EXCHANGE]
    desk.set_policy(**policy(grant_types=grants))
    given = {
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": {"keys": [key.as_dict(private=False)]},
        "grant_types": grants,
        **changes,
    }
    desk.web.put(CLIENT_ID, document(**given))
    return key


def proof(desk: OnboardingDesk, key: Any, jti: str = "j-1", **changes: Any) -> dict[str, str]:
    made = key_assertion(key, now=desk.site.world.now, jti=jti, **changes)
    return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": made}


def test_cimd_07_a_client_with_keys_must_prove_itself(desk: OnboardingDesk) -> None:
    key = keyed(desk)
    code = desk.code(desk.site.browser())
    stolen = desk.token(
        grant_type="authorization_code", code=code, redirect_uri=REDIRECT_URI, code_verifier=VERIFIER
    )
    assert (stolen.status_code, stolen.json["error"]) == (401, "invalid_client")
    forged = desk.token(grant_type="client_credentials", resource=TICKETS, **proof(desk, ec_key("k1")))
    assert forged.status_code == 401
    elsewhere = proof(desk, key, audience="https://other.example")
    assert desk.token(grant_type="client_credentials", resource=TICKETS, **elsewhere).status_code == 401
    assert desk.redeem(code, **proof(desk, key))["access_token"]
    again = desk.token(grant_type="client_credentials", resource=TICKETS, **proof(desk, key))
    assert again.status_code == 401


def test_cimd_07_keys_at_an_address_are_read_kept_and_asked_for_rarely(desk: OnboardingDesk) -> None:
    keys_url = "https://app.example/keys"
    key = keyed(desk, jwks=None, jwks_uri=keys_url)

    def call(with_key: Any, jti: str) -> int:
        params = proof(desk, with_key, jti)
        return desk.token(grant_type="client_credentials", resource=TICKETS, **params).status_code

    assert call(key, "a") == 401
    desk.web.put(keys_url, {"keys": [key.as_dict(private=False)]})
    assert [call(key, one) for one in "bc"] == [200, 200]
    asked = desk.web.asked.count(keys_url)
    next_key = ec_key("k2")
    assert [call(next_key, one) for one in "def"] == [401, 401, 401]
    assert desk.web.asked.count(keys_url) == asked
    desk.web.put(keys_url, {"keys": [next_key.as_dict(private=False)]})
    desk.later(61)
    assert call(next_key, "g") == 200
    assert call(key, "h") == 401
    desk.web.put(keys_url, {"keys": [{**key.as_dict(private=True), "kid": "k3"}]})
    desk.later(61)
    assert call(ec_key("k3"), "i") == 401


def test_cimd_07_the_one_algorithm_that_it_names_holds(desk: OnboardingDesk) -> None:
    key = keyed(desk, token_endpoint_auth_signing_alg="EdDSA")
    refused = desk.token(grant_type="client_credentials", resource=TICKETS, **proof(desk, key))
    assert refused.status_code == 401
    keyed_again = keyed(desk, token_endpoint_auth_signing_alg="ES256")
    desk.later(601)
    look_after_clients(desk.site.rt)
    allowed = desk.token(grant_type="client_credentials", resource=TICKETS, **proof(desk, keyed_again, "j-2"))
    assert allowed.status_code == 200, allowed.text


def test_cimd_11_grants_without_a_browser_work_for_an_address(desk: OnboardingDesk) -> None:
    key = keyed(desk)
    assert desk.rows(Client) == 0
    own = desk.token(
        grant_type="client_credentials", resource=TICKETS, scope="tickets:read", **proof(desk, key)
    )
    assert own.status_code == 200, own.text
    assert claims_of(own.json["access_token"])["client_id"] == CLIENT_ID
    narrowed = desk.token(
        grant_type=TOKEN_EXCHANGE,
        subject_token=own.json["access_token"],
        subject_token_type=ACCESS_TOKEN,
        scope="tickets:read",
        resource=TICKETS,
        **proof(desk, key, "j-2"),
    )
    assert narrowed.status_code == 200, narrowed.text


def test_cimd_11_no_grant_beyond_the_policy_and_none_for_the_unproven(desk: OnboardingDesk) -> None:
    desk.web.put(CLIENT_ID, document(grant_types=["authorization_code", "client_credentials"]))
    desk.set_policy(**policy(grant_types=["authorization_code", "client_credentials"]))
    refused = desk.token(grant_type="client_credentials", resource=TICKETS)
    assert (refused.status_code, refused.json["error"]) == (400, "unauthorized_client")
    assert desk.client().grant_types == ["authorization_code"]
    unknown = desk.token(client_id="https://nobody.example/c.json", grant_type="client_credentials")
    assert (unknown.status_code, unknown.json["error"]) == (401, "invalid_client")

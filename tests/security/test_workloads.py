"""Agents that a platform vouches for: WIF-01 to WIF-05, WI-01 to WI-03, WI-06, CC-01 to CC-03."""

from typing import Any

import pytest
from joserfc.jwk import ECKey

from broker.discovery.metadata import server_metadata
from tests.builders.foreign_issuer import ALL_GRANTS, JWT_BEARER, ForeignIssuer, redeem
from tests.builders.forgery import forgeries
from tests.builders.oauth import Answer, Scene, claims_of
from tests.builders.trusts import trust
from tests.builders.world import TICKETS

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
OTHER_KEY = ECKey.generate_key("P-256", {"kid": "f1", "use": "sig"})
SUBJECT = "system:serviceaccount:agents:a"


@pytest.fixture
def cluster() -> ForeignIssuer:
    return ForeignIssuer("https://oidc.cluster.example")


@pytest.fixture
def vouched(scene: Scene, cluster: ForeignIssuer) -> Scene:
    """The scene, with a client that has no credential but its workload."""
    for name in ("wl", "wl2"):
        scene.world.client(
            scene.tenant,
            f"cli_{name}",
            agent=scene.agents["a" if name == "wl" else "b"],
            auth_method="trusted_assertion",
            grant_types=ALL_GRANTS,
        )
    enter(scene, cluster)
    return scene


def enter(scene: Scene, cluster: ForeignIssuer, slug: str = "workload-a", **changes: Any) -> None:
    config = {"issuer": cluster.issuer, "subject": SUBJECT, "client": "cli_wl", "jwks": cluster.jwks}
    trust(scene, "workload", slug, **{**config, **changes})


def ask(scene: Scene, token: str, **changes: Any) -> Answer:
    given = {"resource": TICKETS, "scope": "tickets:read", **changes}
    return redeem(scene, token, client=None, **given)


def by_client_assertion(scene: Scene, token: str, **changes: Any) -> Answer:
    params = {
        "grant_type": "client_credentials",
        "client_assertion": token,
        "client_assertion_type": ASSERTION,
        "resource": TICKETS,
        "scope": "tickets:read",
        **changes,
    }
    return scene.call("token", params)


@pytest.mark.parametrize("name", ["WIF-01", "WI-02"])
def test_a_workload_gets_its_agents_own_token(vouched: Scene, cluster: ForeignIssuer, name: str) -> None:
    answer = ask(vouched, cluster.workload(vouched))
    claims = claims_of(answer.token)
    assert (claims["sub"], claims["client_id"]) == (vouched.agents["a"].id, "cli_wl")
    assert claims["sub_profile"] == "ai_agent"
    assert claims["scope"] == "tickets:read"
    assert "act" not in claims
    assert "roles" not in claims
    assert "refresh_token" not in answer.json
    assert vouched.introspect(answer.token)["active"] is True
    assert ask(vouched, cluster.workload(vouched), client_id="cli_wl").status == 200


ATTACKS: dict[str, dict[str, Any]] = {
    "WIF-02-no-iss": {"iss": None},
    "WIF-02-no-sub": {"sub": None},
    "WIF-02-no-aud": {"aud": None},
    "WIF-02-no-exp": {"exp": None},
    "WIF-02-wrong-aud": {"aud": "https://kubernetes.default.svc"},
    "WIF-02-two-audiences": {"aud": ["http://127.0.0.1:8080/t/acme", "https://other.example"]},
    "WIF-02-expired": {"iat": 1_795_500_000, "exp": 1_795_500_300},
    "WIF-02-lives-too-long": {"exp": 1_795_503_600 + 7200},
    "WIF-02-sub-is-a-list": {"sub": [SUBJECT]},
    "WI-02-other-issuer": {"iss": "https://evil.example"},
    "WI-02-issuer-prefix": {"iss": "https://oidc.cluster.example.evil.example"},
    "WI-02-our-own-issuer": {"iss": "http://127.0.0.1:8080/t/acme"},
    "WI-02-subject-with-a-tail": {"sub": SUBJECT + ":admin"},
    "WI-02-subject-with-a-head": {"sub": "x:" + SUBJECT},
    "WI-02-subject-with-a-line-break": {"sub": SUBJECT + "\n"},
    "WI-06-same-cluster-other-workload": {"sub": "system:serviceaccount:agents:other"},
    "WI-02-typ-of-an-access-token": {"header": {"typ": "at+jwt"}},
    "WI-02-typ-of-an-id-jag": {"header": {"typ": "id-jag+jwt"}},
    "WIF-03-other-key": {"key": OTHER_KEY},
}


@pytest.mark.parametrize("changes", ATTACKS.values(), ids=ATTACKS)
def test_a_workload_that_is_not_entered_is_refused(
    vouched: Scene, cluster: ForeignIssuer, changes: dict[str, Any]
) -> None:
    refused = ask(vouched, cluster.workload(vouched, **changes))
    assert (refused.status, refused.error) == (400, "invalid_grant")
    assert by_client_assertion(vouched, cluster.workload(vouched, **changes)).error == "invalid_client"
    assert ask(vouched, cluster.workload(vouched)).status == 200


def test_o01_to_o07_a_forged_workload_token_is_refused(vouched: Scene, cluster: ForeignIssuer) -> None:
    token = cluster.workload(vouched)
    for attack, forged in forgeries(token, dict(cluster.jwks["keys"][0])):
        assert ask(vouched, forged).status == 400, attack
    assert ask(vouched, token).status == 200


def test_wif_02_a_workload_token_counts_once_unless_the_entry_says_otherwise(
    vouched: Scene, cluster: ForeignIssuer
) -> None:
    for token in (cluster.workload(vouched), cluster.workload(vouched, jti=None)):
        assert ask(vouched, token).status == 200
        assert ask(vouched, token).error == "invalid_grant"
        assert by_client_assertion(vouched, token).error == "invalid_client"
    enter(vouched, cluster, reuse=True)
    hourly = cluster.workload(vouched)
    assert [ask(vouched, hourly).status for _ in range(3)] == [200, 200, 200]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"scope": "tickets:write"}, "invalid_scope", id="WIF-04-scope"),
        pytest.param({"resource": "https://evil.example/mcp"}, "invalid_target", id="WIF-04-resource"),
        pytest.param({"client_id": "cli_wl2"}, "invalid_client", id="WIF-05-other-client"),
        pytest.param({"client_id": "cli_a"}, "invalid_client", id="WIF-05-client-with-a-secret"),
    ],
)
def test_a_workload_gets_no_more_than_its_agent(
    vouched: Scene, cluster: ForeignIssuer, changes: dict[str, str], error: str
) -> None:
    assert ask(vouched, cluster.workload(vouched), **changes).error == error
    assert ask(vouched, cluster.workload(vouched)).status == 200


def test_wif_05_a_client_that_may_not_use_the_grant_is_told_so(
    vouched: Scene, cluster: ForeignIssuer
) -> None:
    vouched.world.client(
        vouched.tenant,
        "cli_narrow",
        agent=vouched.agents["a"],
        auth_method="trusted_assertion",
        grant_types=["client_credentials"],
    )
    enter(vouched, cluster, slug="narrow", subject="job:narrow", client="cli_narrow")
    assert ask(vouched, cluster.workload(vouched, sub="job:narrow")).error == "unauthorized_client"
    assert by_client_assertion(vouched, cluster.workload(vouched, sub="job:narrow")).status == 200


def test_wi_02_a_pattern_is_anchored_and_stays_within_one_part(
    vouched: Scene, cluster: ForeignIssuer
) -> None:
    enter(vouched, cluster, subject="system:serviceaccount:agents:a-*")
    assert ask(vouched, cluster.workload(vouched, sub="system:serviceaccount:agents:a-7f9c")).status == 200
    for subject in (
        "system:serviceaccount:agents:a-",
        "system:serviceaccount:agents:a-1:b",
        "system:serviceaccount:agents:a-1/b",
        "system:serviceaccount:agentsXa-1",
        "x-system:serviceaccount:agents:a-1",
    ):
        assert ask(vouched, cluster.workload(vouched, sub=subject)).error == "invalid_grant", subject


def test_wi_06_one_workload_is_one_agent(vouched: Scene, cluster: ForeignIssuer) -> None:
    enter(vouched, cluster, "workload-b", client="cli_wl2", subject="system:serviceaccount:agents:*")
    assert ask(vouched, cluster.workload(vouched)).error == "invalid_grant"
    other = cluster.workload(vouched, sub="system:serviceaccount:agents:b")
    assert claims_of(ask(vouched, other).token)["sub"] == vouched.agents["b"].id


@pytest.mark.parametrize("name", ["CC-03", "WI-01"])
def test_an_enterprises_assertion_authenticates_a_client(
    vouched: Scene, cluster: ForeignIssuer, name: str
) -> None:
    """RFC 7521: what the platform signed is the client's assertion; ``client_id`` need not be sent."""
    answer = by_client_assertion(vouched, cluster.workload(vouched))
    assert claims_of(answer.token)["sub"] == vouched.agents["a"].id
    token = cluster.workload(vouched)
    assert by_client_assertion(vouched, token, client_id="cli_wl").status == 200
    assert by_client_assertion(vouched, token, client_id="cli_wl").error == "invalid_client"
    assert (
        by_client_assertion(vouched, cluster.workload(vouched), client_id="cli_a").error == "invalid_client"
    )


def test_a_client_without_a_credential_cannot_be_used_by_its_name(vouched: Scene) -> None:
    params = {"grant_type": "client_credentials", "resource": TICKETS, "client_id": "cli_wl"}
    assert vouched.call("token", params).error == "invalid_client"
    assert vouched.call("token", params, client="cli_wl").error == "invalid_client"


def test_a_workload_is_no_assertion_beside_another_credential(vouched: Scene, cluster: ForeignIssuer) -> None:
    vouched.world.client(vouched.tenant, "cli_other", agent=vouched.agents["b"], grant_types=ALL_GRANTS)
    refused = redeem(vouched, cluster.workload(vouched), client="cli_other", resource=TICKETS)
    assert refused.error == "invalid_grant"
    assert ask(vouched, cluster.workload(vouched)).status == 200


@pytest.mark.parametrize("name", ["CC-01", "CC-02"])
def test_client_credentials_are_told_in_metadata(scene: Scene, cluster: ForeignIssuer, name: str) -> None:
    told = server_metadata(scene.world.rt, scene.tenant)
    assert {"private_key_jwt", "client_secret_basic"} <= set(told["token_endpoint_auth_methods_supported"])
    assert "ES256" in told["token_endpoint_auth_signing_alg_values_supported"]
    assert JWT_BEARER not in told["grant_types_supported"]
    # The client is registered before, and names resource and scope itself.
    params = {"grant_type": "client_credentials", "resource": TICKETS, "scope": "tickets:read"}
    assert claims_of(scene.call("token", params, client="cli_a").token)["aud"] == TICKETS
    assert scene.call("token", params, client="cli_nobody").error == "invalid_client"

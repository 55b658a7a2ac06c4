"""Attacks on a resource server that uses the kit, each beside the request that must work."""

import hashlib
import hmac
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey, OctKey, RSAKey

from broker.resource_server import ClientCredentials, ResourceServer, TokenRefused
from tests.builders.token_issuer import AGENT, NOW, RESOURCE, ManualClock, TokenIssuer, segment

NOT_JSON = b'{"typ": NaN}'
CALLER = ClientCredentials("cli_tickets", "s3cret:with%odd chars")


def build(issuer: TokenIssuer, clock: ManualClock | None = None, **options: Any) -> ResourceServer:
    return ResourceServer(
        resource=RESOURCE,
        issuer="https://broker.example/t/acme",
        scopes_supported=["tickets:read", "tickets:create"],
        http=issuer.http(),
        clock=clock or ManualClock(),
        **options,
    )


def refusal_of(server: ResourceServer, token: str) -> TokenRefused:
    with pytest.raises(TokenRefused) as caught:
        server.verify(token)
    return caught.value


@pytest.fixture
def issuer() -> TokenIssuer:
    return TokenIssuer()


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "PS256", "RS256"])
def test_a_good_token_is_accepted_with_each_algorithm(issuer: TokenIssuer, algorithm: str) -> None:
    issuer.add_key("other", algorithm)
    token = build(issuer).verify(issuer.sign(kid="other", alg=algorithm))
    assert (token.subject, token.client_id, token.jti) == ("usr_maya", "cli_writer", "at_1")
    assert token.actor is not None
    assert token.actor.id == "agt_writer"
    assert (token.scopes, token.roles, token.expires_at) == ({"tickets:read"}, {"support"}, NOW + 300)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"aud": "https://other.example/mcp"}, "wrong_aud", id="O36-token-of-another-resource"),
        pytest.param({"aud": [RESOURCE, "https://other.example"]}, "wrong_aud", id="O36-second-audience"),
        pytest.param({"aud": RESOURCE + "/"}, "wrong_aud", id="O36-audience-with-a-slash"),
        pytest.param({"aud": None}, "wrong_aud", id="O36-no-audience"),
        pytest.param({"iss": "https://broker.example/t/other"}, "wrong_iss", id="A01-other-tenant"),
        pytest.param({"iss": "https://acme.okta.test"}, "wrong_iss", id="A01-upstream-idp-token"),
        pytest.param({"iss": "https://broker.example/t/acme/"}, "wrong_iss", id="issuer-with-a-slash"),
        pytest.param({"exp": NOW - 30}, "expired", id="expired"),
        pytest.param({"exp": True}, "bad_claim", id="exp-is-a-boolean"),
        pytest.param({"exp": str(NOW + 300)}, "bad_claim", id="exp-is-text"),
        pytest.param({"exp": None}, "bad_claim", id="never-expires"),
        pytest.param({"iat": NOW + 31}, "not_yet_valid", id="issued-in-the-future"),
        pytest.param({"nbf": NOW + 31}, "not_yet_valid", id="not-before-in-the-future"),
        pytest.param({"sub": ""}, "bad_claim", id="empty-subject"),
        pytest.param({"sub": 7}, "bad_claim", id="subject-is-a-number"),
        pytest.param({"client_id": None}, "bad_claim", id="no-client"),
        pytest.param({"jti": None}, "bad_claim", id="no-token-id"),
        pytest.param({"scope": ["tickets:read"]}, "bad_claim", id="scope-is-a-list"),
        pytest.param({"roles": "support"}, "bad_claim", id="roles-is-text"),
        pytest.param({"act": "agt_writer"}, "bad_act", id="act-is-text"),
        pytest.param({"act": {}}, "bad_act", id="act-is-empty"),
        pytest.param({"act": {"sub": "agt_writer"}}, "bad_act", id="act-without-issuer"),
        pytest.param({"act": {**AGENT, "act": None}}, "bad_act", id="act-ends-in-null"),
        pytest.param({"act": {**AGENT, "act": [AGENT]}}, "bad_act", id="act-is-a-list"),
    ],
)
def test_mcp_10_at_07_a_token_with_a_wrong_claim_is_refused(
    issuer: TokenIssuer, changes: dict[str, Any], reason: str
) -> None:
    server = build(issuer)
    refusal = refusal_of(server, issuer.sign(issuer.claims(**changes)))
    assert (refusal.status, refusal.error, refusal.reason) == (401, "invalid_token", reason)
    assert server.verify(issuer.sign()).subject == "usr_maya"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"exp": NOW - 29}, id="expired-within-the-skew"),
        pytest.param({"iat": NOW + 30, "nbf": NOW + 30}, id="issued-by-a-fast-clock"),
        pytest.param({"nbf": None}, id="without-nbf"),
        pytest.param({"aud": [RESOURCE]}, id="audience-as-a-list-of-one"),
        pytest.param({"act": None}, id="a-person-without-an-agent"),
    ],
)
def test_a_token_at_the_edge_is_accepted(issuer: TokenIssuer, changes: dict[str, Any]) -> None:
    assert build(issuer).verify(issuer.sign(issuer.claims(**changes))).subject == "usr_maya"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        pytest.param("JWT", "wrong_typ", id="O35-id-token-as-access-token"),
        pytest.param("logout+jwt", "wrong_typ", id="O35-logout-token"),
        pytest.param("dpop+jwt", "wrong_typ", id="O35-dpop-proof"),
        pytest.param("oauth-id-jag+jwt", "wrong_typ", id="O35-identity-assertion"),
        pytest.param(None, "wrong_typ", id="O35-no-typ"),
    ],
)
def test_at_08_another_kind_of_token_is_refused(issuer: TokenIssuer, kind: str | None, reason: str) -> None:
    server = build(issuer)
    assert refusal_of(server, issuer.sign(typ=kind)).reason == reason
    assert server.verify(issuer.sign(typ="application/at+jwt")).subject == "usr_maya"


@pytest.mark.parametrize("spelling", ["none", "None", "NONE", "nOnE"])
def test_o01_an_unsigned_token_is_refused(issuer: TokenIssuer, spelling: str) -> None:
    header = {"typ": "at+jwt", "alg": spelling, "kid": "k1"}
    server = build(issuer)
    assert refusal_of(server, f"{segment(header)}.{segment(issuer.claims())}.").reason == "not_a_jwt"
    assert refusal_of(server, f"{segment(header)}.{segment(issuer.claims())}.AA").reason == "wrong_alg"
    assert server.verify(issuer.sign()).subject == "usr_maya"


def test_o02_the_public_key_is_not_a_shared_secret(issuer: TokenIssuer) -> None:
    public = generate_private_key(65537, 2048)
    issuer.keys["rsa"] = RSAKey.import_key(public)
    pem = public.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = f"{segment({'typ': 'at+jwt', 'alg': 'HS256', 'kid': 'rsa'})}.{segment(issuer.claims())}"
    forged = f"{signed}.{segment(hmac.digest(pem, signed.encode(), hashlib.sha256))}"
    server = build(issuer)
    assert refusal_of(server, forged).reason == "wrong_alg"
    assert server.verify(issuer.sign(kid="rsa", alg="RS256")).subject == "usr_maya"


def test_an_algorithm_that_is_not_the_keys_is_refused(issuer: TokenIssuer) -> None:
    issuer.add_key("rsa", "PS256")
    issuer.published = [{**issuer.keys["rsa"].as_dict(private=False), "kid": "rsa", "alg": "PS256"}]
    server = build(issuer)
    assert refusal_of(server, issuer.sign(kid="rsa", alg="RS256")).reason == "wrong_alg"
    assert server.verify(issuer.sign(kid="rsa", alg="PS256")).subject == "usr_maya"


def test_o03_a_key_in_the_header_is_not_trusted(issuer: TokenIssuer) -> None:
    server = build(issuer)
    good = issuer.sign()
    thief = TokenIssuer()
    own_key = thief.keys["k1"].as_dict(private=False)
    forged = thief.sign(jwk=own_key, jku="https://evil.example/jwks", x5u="https://evil.example/x5u")
    assert refusal_of(server, forged).reason == "bad_signature"
    assert server.verify(good).subject == "usr_maya"
    assert {path.rsplit("/", 1)[0] for path in issuer.requests} == {
        "/.well-known/oauth-authorization-server/t",
        "/t/acme",
    }


def test_o06_critical_headers_are_refused(issuer: TokenIssuer) -> None:
    head, payload, signature = issuer.sign().split(".")
    server = build(issuer)
    for extra in ({"crit": ["b64"], "b64": False}, {"crit": []}, {"b64": True}):
        header = segment({"typ": "at+jwt", "alg": "ES256", "kid": "k1", **extra})
        assert refusal_of(server, f"{header}.{payload}.{signature}").reason == "unknown_critical_header"
    assert server.verify(f"{head}.{payload}.{signature}").subject == "usr_maya"


def test_o07_an_oversized_token_is_refused_before_anything_is_decoded(issuer: TokenIssuer) -> None:
    server = build(issuer)
    refusal = refusal_of(server, issuer.sign(issuer.claims(padding="x" * 20_000)))
    assert (refusal.reason, issuer.requests) == ("too_large", [])
    assert server.verify(issuer.sign(issuer.claims(padding="x" * 4_000))).subject == "usr_maya"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a.b", id="two-segments"),
        pytest.param("a.b.c.d.e", id="encrypted"),
        pytest.param("a=.b.c", id="padding"),
        pytest.param("a.b.c\n", id="trailing-newline"),
        pytest.param(f"{segment([1])}.{segment({})}.AA", id="header-is-a-list"),
        pytest.param(f"{segment(b'{bad')}.{segment({})}.AA", id="header-is-not-json"),
        pytest.param(f"{segment(b'[' * 5000)}.{segment({})}.AA", id="deeply-nested"),
        pytest.param(f"{segment(NOT_JSON)}.{segment({})}.AA", id="not-a-number"),
    ],
)
def test_a_text_that_is_no_jwt_is_refused(issuer: TokenIssuer, text: str) -> None:
    assert refusal_of(build(issuer), text).reason == "not_a_jwt"


def test_a_claim_that_occurs_twice_is_refused(issuer: TokenIssuer) -> None:
    claims = segment(b'{"iss":"a","sub":"usr_maya","sub":"usr_boss"}')
    header = segment({"typ": "at+jwt", "alg": "ES256", "kid": "k1"})
    assert refusal_of(build(issuer), f"{header}.{claims}.AA").reason == "not_a_jwt"


def test_a_changed_payload_is_refused(issuer: TokenIssuer) -> None:
    head, _, signature = issuer.sign().split(".")
    server = build(issuer)
    forged = f"{head}.{segment(issuer.claims(scope='tickets:create'))}.{signature}"
    assert refusal_of(server, forged).reason == "bad_signature"


@pytest.mark.parametrize("kid", ["", "x" * 201, 7, None, ["k1"]])
def test_o05_a_strange_kid_is_refused(issuer: TokenIssuer, kid: Any) -> None:
    header = segment({"typ": "at+jwt", "alg": "ES256", "kid": kid})
    assert refusal_of(build(issuer), f"{header}.{segment(issuer.claims())}.AA").reason == "no_kid"


def test_o05_a_key_name_that_occurs_twice_is_trusted_for_neither_key(issuer: TokenIssuer) -> None:
    thief, good = ECKey.generate_key("P-256"), issuer.keys["k1"]
    issuer.add_key("k2", "ES256")
    issuer.published = [{**key.as_dict(private=False), "kid": "k1"} for key in (thief, good)]
    issuer.published.append({**issuer.keys["k2"].as_dict(private=False), "kid": "k2"})
    server = build(issuer)
    assert refusal_of(server, issuer.sign()).reason == "unknown_kid"
    assert server.verify(issuer.sign(kid="k2")).subject == "usr_maya"


def test_weak_private_and_symmetric_keys_are_not_admitted(issuer: TokenIssuer) -> None:
    weak = RSAKey.import_key(generate_private_key(65537, 1024))
    good = issuer.keys["k1"].as_dict(private=False)
    issuer.published = [
        {**weak.as_dict(private=False), "kid": "weak"},
        {**OctKey.generate_key(256).as_dict(private=True), "kid": "secret"},
        {**ECKey.generate_key("P-256").as_dict(private=True), "kid": "private"},
        {**ECKey.generate_key("P-384").as_dict(private=False), "kid": "curve"},
        {**good, "kid": "encryption", "use": "enc"},
        {"kty": "EC", "crv": "P-256", "kid": "broken"},
        {**good, "kid": "k1"},
    ]
    server = build(issuer)
    for kid in ("weak", "secret", "private", "curve", "encryption", "broken"):
        header = segment({"typ": "at+jwt", "alg": "ES256", "kid": kid})
        assert refusal_of(server, f"{header}.{segment(issuer.claims())}.AA").reason == "unknown_kid"
    assert server.verify(issuer.sign()).subject == "usr_maya"


def test_a_flood_of_unknown_kids_makes_one_refresh(issuer: TokenIssuer) -> None:
    clock = ManualClock()
    server = build(issuer, clock)
    server.verify(issuer.sign())
    clock.at += 31
    for number in range(200):
        header = segment({"typ": "at+jwt", "alg": "ES256", "kid": f"invented-{number}"})
        assert refusal_of(server, f"{header}.{segment(issuer.claims())}.AA").reason == "unknown_kid"
    assert issuer.requests.count("/t/acme/jwks") == 2
    assert server.verify(issuer.sign()).subject == "usr_maya"


def test_metadata_of_another_issuer_gives_no_keys(issuer: TokenIssuer) -> None:
    issuer.metadata_issuer = "https://broker.example/t/acme/"
    refusal = refusal_of(build(issuer), issuer.sign())
    assert (refusal.status, refusal.reason) == (503, "keys_unavailable")
    issuer.metadata_issuer = issuer.issuer
    assert build(issuer).verify(issuer.sign()).subject == "usr_maya"


def test_tex_07_a_chain_is_read_whole_and_only_to_depth_eight(issuer: TokenIssuer) -> None:
    def nested(depth: int) -> dict[str, Any]:
        inner = {"act": nested(depth - 1)} if depth > 1 else {}
        return {"iss": issuer.issuer, "sub": f"agt_{depth}", **inner}

    server = build(issuer)
    token = server.verify(issuer.sign(issuer.claims(act=nested(8))))
    assert [actor.id for actor in token.chain] == [f"agt_{depth}" for depth in range(8, 0, -1)]
    assert refusal_of(server, issuer.sign(issuer.claims(act=nested(9)))).reason == "bad_act"


def test_act_10_a_resource_for_agents_refuses_a_persons_own_token(issuer: TokenIssuer) -> None:
    server = build(issuer, actor_required=True)
    assert refusal_of(server, issuer.sign(issuer.claims(act=None))).reason == "no_actor"
    assert server.verify(issuer.sign()).actor is not None
    assert server.metadata_document()["actor_profile_required"] is True


def introspected(issuer: TokenIssuer, **changes: Any) -> dict[str, Any]:
    return {**issuer.claims(), "active": True, "token_type": "Bearer", **changes}


def test_a25_a_revoked_token_is_refused_at_once(issuer: TokenIssuer) -> None:
    server = build(issuer, introspection=CALLER)
    token = issuer.sign()
    issuer.introspection = introspected(issuer)
    assert server.verify(token).subject == "usr_maya"
    issuer.introspection = {"active": False}
    refusal = refusal_of(server, token)
    assert (refusal.status, refusal.error, refusal.reason) == (401, "invalid_token", "inactive")
    assert issuer.forms[-1]["token"] == [token]
    assert issuer.authorizations[-1].startswith("Basic ")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"sub": "usr_boss"}, id="another-subject"),
        pytest.param({"aud": "https://other.example"}, id="another-audience"),
        pytest.param({"act": None}, id="without-the-actor"),
        pytest.param({"jti": "at_2"}, id="another-token"),
        pytest.param({"active": "true"}, id="active-is-text"),
    ],
)
def test_an_introspection_answer_about_something_else_is_refused(
    issuer: TokenIssuer, changes: dict[str, Any]
) -> None:
    server = build(issuer, introspection=CALLER)
    issuer.introspection = introspected(issuer, **changes)
    assert refusal_of(server, issuer.sign()).status == 401
    issuer.introspection = introspected(issuer, aud=[RESOURCE])
    assert server.verify(issuer.sign()).subject == "usr_maya"


def test_introspection_fails_closed_while_the_issuer_is_down(issuer: TokenIssuer) -> None:
    server = build(issuer, introspection=CALLER)
    issuer.introspection = introspected(issuer)
    server.verify(issuer.sign())
    issuer.is_up = False
    refusal = refusal_of(server, issuer.sign())
    assert (refusal.status, refusal.reason) == (503, "introspection_unavailable")


def test_a_token_in_the_url_is_refused(issuer: TokenIssuer) -> None:
    server = build(issuer)
    token = issuer.sign()
    for header in ([], [f"Bearer {token}"]):
        with pytest.raises(TokenRefused) as caught:
            server.authenticate(header, f"page=2&access_token={token}")
        assert (caught.value.status, caught.value.reason) == (400, "token_in_query")
    assert server.authenticate([f"Bearer {token}"], "page=2").subject == "usr_maya"


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        pytest.param([], 401, "", id="nothing"),
        pytest.param(["Basic dXNlcjpwdw=="], 401, "", id="another-scheme"),
        pytest.param(["Bearer"], 400, "invalid_request", id="no-token"),
        pytest.param(["Bearer a b"], 400, "invalid_request", id="two-tokens"),
        pytest.param(["Bearer a,b"], 400, "invalid_request", id="comma"),
        pytest.param(["Bearer a.b.c", "Bearer d.e.f"], 400, "invalid_request", id="two-headers"),
        pytest.param(["Bearer rubbish"], 401, "invalid_token", id="not-ours"),
    ],
)
def test_credentials_that_are_missing_or_malformed(
    issuer: TokenIssuer, headers: list[str], status: int, error: str
) -> None:
    server = build(issuer)
    with pytest.raises(TokenRefused) as caught:
        server.authenticate(headers, "")
    assert (caught.value.status, caught.value.error) == (status, error)
    assert server.authenticate([f"bearer  {issuer.sign()}"], "").subject == "usr_maya"


def test_nothing_that_an_application_gets_contains_the_token(issuer: TokenIssuer) -> None:
    text = issuer.sign()
    token = build(issuer).verify(text)
    assert text not in repr(token)
    assert text.split(".")[2] not in str(dict(token.claims))
    with pytest.raises(TypeError):
        token.claims["sub"] = "usr_boss"  # type: ignore[index]

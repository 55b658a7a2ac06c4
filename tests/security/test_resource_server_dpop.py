"""Bound tokens at a resource (RFC 9449 §7): DP-01, 07, 08, MDP-03 to MDP-07, PRM-02, 03, MCP-08, 09."""

import asyncio
from typing import Any

import httpx2
import pytest
from flask import Flask
from joserfc.jwk import OctKey
from werkzeug.test import Client as WsgiClient

from broker.resource_server import (
    DpopPolicy,
    MemoryReplayMarks,
    RequestFacts,
    ResourceServer,
    SignIn,
    TokenRefused,
)
from broker.resource_server.asgi_adapter import ProtectedAsgi
from broker.resource_server.flask_adapter import protect, requires
from broker.resource_server.mcp_adapter import ProtectedMcp
from broker.resource_server.wsgi_adapter import ProtectedWsgi
from tests.builders.proofs import Prover
from tests.builders.token_issuer import NOW, RESOURCE, ManualClock, TokenIssuer

KEY = Prover()
ISSUER = TokenIssuer()
SCOPES = ["tickets:read"]


def make(policy: DpopPolicy | None = None, clock: ManualClock | None = None) -> ResourceServer:
    return ResourceServer(
        resource=RESOURCE,
        issuer=ISSUER.issuer,
        scopes_supported=SCOPES,
        dpop=policy,
        http=ISSUER.http(),
        clock=clock or ManualClock(),
    )


def bound(prover: Prover = KEY, **changes: Any) -> str:
    return ISSUER.sign(ISSUER.claims(cnf={"jkt": prover.jkt}, **changes))


def proof(token: str, prover: Prover = KEY, **changes: Any) -> str:
    given = {"method": "POST", "url": RESOURCE, "now": NOW, "token": token, **changes}
    return prover.proof(given.pop("method"), given.pop("url"), **given)


def ask(server: ResourceServer, token: str, *proofs: str, scheme: str = "DPoP", path: str = "/mcp") -> str:
    """Return the subject of the accepted token."""
    facts = RequestFacts("POST", path, proofs)
    return server.authenticate([f"{scheme} {token}"], "", SCOPES, facts=facts).subject


def refusal(server: ResourceServer, token: str, *proofs: str, **how: str) -> TokenRefused:
    with pytest.raises(TokenRefused) as caught:
        ask(server, token, *proofs, **how)
    return caught.value


def test_mdp_03_a_bound_token_with_its_proof_is_accepted() -> None:
    server = make()
    for algorithm in ("ES256", "EdDSA", "PS256", "RS256"):
        key = Prover(algorithm)
        token = bound(key)
        assert ask(server, token, proof(token, key)) == "usr_maya"
    assert ask(server, ISSUER.sign(), scheme="Bearer") == "usr_maya"


FAULTY: list[tuple[str, dict[str, Any]]] = [
    ("other_token", {"token": "another"}),
    ("other_token", {"ath": None}),
    ("other_request", {"method": "GET"}),
    ("other_request", {"url": f"{RESOURCE}/tools"}),
    ("other_request", {"url": "https://evil.example/mcp"}),
    ("other_request", {"url": "http://mcp.tickets.example/mcp"}),
    ("other_request", {"url": "https://mcp.tickets.example:8443/mcp"}),
    ("other_request", {"url": "https://mcp.tickets.example:port/mcp"}),
    ("other_request", {"url": "https://mcp.tickets.example@evil.example/mcp"}),
    ("other_request", {"htu": None}),
    ("stale", {"iat": NOW - 301}),
    ("stale", {"iat": NOW + 301}),
    ("stale", {"iat": float("nan")}),
    ("no_iat", {"iat": None}),
    ("no_iat", {"iat": True}),
    ("no_jti", {"jti": None}),
    ("no_jti", {"jti": "j" * 257}),
    ("wrong_header", {"header": {"typ": "at+jwt"}}),
    ("wrong_header", {"header": {"crit": ["x"], "x": 1}}),
    ("no_key", {"header": {"jwk": None}}),
    ("no_key", {"header": {"jwk": dict(KEY.key.as_dict(private=True))}}),
    ("no_key", {"header": {"jwk": OctKey.generate_key(256).as_dict()}}),
    ("bad_signature", {"header": {"jwk": Prover().jwk}}),
]


def test_mdp_04_a_faulty_proof_is_refused_with_a_challenge() -> None:
    server, token = make(), bound()
    for reason, changes in FAULTY:
        refused = refusal(server, token, proof(**{"token": token, **changes}))
        # NaN is not JSON and is refused as text; the reason is the stricter one.
        assert refused.reason in {reason, "not_a_jwt"}, changes
        assert (refused.status, refused.error) == (401, "invalid_dpop_proof"), changes
    challenge = server.challenge(refused)
    assert challenge.startswith('DPoP error="invalid_dpop_proof"')
    assert 'algs="ES256 EdDSA PS256 RS256"' in challenge
    assert 'resource_metadata="https://mcp.tickets.example/.well-known/' in challenge
    for url in (f"{RESOURCE}?x=1#part", "HTTPS://MCP.tickets.example:443/mcp", f"{RESOURCE[:-1]}%70"):
        assert ask(server, token, proof(token, url=url)) == "usr_maya"


def test_mdp_04_another_key_proves_nothing() -> None:
    token = bound()
    assert refusal(make(), token, proof(token, Prover())).reason == "key_differs"
    assert refusal(make(), token).reason == "no_proof"
    assert refusal(make(), token, "rubbish").reason == "not_a_jwt"
    assert refusal(make(), token, "x" * 10_000).reason == "not_a_jwt"
    assert ask(make(), token, proof(token)) == "usr_maya"


def test_dp_01_two_proofs_are_one_too_many() -> None:
    token = bound()
    for sent in ((proof(token), proof(token)), (f"{proof(token)}, {proof(token)}",)):
        refused = refusal(make(), token, *sent)
        assert (refused.status, refused.reason) == (400, "several_proofs")


@pytest.mark.parametrize("age", [0, -300, 300])
def test_mdp_05_a_proof_counts_once_within_its_window(age: int) -> None:
    server, token = make(), bound()
    one = proof(token, iat=NOW - age)
    assert ask(server, token, one) == "usr_maya"
    assert refusal(server, token, one).reason == "replayed"
    assert ask(server, token, proof(token)) == "usr_maya"


def test_mdp_05_marks_are_kept_until_the_proof_is_stale() -> None:
    clock = ManualClock()
    marks = MemoryReplayMarks(limit=2, clock=clock)
    assert marks.spend("a", NOW + 300)
    assert marks.spend("b", NOW + 10)
    assert not marks.spend("a", NOW + 300)
    # Full of marks that are alive: nothing new is let in, and nothing old is forgotten.
    assert not marks.spend("c", NOW + 300)
    clock.at = NOW + 11
    assert marks.spend("c", NOW + 300)
    assert not marks.spend("a", NOW + 300)


def test_dp_07_a_bound_token_is_no_bearer_token() -> None:
    server, token = make(), bound()
    refused = refusal(server, token, proof(token), scheme="Bearer")
    assert (refused.status, refused.error, refused.reason) == (401, "invalid_token", "not_bound")
    assert server.challenge(refused).startswith('DPoP error="invalid_token"')
    with pytest.raises(TokenRefused):
        server.verify(token)
    assert refusal(server, ISSUER.sign(), proof(ISSUER.sign())).reason == "not_bound"
    assert server.verify(ISSUER.sign()).jkt == ""


@pytest.mark.parametrize(
    "cnf",
    [
        pytest.param({"x5t#S256": "abc"}, id="certificate"),
        pytest.param({}, id="empty"),
        pytest.param({"jkt": ""}, id="empty-thumbprint"),
        pytest.param({"jkt": 7}, id="number"),
        pytest.param("jkt", id="text"),
        pytest.param({"jkt": KEY.jkt, "x5t#S256": "abc"}, id="two-bindings"),
    ],
)
def test_a_binding_that_is_not_understood_is_not_ignored(cnf: Any) -> None:
    token = ISSUER.sign({**ISSUER.claims(), "cnf": cnf})
    assert refusal(make(), token, scheme="Bearer").reason == "unknown_binding"
    assert refusal(make(), token, proof(token)).reason == "unknown_binding"


def test_mdp_02_prm_03_a_resource_may_refuse_bearer_tokens() -> None:
    server, token = make(DpopPolicy(is_required=True)), bound()
    assert refusal(server, ISSUER.sign(), scheme="Bearer").reason == "not_bound"
    assert ask(server, token, proof(token)) == "usr_maya"
    with pytest.raises(TokenRefused) as caught:
        server.authenticate([], "")
    assert server.challenge(caught.value).startswith("DPoP resource_metadata=")


def test_prm_02_and_mdp_01_the_metadata_says_what_is_wanted() -> None:
    for policy, is_required in ((None, False), (DpopPolicy(is_required=True), True)):
        told = make(policy).metadata_document()
        assert told["dpop_bound_access_tokens_required"] is is_required
        assert told["dpop_signing_alg_values_supported"] == ["ES256", "EdDSA", "PS256", "RS256"]


def test_mdp_06_a_nonce_is_demanded_and_given() -> None:
    clock = ManualClock()
    server, token = make(DpopPolicy(nonce_key=b"k" * 32), clock), bound()
    for nonce in (None, "x", ["x"]):
        refused = refusal(server, token, proof(token, nonce=nonce))
        assert (refused.status, refused.error) == (401, "use_dpop_nonce")
    status, headers, _ = server.refusal_reply(refused)
    nonce = dict(headers)["DPoP-Nonce"]
    assert status == 401
    # Another process with the same key gave it.
    other = make(DpopPolicy(nonce_key=b"k" * 32), clock)
    assert ask(other, token, proof(token, nonce=nonce)) == "usr_maya"
    clock.at = NOW + 241
    assert refusal(server, token, proof(token, nonce=nonce)).error == "use_dpop_nonce"


def test_mdp_07_the_audience_still_counts() -> None:
    token = bound(aud="https://other.example/mcp")
    refused = refusal(make(), token, proof(token))
    assert (refused.error, refused.reason) == ("invalid_token", "wrong_aud")


def test_dp_08_the_address_is_that_of_the_configuration() -> None:
    server, token = make(DpopPolicy(base_url="https://gate.example/desk/")), bound()
    assert ask(server, token, proof(token, url="https://gate.example/desk/mcp")) == "usr_maya"
    assert refusal(server, token, proof(token)).reason == "other_request"
    assert ask(make(), token, proof(token, url=f"{RESOURCE}/ä%20b"), path="/mcp/ä b") == "usr_maya"


def test_int_a_resource_that_asks_compares_the_key() -> None:
    from broker.resource_server.verifier import compare_with_introspection

    verified = make()._verifier.verify(bound())
    answer = {"active": True, **verified.claims}
    compare_with_introspection(verified, answer)
    for changed in ({"cnf": None}, {"cnf": {"jkt": "x"}}):
        with pytest.raises(TokenRefused):
            compare_with_introspection(verified, {**answer, **changed})


# -- the adapters -------------------------------------------------------------------------------------


def headers(token: str, sent: str, scheme: str = "DPoP") -> dict[str, str]:
    return {"Authorization": f"{scheme} {token}", "DPoP": sent}


def test_flask_and_wsgi_take_the_proof_and_hide_it() -> None:
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append([name for name in environ if name in {"HTTP_DPOP", "HTTP_AUTHORIZATION"}])
        start_response("200 OK", [])
        return [b"reached"]

    token = bound()
    wsgi = WsgiClient(ProtectedWsgi(app, make(), scopes=SCOPES))
    assert wsgi.post("/mcp", headers=headers(token, proof(token))).status_code == 200
    assert (
        wsgi.post("/mcp/é b", headers=headers(token, proof(token, url=f"{RESOURCE}/é%20b"))).status_code
        == 200
    )
    assert wsgi.post("/mcp", headers=headers(token, proof(token), "Bearer")).status_code == 401
    two = [("Authorization", f"DPoP {token}"), ("DPoP", proof(token)), ("DPoP", proof(token))]
    assert wsgi.post("/mcp", headers=two).status_code == 400
    assert seen == [[], []]

    flask = Flask(__name__)
    protect(flask, make())
    flask.add_url_rule(
        "/mcp", view_func=requires(*SCOPES)(lambda: "reached"), methods=["POST"], endpoint="mcp"
    )
    client = flask.test_client()
    assert client.post("/mcp", headers=headers(token, proof(token))).text == "reached"
    refused = client.post("/mcp", headers=headers(token, proof(token, method="GET")))
    assert refused.headers["WWW-Authenticate"].startswith('DPoP error="invalid_dpop_proof"')
    narrow = bound(scope="other")
    lacking = client.post("/mcp", headers=headers(narrow, proof(narrow)))
    assert lacking.status_code == 403
    assert lacking.headers["WWW-Authenticate"].startswith('DPoP error="insufficient_scope"')


def post(app: Any, sent: dict[str, str], body: bytes = b"{}") -> httpx2.Response:
    async def run() -> httpx2.Response:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="https://mcp.tickets.example") as client:
            return await client.post("/mcp", headers=sent, content=body)

    return asyncio.run(run())


async def answer(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"reached"})


def test_asgi_takes_the_proof_and_hides_it() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append([name for name, _ in scope["headers"] if name in {b"dpop", b"authorization"}])
        await answer(send)

    token = bound()
    asgi = ProtectedAsgi(app, make(), scopes=SCOPES)
    assert post(asgi, headers(token, proof(token))).status_code == 200
    assert post(asgi, headers(token, proof(token), "Bearer")).status_code == 401
    assert seen == [[]]


# -- stronger sign-ins (RFC 9470) -----------------------------------------------------------------------


def test_su_01_the_challenge_says_which_sign_in_is_wanted() -> None:
    server = make()

    def check(acr_values: list[str], max_age: int | None, **claims: Any) -> TokenRefused | None:
        token = server.verify(ISSUER.sign(ISSUER.claims(**claims)))
        try:
            server.require_sign_in(token, acr_values=acr_values, max_age=max_age, scopes=SCOPES)
        except TokenRefused as refusal:
            return refusal
        return None

    assert check(["phr", "phrh"], 300, acr="phrh", auth_time=NOW - 300) is None
    for claims in (
        {"acr": "phr", "auth_time": NOW - 301},
        {"acr": "pwd", "auth_time": NOW},
        {"acr": "phr"},
        {"auth_time": NOW},
        {"acr": "phr", "auth_time": "now"},
    ):
        refused = check(["phr", "phrh"], 300, **claims)
        assert refused is not None, claims
        assert refused.status == 401
        assert server.challenge(refused) == (
            'Bearer error="insufficient_user_authentication", '
            'error_description="This needs a newer or a stronger sign-in of the person.", '
            'resource_metadata="https://mcp.tickets.example/.well-known/oauth-protected-resource/mcp", '
            'scope="tickets:read", acr_values="phr phrh", max_age="300"'
        )
    assert check(["phr"], None, acr="phr") is None
    assert check([], 0, auth_time=NOW) is None


def test_su_01_an_application_and_a_tool_may_ask_for_it() -> None:
    server = make()
    strong, weak = ISSUER.sign(ISSUER.claims(acr="phr", auth_time=NOW)), ISSUER.sign()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        server.require_sign_in(scope["broker.verified_token"], acr_values=["phr"])
        await answer(send)

    asgi = ProtectedAsgi(app, server)
    assert post(asgi, {"Authorization": f"Bearer {strong}"}).text == "reached"
    refused = post(asgi, {"Authorization": f"Bearer {weak}"})
    assert 'acr_values="phr"' in refused.headers["WWW-Authenticate"]

    async def tools(scope: Any, receive: Any, send: Any) -> None:
        await answer(send)

    scopes, sign_ins = {"pay": SCOPES, "list": SCOPES}, {"pay": SignIn(("phr",), 60)}
    mcp = ProtectedMcp(tools, server, tool_scopes=scopes, tool_sign_ins=sign_ins)
    call = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%s"}}'
    assert post(mcp, {"Authorization": f"Bearer {weak}"}, call % b"list").status_code == 200
    assert post(mcp, {"Authorization": f"Bearer {strong}"}, call % b"pay").status_code == 200
    lacking = post(mcp, {"Authorization": f"Bearer {weak}"}, call % b"pay")
    assert (lacking.status_code, lacking.json()["error"]) == (401, "insufficient_user_authentication")


def test_a_refusal_after_the_answer_began_is_a_fault() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send)
        raise TokenRefused(401, "invalid_token", "late", "Too late.")

    with pytest.raises(TokenRefused):
        post(ProtectedAsgi(app, make()), {"Authorization": f"Bearer {ISSUER.sign()}"})

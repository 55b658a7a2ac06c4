"""Pushed authorization requests (RFC 9126): PAR-01 to PAR-08, O43; each attack beside its valid twin."""

import json
import secrets
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc import jws
from joserfc.jwk import ECKey
from sqlalchemy import select

from broker.agents.snapshot import load_agents
from broker.audit.models import AuditRecord
from broker.discovery.metadata import server_metadata
from broker.kernel.errors import Refusal
from broker.oauth import par
from broker.oauth.authorize import Onward, begin
from broker.oauth.params import parse_pairs
from broker.tokens.models import PushedRequest
from tests.builders.oauth import Answer, Scene, claims_of
from tests.builders.proofs import Prover
from tests.builders.world import TICKETS

SCOPES = ["tickets:read", "tickets:write"]
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def push(
    scene: Scene, client: str | None = "cli_a", headers: dict[str, str] | None = None, **changes: Any
) -> Answer:
    return scene.call("par", scene.request(**changes), client=client, headers=headers)


def pushed(scene: Scene, **changes: Any) -> str:
    told = push(scene, **changes)
    assert told.status == 201, told.json
    return str(told.json["request_uri"])


def go(scene: Scene, uri: str, client: str = "cli_a", **more: str) -> Onward:
    """Open the authorization endpoint with a pushed request, as Maya, who agreed before."""
    query = urlencode({"client_id": client, "request_uri": uri, **more})
    return begin(scene.visit(scene.session()), parse_pairs(query))


def answer_of(onward: Onward) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(onward.location).query).items()}


@pytest.fixture
def agreed(scene: Scene) -> Scene:
    scene.consent("cli_a", SCOPES)
    return scene


def test_par_01_and_04_a_pushed_request_becomes_a_code(agreed: Scene) -> None:
    told = push(agreed)
    assert told.status == 201
    assert set(told.json) == {"request_uri", "expires_in"}
    assert told.json["expires_in"] == 60
    assert dict(told.reply.headers)["Cache-Control"] == "no-store"
    answer = answer_of(go(agreed, told.json["request_uri"]))
    assert (answer["state"], answer["iss"]) == ("st-1", agreed.tenant.issuer)
    token = agreed.redeem(answer["code"]).token
    assert claims_of(token)["aud"] == TICKETS
    assert claims_of(token)["scope"] == "tickets:read tickets:write"


def test_par_01_only_its_client_pushes(scene: Scene) -> None:
    wrong = scene.call("par", scene.request(), client="cli_a", secret="no")
    assert (wrong.status, wrong.error) == (401, "invalid_client")
    # Its own id alone is not enough for a client that has a secret; for a public one it is all there is.
    assert push(scene, client=None).status == 401
    assert push(scene, client="cli_b").status == 401
    scene.world.client(scene.tenant, "cli_public", agent=scene.agents["a"], auth_method="none")
    assert push(scene, client=None, client_id="cli_public").status == 201
    assert scene.call("par", {}, method="GET").status == 405
    assert push(scene, client_id=None).status == 201


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"request_uri": "urn:ietf:params:oauth:request_uri:x"}, "invalid_request", id="PAR-02"),
        pytest.param({"request_uri": ""}, "invalid_request", id="PAR-02-empty"),
        pytest.param({"request": "e30.e30."}, "request_not_supported", id="O44-unsigned-request-object"),
        pytest.param({"redirect_uri": "https://evil.example/"}, "invalid_request", id="redirect-uri"),
        pytest.param({"code_challenge": None}, "invalid_request", id="no-pkce"),
        pytest.param({"response_type": "token"}, "unsupported_response_type", id="implicit"),
        pytest.param({"resource": "https://unknown.example"}, "invalid_target", id="resource"),
        pytest.param({"scope": 'a"b'}, "invalid_scope", id="scope"),
        pytest.param({"state": "s" * 17_000}, "invalid_request", id="PAR-07-large"),
    ],
)
def test_o43_what_would_be_refused_later_is_refused_at_once(
    scene: Scene, changes: dict[str, Any], error: str
) -> None:
    refused = push(scene, **changes)
    assert refused.error == error
    assert refused.status == (413 if "state" in changes else 400)
    assert push(scene).status == 201


def test_par_03_a_request_counts_once_for_its_client_and_a_minute(agreed: Scene) -> None:
    agreed.consent("cli_b", SCOPES)
    uri = pushed(agreed)
    # Another client can neither use nor burn it.
    with pytest.raises(Refusal) as foreign:
        go(agreed, uri, client="cli_b")
    assert foreign.value.code == "invalid_request_uri"
    assert "code" in answer_of(go(agreed, uri))
    for spent in (uri, f"{uri}x", par.pushed.URI_PREFIX, par.pushed.URI_PREFIX + secrets.token_urlsafe(32)):
        with pytest.raises(Refusal) as refused:
            go(agreed, spent)
        assert refused.value.code == "invalid_request_uri"
    late, young = pushed(agreed), pushed(agreed)
    agreed.world.clock.advance(59)
    assert "code" in answer_of(go(agreed, young))
    agreed.world.clock.advance(1)
    with pytest.raises(Refusal):
        go(agreed, late)


def test_par_03_a_request_of_another_tenant_is_none(agreed: Scene) -> None:
    other = Scene(agreed.world, slug="globex")
    uri = pushed(other)
    with pytest.raises(Refusal):
        go(agreed, uri)
    other.consent("cli_a", SCOPES)
    assert "code" in answer_of(go(other, uri))


def test_par_04_what_else_stands_in_the_address_is_ignored(agreed: Scene) -> None:
    uri = pushed(agreed, scope="tickets:read")
    answer = answer_of(
        go(agreed, uri, scope="tickets:read tickets:write", state="x", redirect_uri="https://evil.example/")
    )
    assert answer["state"] == "st-1"
    assert claims_of(agreed.redeem(answer["code"]).token)["scope"] == "tickets:read"


def test_par_04_the_request_is_judged_by_the_state_of_its_use(agreed: Scene) -> None:
    uri, other = pushed(agreed), pushed(agreed)
    assert "code" in answer_of(go(agreed, other))
    agreed.world.options(agreed.tenant, "client", "cli_a")
    with agreed.world.rt.database.write(agreed.tenant.id) as session:
        from broker.agents.models import Client
        from broker.kernel.versions import bump

        row = session.scalars(select(Client).where(Client.client_id == "cli_a")).one()
        row.redirect_uris = ["https://elsewhere.example/"]
        session.flush()
        bump(session.connection(), agreed.tenant.id)
    with pytest.raises(Refusal) as refused:
        go(agreed, uri)
    assert refused.value.reason == "redirect_uri"


def test_oc_08_a_request_uri_from_elsewhere_is_not_fetched(agreed: Scene) -> None:
    onward = agreed.authorize(agreed.session(), request_uri="https://client.example/request.jwt")
    assert answer_of(onward)["error"] == "request_uri_not_supported"
    assert server_metadata(agreed.world.rt, agreed.tenant)["request_uri_parameter_supported"] is False


@pytest.mark.parametrize("who", ["tenant", "client"])
def test_par_05_who_wants_pushed_requests_gets_no_others(agreed: Scene, who: str) -> None:
    assert "code" in answer_of(agreed.authorize(agreed.session()))
    if who == "tenant":
        agreed.world.settings(agreed.tenant, require_pushed_authorization_requests=True)
    else:
        agreed.world.options(agreed.tenant, "client", "cli_a", require_pushed_authorization_requests=True)
    refused = answer_of(agreed.authorize(agreed.session()))
    assert (refused["error"], refused["iss"]) == ("invalid_request", agreed.tenant.issuer)
    assert "code" in answer_of(go(agreed, pushed(agreed)))
    told = server_metadata(agreed.world.rt, agreed.world.again(agreed.tenant))
    assert told["pushed_authorization_request_endpoint"] == f"{agreed.tenant.issuer}/par"
    assert told["require_pushed_authorization_requests"] is (who == "tenant")


def test_par_06_a_proof_binds_the_code(agreed: Scene) -> None:
    key = Prover()

    def proof(prover: Prover = key, **changes: Any) -> dict[str, str]:
        url = f"{agreed.tenant.issuer}/par"
        return {"dpop": prover.proof("POST", url, now=agreed.world.now, **changes)}

    one = proof()
    told = push(agreed, headers=one)
    assert told.status == 201
    assert push(agreed, headers=one).error == "invalid_dpop_proof"
    assert push(agreed, headers=proof(htu=f"{agreed.tenant.issuer}/token")).error == "invalid_dpop_proof"
    assert push(agreed, headers=proof(), dpop_jkt=Prover().jkt).error == "invalid_request"
    assert push(agreed, headers=proof(), dpop_jkt=key.jkt).status == 201
    code = answer_of(go(agreed, told.json["request_uri"]))["code"]
    with agreed.proving(Prover()):
        assert agreed.redeem(code).error == "invalid_grant"
    code = answer_of(go(agreed, pushed(agreed, dpop_jkt=key.jkt)))["code"]
    with agreed.proving(key):
        assert agreed.redeem(code).json["token_type"] == "DPoP"


def test_par_06_a_nonce_is_demanded_here_too(scene: Scene) -> None:
    scene.world.settings(scene.tenant, dpop_nonces=True)
    key, url = Prover(), f"{scene.tenant.issuer}/par"
    asked = push(scene, headers={"dpop": key.proof("POST", url, now=scene.world.now)})
    nonce = dict(asked.reply.headers)["DPoP-Nonce"]
    told = push(scene, headers={"dpop": key.proof("POST", url, now=scene.world.now, nonce=nonce)})
    assert (asked.error, told.status) == ("use_dpop_nonce", 201)
    assert dict(told.reply.headers)["DPoP-Nonce"] == nonce


def test_par_06_several_resources_are_the_ceiling(agreed: Scene) -> None:
    uri = pushed(agreed, resource=[TICKETS, agreed.tenant.issuer], scope="openid tickets:read")
    agreed.consent("cli_a", ["openid", "tickets:read"])
    tokens = agreed.redeem(answer_of(go(agreed, uri))["code"], resource=TICKETS)
    assert claims_of(tokens.token)["aud"] == TICKETS


def test_par_07_too_much_is_turned_away(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(par, "MAX_LIVE_REQUESTS", 2)
    assert push(scene).status == push(scene).status == 201
    refused = push(scene)
    assert (refused.status, refused.error) == (429, "too_many_requests")
    # One client's flood is not another's, and it passes.
    assert push(scene, client="cli_b", client_id="cli_b").status == 201
    scene.world.clock.advance(60)
    assert push(scene).status == 201


def test_par_08_an_assertion_is_for_the_issuer_alone(scene: Scene) -> None:
    key = ECKey.generate_key("P-256", {"kid": "k1", "use": "sig"})
    scene.world.client(
        scene.tenant,
        "cli_key",
        agent=scene.agents["a"],
        auth_method="private_key_jwt",
        jwks={"keys": [key.as_dict(private=False)]},
    )

    def assertion(audience: str) -> dict[str, str]:
        now = scene.world.now
        claims = {"iss": "cli_key", "sub": "cli_key", "aud": audience, "iat": now, "exp": now + 60}
        body = json.dumps({**claims, "jti": secrets.token_urlsafe(9)})
        signed = jws.serialize_compact({"alg": "ES256", "kid": "k1"}, body, key, algorithms=["ES256"])
        return {"client_assertion_type": ASSERTION, "client_assertion": signed}

    for audience in (f"{scene.tenant.issuer}/par", f"{scene.tenant.issuer}/token", "https://other.example"):
        assert push(scene, client=None, client_id="cli_key", **assertion(audience)).status == 401
    mine = assertion(scene.tenant.issuer)
    assert push(scene, client=None, client_id=None, **mine).status == 201
    assert push(scene, client=None, client_id="cli_key", **mine).status == 401
    with scene.world.rt.database.read(scene.tenant.id) as session:
        kept = session.scalars(select(PushedRequest)).one()
    assert mine["client_assertion"] not in json.dumps(kept.params)
    assert ["client_id", "cli_key"] in kept.params
    assert load_agents(scene.world.rt, scene.tenant.id).clients["cli_key"].is_active


def test_a_refused_push_is_in_the_log(scene: Scene) -> None:
    assert push(scene, resource="https://unknown.example").error == "invalid_target"
    with scene.world.rt.database.read(scene.tenant.id) as session:
        event = session.scalars(select(AuditRecord).where(AuditRecord.client_id == "cli_a")).one()
    assert (event.event, event.outcome) == ("authorization.refused", "refused")

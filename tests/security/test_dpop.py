"""DPoP at the authorization server (RFC 9449): DP-01, 02, 05, 06, 08, MDP-01, 02, O58."""

import json
from typing import Any

import pytest
from joserfc.jwk import OctKey
from sqlalchemy import select

from broker.audit.models import AuditRecord
from broker.discovery.metadata import server_metadata
from broker.oauth.dpop import NONCE_SECONDS, PROOF_SECONDS
from tests.builders.forgery import b64, forgeries, with_header
from tests.builders.minting import Statements
from tests.builders.oauth import Answer, Scene, claims_of
from tests.builders.proofs import Prover
from tests.builders.world import TICKETS

OWN = {"grant_type": "client_credentials", "resource": TICKETS, "scope": "tickets:read"}
KEY = Prover()


def ask(scene: Scene, proof: str | None, **changes: Any) -> Answer:
    """Ask for agent A's own token, with that proof."""
    headers = {} if proof is None else {"dpop": proof}
    return scene.call("token", {**OWN, **changes}, client="cli_a", headers=headers)


def proof(scene: Scene, prover: Prover = KEY, **changes: Any) -> str:
    url = changes.pop("url", f"{scene.tenant.issuer}/token")
    return prover.proof(changes.pop("method", "POST"), url, now=scene.world.now, **changes)


def test_dp_01_and_dp_03_a_proof_binds_the_token_to_its_key(scene: Scene) -> None:
    for algorithm in ("ES256", "EdDSA", "PS256", "RS256"):
        key = Prover(algorithm)
        given = ask(scene, proof(scene, key))
        assert given.status == 200, given.json
        assert given.json["token_type"] == "DPoP"
        assert claims_of(given.token)["cnf"] == {"jkt": key.jkt}
        told = scene.introspect(given.token)
        assert (told["active"], told["token_type"], told["cnf"]) == (True, "DPoP", {"jkt": key.jkt})


def test_dp_03_without_a_proof_nothing_is_bound_and_nothing_is_stored(scene: Scene) -> None:
    ask(scene, None)
    with Statements(scene.world.rt.database.engine) as plain:
        given = ask(scene, None)
    assert given.json["token_type"] == "Bearer"
    assert "cnf" not in claims_of(given.token)
    assert scene.introspect(given.token)["token_type"] == "Bearer"
    assert not [text for text in plain.texts if "replay_marks" in text]


FAULTY: list[tuple[str, dict[str, Any]]] = [
    ("typ-missing", {"header": {"typ": None}}),
    ("typ-jwt", {"header": {"typ": "JWT"}}),
    ("typ-access-token", {"header": {"typ": "at+jwt"}}),
    ("no-jwk", {"header": {"jwk": None}}),
    ("jwk-not-an-object", {"header": {"jwk": "x"}}),
    ("private-jwk", {"header": {"jwk": dict(KEY.key.as_dict(private=True))}}),
    ("symmetric-jwk", {"header": {"jwk": OctKey.generate_key(256).as_dict()}}),
    ("other-key", {"header": {"jwk": Prover().jwk}}),
    ("encryption-key", {"header": {"jwk": {**KEY.jwk, "use": "enc"}}}),
    ("critical", {"header": {"crit": ["x"], "x": 1}}),
    ("wrong-htm", {"method": "GET"}),
    ("htm-lower-case", {"method": "post"}),
    ("no-htm", {"htm": None}),
    ("no-htu", {"htu": None}),
    ("no-jti", {"jti": None}),
    ("jti-number", {"jti": 7}),
    ("jti-long", {"jti": "j" * 257}),
    ("no-iat", {"iat": None}),
    ("iat-text", {"iat": "1795503600"}),
    ("iat-true", {"iat": True}),
    ("htu-number", {"htu": 7}),
]


def test_dp_01_o58_a_faulty_proof_is_refused(scene: Scene) -> None:
    for fault, changes in FAULTY:
        refused = ask(scene, proof(scene, **changes))
        assert (refused.status, refused.error) == (400, "invalid_dpop_proof"), fault
    assert ask(scene, proof(scene)).status == 200


ADDRESSES = [
    ("{issuer}/token", True),
    ("{issuer}/token?x=1#part", True),
    ("HTTP://127.0.0.1:8080/t/acme/token", True),
    ("{issuer}/%74oken", True),
    ("{issuer}/token/", False),
    ("{issuer}/userinfo", False),
    ("{issuer}", False),
    ("http://127.0.0.1:8080/t/globex/token", False),
    ("http://127.0.0.1/t/acme/token", False),
    ("https://127.0.0.1:8080/t/acme/token", False),
    ("http://evil.example/t/acme/token", False),
    ("http://127.0.0.1:8080@evil.example/t/acme/token", False),
    ("http://a@127.0.0.1:8080/t/acme/token", False),
    ("/t/acme/token", False),
    ("http://127.0.0.1:port/t/acme/token", False),
    ("", False),
]


def test_dp_08_the_address_is_the_configured_one(scene: Scene) -> None:
    for url, is_here in ADDRESSES:
        sent = proof(scene, url=url.format(issuer=scene.tenant.issuer))
        headers = {"dpop": sent, "host": "evil.example", "x-forwarded-host": "evil.example"}
        answered = scene.call("token", OWN, client="cli_a", headers=headers)
        assert (answered.status, answered.error) == ((200, "") if is_here else (400, "invalid_dpop_proof")), (
            url
        )


def test_o58_forged_proofs_are_refused(scene: Scene) -> None:
    for attack, forged in forgeries(proof(scene), KEY.jwk):
        # An attacker's own key in the header is an honest proof of that key, and of nothing else.
        if attack == "O03-embedded-jwk" or attack in {"O04-jku", "O04-x5u"} or attack.startswith("O05"):
            continue
        refused = ask(scene, forged)
        assert (refused.status, refused.error) == (400, "invalid_dpop_proof"), attack
    assert ask(scene, with_header(proof(scene), jku="http://127.0.0.1:9/")).status == 400
    assert ask(scene, proof(scene, header={"jku": "http://127.0.0.1:9/"})).status == 200


AGES = [
    (0, True),
    (PROOF_SECONDS + 60, True),
    (PROOF_SECONDS + 61, False),
    (-60, True),
    (-61, False),
    (-(10**12), False),
]


def test_dp_02_a_proof_is_young(scene: Scene) -> None:
    for age, is_fresh in AGES:
        answered = ask(scene, proof(scene, iat=scene.world.now - age))
        assert (answered.status == 200) is is_fresh, age


def test_dp_02_a_proof_counts_once_for_its_key(scene: Scene) -> None:
    one = proof(scene, jti="the-same")
    assert ask(scene, one).status == 200
    replayed = ask(scene, one)
    assert (replayed.status, replayed.error) == (400, "invalid_dpop_proof")
    again = ask(scene, proof(scene, jti="the-same", iat=scene.world.now - 1))
    assert again.error == "invalid_dpop_proof"
    # Another key may happen to choose the same id, and the next id of this key is new.
    assert ask(scene, proof(scene, Prover(), jti="the-same")).status == 200
    assert ask(scene, proof(scene, jti="the-next")).status == 200
    with scene.world.rt.database.read(scene.tenant.id) as session:
        assert "proof_replayed" in session.scalars(select(AuditRecord.reason)).all()


def test_dp_02_a_proof_stays_used_when_its_request_is_refused(scene: Scene) -> None:
    one = proof(scene)
    assert ask(scene, one, resource="https://unknown.example").error == "invalid_target"
    assert ask(scene, one).error == "invalid_dpop_proof"
    assert ask(scene, proof(scene)).status == 200


def test_dp_02_a_proof_of_another_tenant_uses_up_nothing_here(scene: Scene) -> None:
    other = Scene(scene.world, slug="globex")
    one = proof(scene, jti="the-same")
    elsewhere = KEY.proof("POST", f"{other.tenant.issuer}/token", now=scene.world.now, jti="the-same")
    assert ask(other, elsewhere).status == 200
    assert ask(other, one).error == "invalid_dpop_proof"
    assert ask(scene, one).status == 200


def test_dp_01_two_proofs_are_one_too_many(scene: Scene) -> None:
    two = ask(scene, f"{proof(scene)},{proof(scene)}")
    assert (two.status, two.error) == (400, "invalid_request")
    assert ask(scene, "").error == "invalid_dpop_proof"
    assert ask(scene, "x" * 20_000).error == "invalid_dpop_proof"


# -- who must be bound --------------------------------------------------------------------------------


def hold(scene: Scene, what: str) -> None:
    """Have one party demand DPoP; the scene's A, its client, tickets or tenant."""
    if what == "tenant":
        scene.world.settings(scene.tenant, dpop="required")
    elif what == "client":
        scene.world.options(scene.tenant, "client", "cli_a", dpop_bound_access_tokens=True)
    elif what == "agent":
        scene.world.options(scene.tenant, "agent", "a", dpop_required=True)
    else:
        scene.world.options(scene.tenant, "resource", TICKETS, dpop_bound_access_tokens_required=True)


@pytest.mark.parametrize("who", ["tenant", "client", "agent", "resource"])
def test_dp_06_and_mdp_02_who_demands_dpop_gets_no_bearer_token(scene: Scene, who: str) -> None:
    code = scene.code()
    hold(scene, who)
    refused = ask(scene, None)
    assert (refused.status, refused.error) == (400, "invalid_dpop_proof")
    assert ask(scene, proof(scene)).json["token_type"] == "DPoP"
    if who != "resource":
        assert scene.redeem(code).error == "invalid_dpop_proof"
        with scene.proving(KEY):
            assert scene.redeem(code).json["token_type"] == "DPoP"


def test_mdp_02_a_chain_cannot_lose_its_keys_where_the_resource_demands_them(scene: Scene) -> None:
    with scene.proving(KEY):
        mine = scene.person_token()
        theirs = scene.own_token("b")
        hold(scene, "resource")
        assert scene.exchange(mine, "b", actor=theirs).json["token_type"] == "DPoP"
    with scene.proving(None):
        refused = scene.exchange(mine, "b", actor=theirs)
    assert (refused.status, refused.error) == (400, "invalid_grant")


def test_mdp_01_the_metadata_names_asymmetric_algorithms_only(scene: Scene) -> None:
    told = server_metadata(scene.world.rt, scene.tenant)["dpop_signing_alg_values_supported"]
    assert told == ["ES256", "EdDSA", "PS256", "RS256"]
    for algorithm in told:
        assert ask(scene, proof(scene, Prover(algorithm))).status == 200
    none = f"{b64(json.dumps({'typ': 'dpop+jwt', 'alg': 'none', 'jwk': KEY.jwk}).encode())}.e30."
    assert ask(scene, none).error == "invalid_dpop_proof"


# -- nonces -------------------------------------------------------------------------------------------


def test_dp_05_a_nonce_is_demanded_and_given(scene: Scene) -> None:
    scene.world.settings(scene.tenant, dpop_nonces=True)
    first = ask(scene, proof(scene))
    assert (first.status, first.error) == (400, "use_dpop_nonce")
    nonce = dict(first.reply.headers)["DPoP-Nonce"]
    given = ask(scene, proof(scene, nonce=nonce))
    assert given.status == 200
    assert dict(given.reply.headers)["DPoP-Nonce"] == nonce
    assert ask(scene, None).json["token_type"] == "Bearer"

    scene.world.clock.advance(NONCE_SECONDS)
    renewed = ask(scene, proof(scene, nonce=nonce))
    assert renewed.status == 200
    assert dict(renewed.reply.headers)["DPoP-Nonce"] != nonce
    scene.world.clock.advance(NONCE_SECONDS)
    for wrong in (nonce, "x", 7, ["a"]):
        assert ask(scene, proof(scene, nonce=wrong)).error == "use_dpop_nonce"


def test_dp_05_a_nonce_of_another_tenant_is_no_nonce(scene: Scene) -> None:
    other = Scene(scene.world, slug="globex", settings={"dpop_nonces": True})
    scene.world.settings(scene.tenant, dpop_nonces=True)
    sent = KEY.proof("POST", f"{other.tenant.issuer}/token", now=scene.world.now)
    foreign = dict(ask(other, sent).reply.headers)["DPoP-Nonce"]
    assert ask(scene, proof(scene, nonce=foreign)).error == "use_dpop_nonce"


def test_dp_05_without_the_policy_there_is_no_nonce(scene: Scene) -> None:
    given = ask(scene, proof(scene, nonce="left over from elsewhere"))
    assert given.status == 200
    assert "DPoP-Nonce" not in dict(given.reply.headers)

"""What a DPoP key binds: codes, refresh tokens, chains, userinfo (DP-03, DP-04, DP-07, ACT-05, ACT-06)."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.builders.oauth import Answer, Scene, claims_of
from tests.builders.proofs import Prover

KEY = Prover()


def proof(scene: Scene, prover: Prover = KEY, **changes: Any) -> str:
    url = changes.pop("url", f"{scene.tenant.issuer}/userinfo")
    return prover.proof(changes.pop("method", "GET"), url, now=scene.world.now, **changes)


def test_dp_04_a_code_asked_for_with_a_key_is_redeemed_with_it(scene: Scene) -> None:
    with scene.proving(KEY):
        assert scene.redeem(scene.code(dpop_jkt=KEY.jkt)).json["token_type"] == "DPoP"
    stolen = scene.code(dpop_jkt=KEY.jkt)
    with scene.proving(Prover()):
        refused = scene.redeem(stolen)
        assert (refused.status, refused.error) == (400, "invalid_grant")
    with scene.proving(KEY):
        assert scene.redeem(stolen).error == "invalid_grant"  # tried with another key, it is spent
    assert scene.redeem(scene.code(dpop_jkt=KEY.jkt)).error == "invalid_grant"


def test_dp_04_a_malformed_thumbprint_is_refused(scene: Scene) -> None:
    scene.consent("cli_a", ["tickets:read", "tickets:write"])
    answered = parse_qs(urlsplit(scene.authorize(scene.session(), dpop_jkt="short").location).query)
    assert (answered["error"], answered["iss"]) == (["invalid_request"], [scene.tenant.issuer])


def public_code(scene: Scene) -> dict[str, str]:
    scene.world.client(scene.tenant, "cli_public", agent=scene.agents["a"], auth_method="none")
    return {
        "grant_type": "authorization_code",
        "client_id": "cli_public",
        "code": scene.code("cli_public"),
        "redirect_uri": "https://writer.example/callback",
        "code_verifier": "v" * 64,
    }


def test_dp_03_o32_a_public_clients_refresh_token_needs_its_key(scene: Scene) -> None:
    with scene.proving(KEY):
        first = scene.call("token", public_code(scene)).json
    again = {
        "grant_type": "refresh_token",
        "client_id": "cli_public",
        "refresh_token": first["refresh_token"],
    }
    for thief in (None, Prover()):
        with scene.proving(thief):
            assert scene.call("token", again).error == "invalid_grant"
    # The thief could neither use nor burn it.
    with scene.proving(KEY):
        second = scene.call("token", again)
        assert second.json["token_type"] == "DPoP"
        third = scene.call("token", {**again, "refresh_token": second.json["refresh_token"]})
    assert claims_of(third.token)["cnf"] == {"jkt": KEY.jkt}


def test_dp_03_a_client_that_authenticates_may_change_its_key(scene: Scene) -> None:
    with scene.proving(KEY):
        first = scene.redeem(scene.code()).json
    other = Prover()
    with scene.proving(other):
        again = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
        assert claims_of(scene.call("token", again, client="cli_a").token)["cnf"] == {"jkt": other.jkt}


def test_act_05_the_key_is_the_new_callers(scene: Scene) -> None:
    mine, theirs = Prover(), Prover()
    with scene.proving(mine):
        token = scene.person_token()
    with scene.proving(theirs):
        child = scene.hand_over(token, "b").token
    claims = claims_of(child)
    assert claims["cnf"] == {"jkt": theirs.jkt}
    assert "cnf" not in json.dumps(claims["act"])
    assert scene.hand_over(token, "b").json["token_type"] == "Bearer"


def test_act_06_who_continues_proves_the_key_of_its_token(scene: Scene) -> None:
    mine = Prover()
    with scene.proving(mine):
        token = scene.person_token()
        assert claims_of(scene.exchange(token, "a").token)["cnf"] == {"jkt": mine.jkt}
    own = scene.own_token("a")
    for thief in (None, Prover()):
        with scene.proving(thief):
            assert scene.exchange(token, "a").error == "invalid_grant"
            assert scene.exchange(token, "a", actor=own).error == "invalid_grant"


def test_act_06_who_joins_proves_the_key_of_its_actor_token(scene: Scene) -> None:
    theirs = Prover()
    token = scene.person_token()
    with scene.proving(theirs):
        actor = scene.own_token("b")
        assert claims_of(scene.exchange(token, "b", actor=actor).token)["cnf"] == {"jkt": theirs.jkt}
    for thief in (None, Prover()):
        with scene.proving(thief):
            assert scene.exchange(token, "b", actor=actor).error == "invalid_grant"


def userinfo(scene: Scene, token: str, scheme: str, proof: str | None) -> Answer:
    headers = {"authorization": f"{scheme} {token}", **({} if proof is None else {"dpop": proof})}
    return scene.call("userinfo", method="GET", headers=headers)


def test_dp_07_a_bound_token_is_no_bearer_token(scene: Scene) -> None:
    with scene.proving(KEY):
        token = scene.redeem(scene.code(scope="openid", resource=scene.tenant.issuer)).token

    def made(prover: Prover = KEY, **changes: Any) -> str:
        return proof(scene, prover, **{"token": token, **changes})

    one = made()
    assert userinfo(scene, token, "DPoP", one).json == {"sub": scene.maya}
    for scheme, sent in (
        ("Bearer", None),
        ("Bearer", made()),
        ("DPoP", None),
        ("DPoP", one),
        ("DPoP", made(Prover())),
        ("DPoP", made(token="another")),
        ("DPoP", made(ath=None)),
        ("DPoP", made(method="POST")),
    ):
        refused = userinfo(scene, token, scheme, sent)
        assert refused.status == 401, (scheme, sent)
        challenge = dict(refused.reply.headers)["WWW-Authenticate"]
        assert challenge.startswith("DPoP error=")
        assert 'algs="ES256 EdDSA PS256 RS256"' in challenge
    assert userinfo(scene, token, "dpop", made()).status == 200


def test_dp_07_a_bearer_token_is_no_bound_token(scene: Scene) -> None:
    token = scene.redeem(scene.code(scope="openid", resource=scene.tenant.issuer)).token
    sent = proof(scene, token=token)
    assert userinfo(scene, token, "DPoP", sent).status == 401
    assert userinfo(scene, token, "Bearer", None).status == 200


def test_dp_05_userinfo_asks_for_a_nonce_with_401(scene: Scene) -> None:
    with scene.proving(KEY):
        token = scene.redeem(scene.code(scope="openid", resource=scene.tenant.issuer)).token
    scene.world.settings(scene.tenant, dpop_nonces=True)
    asked = userinfo(scene, token, "DPoP", proof(scene, token=token))
    assert (asked.status, asked.error) == (401, "use_dpop_nonce")
    nonce = dict(asked.reply.headers)["DPoP-Nonce"]
    assert userinfo(scene, token, "DPoP", proof(scene, nonce=nonce, token=token)).status == 200

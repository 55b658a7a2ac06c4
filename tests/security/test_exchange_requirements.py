"""What exchanged tokens are, by requirement: AT-01 to AT-08, ACT-01 to ACT-13, TEX-03 to TEX-10."""

import base64
import json
from collections.abc import Callable

import pytest

from tests.builders.oauth import Scene, claims_of
from tests.builders.world import TICKETS


def header_of(token: str) -> dict[str, str]:
    head = token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))


def at_01_and_at_02(scene: Scene) -> None:
    token = scene.person_token()
    assert header_of(token)["typ"] == "at+jwt"
    assert header_of(token)["alg"] in {"ES256", "EdDSA", "PS256", "RS256"}
    assert {"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} <= claims_of(token).keys()


def at_03_and_at_04(scene: Scene) -> None:
    """How the person signed in stays as it was along the chain."""
    first = claims_of(scene.person_token())
    scene.world.clock.advance(120)
    second = claims_of(scene.hand_over(scene.person_token(), "b").token)
    assert second["acr"] == first["acr"]
    assert second["amr"] == first["amr"]
    assert second["scope"] == "tickets:read tickets:write"
    assert not {"acr", "amr", "auth_time", "sid"} & claims_of(scene.own_token("a")).keys()


def at_05_and_at_06(scene: Scene) -> None:
    claims = claims_of(scene.person_token())
    assert claims["roles"] == ["support.agent"]
    assert claims["aud"] == TICKETS
    assert "groups" not in claims


def act_01_and_act_02(scene: Scene) -> None:
    second = claims_of(scene.hand_over(scene.person_token(), "b").token)
    outer, inner = second["act"], second["act"]["act"]
    assert (outer["sub"], inner["sub"]) == (scene.agents["b"].id, scene.agents["a"].id)
    for actor in (outer, inner):
        assert actor.keys() - {"act"} == {"sub", "iss", "sub_profile"}


def act_03_and_tex_06(scene: Scene) -> None:
    """Continued, a chain keeps its bytes; extended, it is nested unchanged."""
    first = scene.person_token()
    chain = claims_of(first)["act"]
    assert claims_of(scene.exchange(first, "a").token)["act"] == chain
    assert claims_of(scene.hand_over(first, "b").token)["act"]["act"] == chain


def act_07_and_act_08(scene: Scene) -> None:
    assert "act" not in claims_of(scene.own_token("a"))
    tokens = scene.redeem(scene.code("cli_a", "openid tickets:read", nonce="n")).json
    assert "act" not in claims_of(tokens["id_token"])


def act_09(scene: Scene) -> None:
    first = scene.person_token(scope="tickets:read")
    answer = scene.hand_over(first, "b", scope="tickets:read tickets:write")
    assert answer.json["scope"] == "tickets:read"
    assert scene.hand_over(first, "b", scope="tickets:write").error == "invalid_scope"
    refused = scene.hand_over(first, "c")
    assert (refused.status, refused.error) == (400, "actor_unauthorized")


def act_11_and_act_12(scene: Scene) -> None:
    token = scene.hand_over(scene.person_token(), "b").token
    told = scene.introspect(token)
    assert {name: told[name] for name in ("sub", "act", "sub_profile", "scope", "iss")} == {
        name: claims_of(token)[name] for name in ("sub", "act", "sub_profile", "scope", "iss")
    }
    scene.call("revoke", {"token": token}, client="cli_b")
    assert scene.introspect(token) == {"active": False}


def act_13(scene: Scene) -> None:
    """An agent that is not listed and one that does not exist here hear the same."""
    first = scene.person_token()
    unlisted, cycle = (
        scene.hand_over(first, "c").json,
        scene.exchange(first, "c", actor=scene.own_token("b")).json,
    )
    assert unlisted["error_description"] == cycle["error_description"] == "This agent may not act here."


def tex_03_and_tex_04(scene: Scene) -> None:
    """There is no impersonation: whoever holds a person's token stands in it."""
    first = scene.person_token()
    assert claims_of(first)["act"]["sub"] == scene.agents["a"].id
    assert scene.exchange(first, "b").error == "invalid_grant"
    assert claims_of(scene.hand_over(first, "b").token)["sub"] == scene.maya


def tex_08_and_tex_10(scene: Scene) -> None:
    first = scene.person_token()
    answer = scene.exchange(first, "a")
    assert "refresh_token" not in answer.json
    assert claims_of(answer.token)["exp"] <= claims_of(first)["exp"]
    scene.world.clock.advance(601)
    assert scene.exchange(first, "a").error == "invalid_grant"


def tex_09(scene: Scene) -> None:
    first = scene.person_token()
    params = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": first}
    assert scene.call("token", params).error == "invalid_client"
    assert scene.call("token", params, client="cli_a", secret="guess").error == "invalid_client"
    assert scene.exchange(first, "a").status == 200


REQUIREMENTS: dict[str, Callable[[Scene], None]] = {
    "AT-01": at_01_and_at_02,
    "AT-02": at_01_and_at_02,
    "AT-03": at_03_and_at_04,
    "AT-04": at_03_and_at_04,
    "AT-05": at_05_and_at_06,
    "AT-06": at_05_and_at_06,
    "ACT-01": act_01_and_act_02,
    "ACT-02": act_01_and_act_02,
    "ACT-03": act_03_and_tex_06,
    "ACT-07": act_07_and_act_08,
    "ACT-08": act_07_and_act_08,
    "ACT-09": act_09,
    "ACT-11": act_11_and_act_12,
    "ACT-12": act_11_and_act_12,
    "ACT-13": act_13,
    "TEX-03": tex_03_and_tex_04,
    "TEX-04": tex_03_and_tex_04,
    "TEX-06": act_03_and_tex_06,
    "TEX-08": tex_08_and_tex_10,
    "TEX-09": tex_09,
    "TEX-10": tex_08_and_tex_10,
}


@pytest.mark.parametrize("holds", REQUIREMENTS.values(), ids=REQUIREMENTS)
def test_the_requirement_holds(scene: Scene, holds: Callable[[Scene], None]) -> None:
    holds(scene)

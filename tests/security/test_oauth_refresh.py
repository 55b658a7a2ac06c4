"""Refresh tokens: O30, O32, A32. One success, the rest invalid_grant, the family dead, no grace."""

import pytest

from tests.builders.oauth import Answer, Scene, claims_of


def refresh(scene: Scene, token: str, client: str = "cli_a", **more: str) -> Answer:
    return scene.call("token", {"grant_type": "refresh_token", "refresh_token": token, **more}, client=client)


def test_rotation_gives_a_new_one_each_time(scene: Scene) -> None:
    token = scene.redeem(scene.code()).json["refresh_token"]
    seen = {token}
    for _ in range(3):
        answer = refresh(scene, token)
        token = answer.json["refresh_token"]
        assert scene.introspect(answer.token)["active"] is True
        assert token not in seen
        seen.add(token)


def test_o30_reuse_kills_the_family(scene: Scene) -> None:
    first = scene.redeem(scene.code())
    second = refresh(scene, first.json["refresh_token"])
    replayed = refresh(scene, first.json["refresh_token"])
    assert (replayed.status, replayed.error) == (400, "invalid_grant")
    assert refresh(scene, second.json["refresh_token"]).error == "invalid_grant"
    assert scene.introspect(first.token) == {"active": False}
    assert scene.introspect(second.token) == {"active": False}


@pytest.mark.parametrize(
    ("more", "error"),
    [
        pytest.param({"scope": "tickets:read tickets:delete"}, "invalid_scope", id="O32-wider-scope"),
        pytest.param(
            {"resource": "https://mcp.other.example/mcp"}, "invalid_target", id="O32-other-resource"
        ),
    ],
)
def test_o32_a_refresh_never_widens_and_a_mistake_costs_nothing(
    scene: Scene, more: dict[str, str], error: str
) -> None:
    token = scene.redeem(scene.code()).json["refresh_token"]
    assert refresh(scene, token, **more).error == error
    assert refresh(scene, token).status == 200


def test_o32_another_client_can_neither_use_nor_burn_it(scene: Scene) -> None:
    token = scene.redeem(scene.code()).json["refresh_token"]
    assert refresh(scene, token, client="cli_b").error == "invalid_grant"
    assert refresh(scene, token).status == 200


def test_a_narrower_scope_narrows_this_token_only(scene: Scene) -> None:
    first = scene.redeem(scene.code()).json["refresh_token"]
    narrow = refresh(scene, first, scope="tickets:read")
    assert claims_of(narrow.token)["scope"] == "tickets:read"
    full = refresh(scene, narrow.json["refresh_token"])
    assert claims_of(full.token)["scope"] == "tickets:read tickets:write"


def test_a32_a_time_boxed_grant_does_not_outlive_its_box(scene: Scene) -> None:
    scene.consent("cli_a", ["tickets:read"], ttl_seconds=900)
    onward = scene.authorize(scene.session(), scope="tickets:read")
    answer = scene.redeem(onward.location.partition("code=")[2].partition("&")[0])
    end = scene.world.now + 900
    scene.world.clock.advance(500)
    answer = refresh(scene, answer.json["refresh_token"])
    assert claims_of(answer.token)["exp"] <= end
    scene.world.clock.advance(401)
    assert refresh(scene, answer.json["refresh_token"]).error == "invalid_grant"
    assert scene.introspect(answer.token) == {"active": False}

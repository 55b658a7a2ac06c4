"""Authorization codes and PKCE: O17 to O22. Each attack stands beside the redemption that works."""

import itertools

import pytest

from tests.builders.oauth import CHALLENGE, REDIRECT_URI, VERIFIER, Scene


def test_the_honest_redemption_works(scene: Scene) -> None:
    assert scene.redeem(scene.code()).status == 200


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param(
            {"code_challenge": None, "code_challenge_method": None}, "invalid_request", id="O19-none"
        ),
        pytest.param({"code_challenge_method": "plain"}, "invalid_request", id="O19-plain"),
        pytest.param({"code_challenge_method": None}, "invalid_request", id="O19-method-left-out"),
        pytest.param({"code_challenge": CHALLENGE[:-1]}, "invalid_request", id="O19-short-challenge"),
        pytest.param({"code_challenge": CHALLENGE + "="}, "invalid_request", id="O19-padded-challenge"),
    ],
)
def test_a_request_without_s256_gets_no_code(scene: Scene, changes: dict, error: str) -> None:
    scene.consent("cli_a", ["tickets:read", "tickets:write"])
    onward = scene.authorize(scene.session(), **changes)
    assert f"error={error}" in onward.location
    assert "code=" not in onward.location.replace("code_", "")
    assert "code=" in scene.authorize(scene.session()).location


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"code_verifier": None}, id="O19-no-verifier"),
        pytest.param({"code_verifier": "w" * 64}, id="O18-wrong-verifier"),
        pytest.param({"code_verifier": CHALLENGE}, id="O19-challenge-as-verifier"),
        pytest.param({"code_verifier": VERIFIER + "é"}, id="O19-non-ascii-verifier"),
        pytest.param({"redirect_uri": None}, id="O18-no-redirect-uri"),
        pytest.param({"redirect_uri": "https://writer.example/other"}, id="O18-other-redirect-uri"),
        pytest.param({"code": "x" * 43}, id="O22-made-up"),
    ],
)
def test_a_code_with_anything_wrong_is_refused(scene: Scene, changes: dict) -> None:
    refused = scene.redeem(**{"code": scene.code(), **changes})
    assert (refused.status, refused.error) == (400, "invalid_grant")
    assert scene.redeem(scene.code()).status == 200


def test_o21_only_one_cell_of_the_truth_table_succeeds(scene: Scene) -> None:
    """(client, redirect URI, verifier, expiry, used): 32 cells, one of which gives a token."""
    won = []
    for cell in itertools.product((True, False), repeat=5):
        right_client, right_uri, right_verifier, in_time, unused = cell
        code = scene.code()
        if not unused:
            scene.redeem(code)
        if not in_time:
            scene.world.clock.advance(61)
        answer = scene.redeem(
            code,
            client="cli_a" if right_client else "cli_b",
            redirect_uri=REDIRECT_URI if right_uri else "https://evil.example/",
            code_verifier=VERIFIER if right_verifier else "w" * 64,
        )
        if answer.status == 200:
            won.append(cell)
        else:
            assert answer.error == "invalid_grant"
    assert won == [(True,) * 5]


def test_o20_a_second_redemption_ends_what_the_first_got(scene: Scene) -> None:
    code = scene.code()
    first = scene.redeem(code)
    child = scene.hand_over(first.token, "b").token
    assert scene.introspect(child)["active"] is True

    again = scene.redeem(code)
    assert (again.status, again.error) == (400, "invalid_grant")
    assert scene.introspect(first.token) == {"active": False}
    assert scene.introspect(child) == {"active": False}
    refresh = {"grant_type": "refresh_token", "refresh_token": first.json["refresh_token"]}
    assert scene.call("token", refresh, client="cli_a").error == "invalid_grant"


def test_o22_other_single_use_objects_are_no_codes(scene: Scene) -> None:
    """The shared store of CVE-2026-4282: what was made for one use must not serve another."""
    first = scene.redeem(scene.code())
    onward = scene.authorize(None)
    handle = onward.location.partition("resume=")[2]
    for thing in (handle, first.json["refresh_token"], first.token):
        assert scene.redeem(thing).error == "invalid_grant"
    assert scene.redeem(scene.code()).status == 200


def test_t03_a_code_of_another_tenant_is_unknown(scene: Scene) -> None:
    other = Scene(scene.world, slug="globex")
    assert other.redeem(scene.code()).error == "invalid_grant"
    assert other.redeem(other.code()).status == 200

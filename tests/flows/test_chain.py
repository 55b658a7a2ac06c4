"""Person → A → B → C: one chain, every claim in it, and the same told by JWT and introspection."""

from tests.builders.oauth import Scene, claims_of
from tests.builders.world import TICKETS


def test_three_agents_stand_nested_in_act(scene: Scene) -> None:
    first = scene.person_token()
    second = scene.hand_over(first, "b").token
    third = scene.hand_over(second, "c").token

    claims = claims_of(third)
    ids = {name: agent.id for name, agent in scene.agents.items()}
    assert claims["sub"] == scene.maya
    assert claims["act"]["sub"] == ids["c"]
    assert claims["act"]["act"]["sub"] == ids["b"]
    assert claims["act"]["act"]["act"]["sub"] == ids["a"]
    assert "act" not in claims["act"]["act"]["act"]
    assert claims["dlg"]["depth"] == 3
    assert claims["aud"] == TICKETS
    assert claims["roles"] == ["support.agent"]
    assert claims["txn"] == claims_of(first)["txn"]
    assert claims["acr"] == "phr"
    assert claims["exp"] <= claims_of(second)["exp"] <= claims_of(first)["exp"]
    assert {**claims, "active": True, "token_type": "Bearer"} == scene.introspect(third)


def test_a_token_says_how_complete_the_groups_were_who_told_them_and_when(scene: Scene) -> None:
    told_at = scene.world.now
    first = scene.person_token()
    assert claims_of(first)["dlg"]["groups"] == {"state": "complete", "source": "token", "at": told_at}
    scene.world.clock.advance(60)
    failed = {"groups_state": "error", "groups_problem": "The directory is away."}
    scene.world.user(scene.tenant, scene.okta, "maya", groups=["other"], **failed)
    second = scene.hand_over(first, "b").token
    told = claims_of(second)
    assert told["dlg"]["groups"] == {"state": "error", "source": "token", "at": told_at}
    assert told["roles"] == ["support.agent"], "what failed takes nothing away for a while"
    assert scene.introspect(second)["dlg"] == told["dlg"]
    scene.world.user(scene.tenant, scene.okta, "maya", groups=["other"], groups_state="truncated")
    third = scene.hand_over(second, "c", scope="tickets:read").token
    assert claims_of(third)["dlg"]["groups"]["state"] == "truncated"
    assert "roles" not in claims_of(third)


def test_revoking_the_root_ends_the_chain(scene: Scene) -> None:
    first = scene.person_token()
    second = scene.hand_over(first, "b").token
    sibling = scene.exchange(first, "a", scope="tickets:read").token

    assert scene.call("revoke", {"token": second}, client="cli_b").status == 200
    assert scene.introspect(second) == {"active": False}
    assert scene.introspect(sibling)["active"] is True

    assert scene.call("revoke", {"token": first}, client="cli_a").status == 200
    assert scene.introspect(sibling) == {"active": False}
    assert scene.introspect(first) == {"active": False}

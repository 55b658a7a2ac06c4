"""Tasks, and tokens that are meant for one agent: TEX-05, the task's end, and its runs."""

import base64
import hashlib
from typing import Any

import pytest
from sqlalchemy import func, select

from broker.agents.models import Agent
from broker.audit.models import AuditRecord
from broker.kernel.versions import bump
from broker.tokens.models import Task
from tests.builders.oauth import Scene, claims_of
from tests.builders.world import TICKETS

PURPOSE = "Close the tickets of last week"


def change_agent(scene: Scene, name: str, **changes: Any) -> None:
    with scene.world.rt.database.write(scene.tenant.id) as session:
        row = session.get(Agent, scene.agents[name].id)
        assert row is not None
        for column, value in changes.items():
            setattr(row, column, value)
        bump(session.connection(), scene.tenant.id)


def begin(scene: Scene, token: str | None = None, **changes: Any) -> dict[str, Any]:
    asked = {"task_purpose": PURPOSE, **changes}
    answer = scene.exchange(token or scene.person_token(), "a", **asked)
    assert answer.status == 200, answer.json
    return answer.json


def end(scene: Scene, task: str, client: str = "cli_a") -> int:
    return scene.call("end_task", {"task": task}, client=client).status


def test_a_task_has_one_id_on_all_its_tokens(scene: Scene) -> None:
    begun = begin(scene)
    first = claims_of(begun["access_token"])
    second = claims_of(scene.hand_over(begun["access_token"], "b").token)
    hashed = base64.urlsafe_b64encode(hashlib.sha256(PURPOSE.encode()).digest()).rstrip(b"=").decode()
    for claims in (first, second):
        assert claims["txn"] == begun["txn"]
        assert claims["dlg"]["purpose_hash"] == f"sha-256:{hashed}"
        assert "instance" not in claims["dlg"]
    assert PURPOSE not in str(first)


def test_the_end_of_a_task_ends_every_token_in_it_and_no_other(scene: Scene) -> None:
    token = scene.person_token()
    begun = begin(scene, token)
    inner = scene.hand_over(begun["access_token"], "b").token
    beside = scene.exchange(token, "a").token
    again = scene.exchange(token, "a", task=begun["txn"])
    assert again.json["txn"] == begun["txn"] == claims_of(again.token)["txn"]
    assert end(scene, begun["txn"]) == 200
    for ended in (begun["access_token"], inner, again.token):
        assert scene.introspect(ended) == {"active": False}
    for live in (token, beside):
        assert scene.introspect(live)["active"] is True
    # Nothing comes back, and nothing more comes in.
    assert scene.exchange(token, "a", task=begun["txn"]).error == "invalid_grant"
    assert scene.exchange(inner, "b").error == "invalid_grant"
    with scene.world.rt.database.read(scene.tenant.id) as session:
        event = session.scalars(select(AuditRecord).where(AuditRecord.event == "task.ended")).one()
        assert (event.target_id, event.data["token_count"]) == (begun["txn"], 3)


def test_only_the_client_that_began_a_task_ends_it(scene: Scene) -> None:
    begun = begin(scene)
    scene.hand_over(begun["access_token"], "b")
    for client in ("cli_b", "rs_tickets"):
        assert end(scene, begun["txn"], client) == 200
    assert end(scene, "txn_unknown") == 200
    assert scene.call("end_task", {"task": begun["txn"]}).status == 401
    other = Scene(scene.world, slug="other")
    assert end(other, begun["txn"]) == 200
    assert scene.introspect(begun["access_token"])["active"] is True
    assert end(scene, begun["txn"]) == 200
    assert scene.introspect(begun["access_token"]) == {"active": False}


def test_a_task_is_over_when_its_time_is_over(scene: Scene) -> None:
    token = scene.person_token()
    begun = begin(scene, token, task_seconds="60")
    assert claims_of(begun["access_token"])["exp"] == scene.world.now + 60
    assert scene.exchange(token, "a", task=begun["txn"]).status == 200
    scene.world.clock.advance(61)
    assert scene.exchange(token, "a", task=begun["txn"]).error == "invalid_grant"
    assert scene.exchange(token, "a").status == 200


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"task_purpose": ""}, "invalid_request", id="blank"),
        pytest.param({"task_purpose": "x" * 201}, "invalid_request", id="long"),
        pytest.param({"task_purpose": PURPOSE, "task": "txn_1"}, "invalid_request", id="both"),
        pytest.param({"task_seconds": "60"}, "invalid_request", id="time-without-purpose"),
        pytest.param({"task_purpose": PURPOSE, "task_seconds": "-5"}, "invalid_request", id="negative"),
        pytest.param({"task_purpose": PURPOSE, "task_seconds": "0"}, "invalid_request", id="zero"),
        pytest.param(
            {"task_purpose": PURPOSE, "task_instance": "run_1"}, "invalid_request", id="no-template"
        ),
        pytest.param({"task": "txn_unknown"}, "invalid_grant", id="unknown"),
        pytest.param({"task": ""}, "invalid_request", id="blank-task"),
    ],
)
def test_a_task_that_makes_no_sense_is_refused(scene: Scene, changes: dict[str, str], error: str) -> None:
    token = scene.person_token()
    assert scene.exchange(token, "a", **changes).error == error
    with scene.world.rt.database.read(scene.tenant.id) as session:
        assert session.scalar(select(func.count()).select_from(Task)) == 0
    assert begin(scene, token)["txn"]


def test_a_task_is_not_left_by_beginning_another(scene: Scene) -> None:
    begun = begin(scene)
    other = begin(scene)
    for changes in ({"task_purpose": "Something else"}, {"task": other["txn"]}):
        assert scene.exchange(begun["access_token"], "a", **changes).error == "invalid_request"
    assert scene.exchange(begun["access_token"], "a").status == 200


def test_a_task_belongs_to_one_permission(scene: Scene) -> None:
    begun = begin(scene)
    other_grant = scene.person_token()
    assert scene.exchange(other_grant, "a", task=begun["txn"]).error == "invalid_grant"
    theirs = scene.hand_over(other_grant, "b").token
    assert scene.exchange(theirs, "b", task=begun["txn"]).error == "invalid_grant"


def test_a_templates_task_names_its_run(scene: Scene) -> None:
    change_agent(scene, "a", options={"has_instances": True})
    token = scene.person_token()
    for changes in ({}, {"task_instance": ""}, {"task_instance": "run 1"}, {"task_instance": "x" * 65}):
        assert scene.exchange(token, "a", task_purpose=PURPOSE, **changes).error == "invalid_request"
    begun = begin(scene, token, task_instance="run_8f31")
    assert claims_of(begun["access_token"])["dlg"]["instance"] == "run_8f31"
    handed = scene.hand_over(begun["access_token"], "b").token
    assert scene.introspect(handed)["dlg"]["instance"] == "run_8f31"


@pytest.mark.parametrize("name", ["TEX-05"])
def test_a_token_for_one_successor_serves_no_other(scene: Scene, name: str) -> None:
    change_agent(scene, "a", delegable_to=["b", "c"])
    first = scene.person_token()
    b, c = scene.agents["b"].id, scene.agents["c"].id
    meant = scene.exchange(first, "a", delegate_to=b).token
    assert claims_of(meant)["may_act"] == {"iss": scene.tenant.issuer, "sub": b}
    refused = scene.hand_over(meant, "c")
    assert (refused.status, refused.error) == (400, "actor_unauthorized")
    # Nor can the presenter lose the restriction by narrowing; the next actor is free again.
    narrowed = scene.exchange(meant, "a", scope="tickets:read").token
    assert scene.hand_over(narrowed, "c").error == "actor_unauthorized"
    joined = scene.hand_over(meant, "b").token
    assert "may_act" not in claims_of(joined)
    assert scene.hand_over(joined, "c").status == 200
    assert scene.hand_over(first, "c").status == 200
    for wrong in ("agt_unknown", scene.agents["d"].id, ""):
        assert scene.exchange(first, "a", delegate_to=wrong).status == 400
    assert scene.exchange(first, "a", delegate_to=c).status == 200
    assert claims_of(meant)["aud"] == TICKETS

"""A person's groups followed to what agents could get, and a rule that is tried before it is saved."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from broker.admin import rule_trial
from broker.admin.access import Administrator
from broker.admin.changes import Desk
from broker.admin.role_preview import preview_context
from broker.admin.rule_trial import Trial, rule_context
from broker.audit.log import ActorRef
from broker.directory.models import GroupMapping
from broker.directory.provisioning import ToldGroups, store_groups
from broker.tokens.cascade import GRANTS
from broker.tokens.switching_off import end_connection, end_user
from idp_connectors.base import Group
from tests.builders.oauth import claims_of
from tests.builders.office import Office, open_office, submit
from tests.builders.world import TICKET_SCOPES

HOME = "/t/acme/admin"


@pytest.fixture
def office(database_url: str, tmp_path: Path) -> Iterator[Office]:
    with open_office(database_url, tmp_path, admin_role="broker.admin") as opened:
        yield opened


def desk(office: Office) -> Desk:
    who = Administrator(session=None, actor=ActorRef("admin", "test"))  # type: ignore[arg-type]
    return Desk(office.rt, office.world.again(office.tenant), who, office.world.ctx)


def rule_id(office: Office, pattern: str) -> str:
    with office.rt.database.read(office.tenant.id) as session:
        found = session.scalar(select(GroupMapping.id).where(GroupMapping.pattern == pattern))
    assert found is not None
    return found


def trial(office: Office, wanted: str = "save", **given: str) -> Trial:
    fields = {"connection_id": office.scene.okta.id, "kind": "name", "match": "exact", **given}
    found = rule_context(desk(office), fields, wanted)["trial"]
    assert isinstance(found, Trial)
    return found


# -- the preview ------------------------------------------------------------------------------------------


def test_groups_are_followed_to_what_agents_could_get(office: Office):
    scene = office.scene
    office.world.user(scene.tenant, scene.okta, "maya", groups=["support", "chess", "running"])
    found = preview_context(desk(office), scene.maya)

    (hit,) = found["hits"]
    assert (hit["group"], hit["rule"], hit["role"], hit["counts"]) == (
        "support",
        "is support",
        "support.agent",
        True,
    )
    assert hit["scopes"] == ["tickets:write"]
    assert [one["group"] for one in found["unmatched"]] == ["chess", "running"]
    (source,) = found["sources"]
    assert (source["state"], source["count"], source["fetched_at"]) == ("complete", 3, office.world.now)
    # What the page says of an agent is what its token would hold.
    of_a = next(one for one in found["reach"] if one["agent_name"] == "A")
    token = scene.person_token("cli_a", " ".join(TICKET_SCOPES))
    assert of_a["scopes"] == sorted(claims_of(token)["scope"].split())


def test_the_page_shows_flow_table_and_a_way_to_add_a_rule(office: Office):
    scene, admin = office.scene, office.admin()
    office.world.user(scene.tenant, scene.okta, "maya", groups=["support", "chess club"])
    assert f"/people/{scene.maya}/roles" in admin.get(f"{HOME}/people/{scene.maya}").text
    assert f"/people/{scene.maya}/roles" in admin.get(f"{HOME}/roles/preview?q=may").text
    assert scene.maya not in admin.get(f"{HOME}/roles/preview?q=nobody").text

    page = admin.get(f"{HOME}/people/{scene.maya}/roles").text
    assert '<svg class="flow-map"' in page
    assert re.search(r"<caption[^>]*>Groups of Maya that a rule names", page)
    link = re.search(r'href="([^"]+/admin/rules\?[^"]+pattern=chess[^"]*)"', page)
    assert link is not None
    form = admin.get(link[1].replace("&amp;", "&")).text
    assert 'value="chess club"' in form
    assert f'<option value="{scene.okta.id}" selected>' in form


def test_incomplete_groups_are_held_back_and_the_page_says_so(office: Office):
    scene, world = office.scene, office.world
    world.role(scene.tenant, "lead", ["tickets:delete"])
    world.mapping(scene.tenant, scene.okta, "leads", "lead")
    world.user(scene.tenant, scene.okta, "maya", groups=["leads", "support"], groups_state="truncated")
    found = preview_context(desk(office), scene.maya)
    assert {hit["role"]: hit["counts"] for hit in found["hits"]} == {"lead": False, "support.agent": True}
    assert [role["name"] for role in found["roles"]] == ["support.agent"]
    assert "are not complete" in office.admin().get(f"{HOME}/people/{scene.maya}/roles").text


def test_a_disabled_connection_counts_for_nothing(office: Office):
    scene = office.scene
    with office.rt.database.core_write() as connection:
        end_connection(connection, scene.tenant.id, scene.okta.id, "connection_disabled", office.world.now)
    found = preview_context(desk(office), scene.maya)
    assert [hit["counts"] for hit in found["hits"]] == [False]
    assert found["roles"] == []
    assert found["sources"][0]["is_on"] is False


def test_what_limits_an_agent_is_named(office: Office):
    scene, world = office.scene, office.world
    narrow = world.agent(scene.tenant, "narrow", scopes=["tickets:read"], roles=["support.agent"])
    world.client(scene.tenant, "cli_narrow", agent=narrow)
    robot = world.agent(scene.tenant, "robot", roles=["support.agent"])
    world.client(scene.tenant, "cli_robot", agent=robot, grant_types=["client_credentials"])
    found = preview_context(desk(office), scene.maya)
    (of_narrow,) = [one for one in found["reach"] if one["agent_id"] == narrow.id]
    assert of_narrow["scopes"] == ["tickets:read"]
    assert {"scope": "tickets:write", "why": "not in the agent's own scopes"} in of_narrow["withheld"]
    tomek = office.world.user(scene.tenant, scene.okta, "tomek", groups=["chess"])
    writer = world.agent(scene.tenant, "writer", scopes=["tickets:write"], roles=["support.agent"])
    world.client(scene.tenant, "cli_writer", agent=writer)
    without = preview_context(desk(office), tomek)["reach"]
    (of_writer,) = [one for one in without if one["agent_id"] == writer.id]
    assert of_writer["scopes"] == []
    assert {"scope": "tickets:write", "why": "no role of the person carries it"} in of_writer["withheld"]
    assert {"scope": "tickets:read", "why": "not in the agent's own scopes"} in of_writer["withheld"]
    assert robot.id not in {one["agent_id"] for one in found["reach"]}, "it acts for nobody"


def test_hundreds_of_groups_stay_a_page(office: Office):
    scene = office.scene
    office.world.mapping(scene.tenant, scene.okta, "g-", "support.agent", match="prefix")
    groups = [*(f"g-{n}" for n in range(900)), *(Group("id", f"x-{n}") for n in range(600))]
    office.world.user(scene.tenant, scene.okta, "maya", groups=groups)
    found = preview_context(desk(office), scene.maya)
    assert (len(found["hits"]), found["hits_left"]) == (200, 700)
    assert (len(found["unmatched"]), found["unmatched_count"]) == (200, 600)
    assert found["is_cut"]
    assert len(office.admin().get(f"{HOME}/people/{scene.maya}/roles").data) < 400_000


# -- a rule is tried before it is saved -------------------------------------------------------------------


def test_a_new_rule_tells_who_gains_and_saves_nothing(office: Office):
    scene, world, admin = office.scene, office.world, office.admin()
    omar = world.user(scene.tenant, scene.okta, "omar", groups=["sales"])
    world.user(scene.tenant, scene.okta, "ines", groups=["sales", "support"])
    gone = world.user(scene.tenant, scene.okta, "gone", groups=["sales"])
    with office.rt.database.core_write() as connection:
        end_user(connection, scene.tenant.id, gone, "user_disabled", world.now)

    found = trial(office, pattern="sales", role="support.agent")
    assert (found.gains, found.losses, found.people_read, found.is_cut) == (1, 0, 3, False)
    assert [one["user_id"] for one in found.gaining] == [omar]
    query = f"?pattern=sales&role=support.agent&kind=name&match=exact&connection_id={scene.okta.id}"
    page = admin.get(f"{HOME}/rules{query}&try=save").text
    assert "1 person gains a role" in page
    assert office.events("mapping.created") == []

    saved = submit(
        admin, f"{HOME}/rules{query}&try=save", f"{HOME}/rules",
        connection_id=scene.okta.id, kind="name", match="exact", pattern="sales", role="support.agent",
    )  # fmt: skip
    assert saved.status_code == 303
    assert trial(office, pattern="sales", role="support.agent").gains == 0, "now they have it"


def test_a_changed_rule_tells_who_gains_and_who_loses(office: Office):
    scene, world, admin = office.scene, office.world, office.admin()
    omar = world.user(scene.tenant, scene.okta, "omar", groups=["sales"])
    old = rule_id(office, "support")
    found = trial(office, rule_id=old, pattern="sales", role="support.agent")
    assert [one["user_id"] for one in found.gaining] == [omar]
    assert [one["user_id"] for one in found.losing] == [scene.maya]

    fields = {"connection_id": scene.okta.id, "kind": "name", "match": "exact", "role": "support.agent"}
    page = f"{HOME}/rules?rule_id={old}"
    done = submit(admin, page, f"{HOME}/rules", rule_id=old, pattern="sales", **fields)
    assert "The rule was changed." in admin.get(done.location).text
    (event,) = office.events("mapping.changed")
    assert (event.data["former_pattern"], event.data["pattern"]) == ("support", "sales")
    assert preview_context(desk(office), scene.maya)["roles"] == []
    assert [one["name"] for one in preview_context(desk(office), omar)["roles"]] == ["support.agent"]
    assert (
        submit(admin, f"{HOME}/rules", f"{HOME}/rules", rule_id=old, pattern="x", **fields).status_code == 404
    )


def test_a_role_that_another_connection_gives_is_not_lost(office: Office):
    scene, world = office.scene, office.world
    entra = world.connection(scene.tenant, "entra")
    world.mapping(scene.tenant, entra, "helpers", "support.agent")
    old = rule_id(office, "support")
    assert trial(office, "remove", rule_id=old).losses == 1
    with office.rt.database.write(scene.tenant.id) as session:
        told = ToldGroups(
            [{"kind": "name", "value": "helpers", "display": ""}], "complete", "token", world.now
        )
        store_groups(session.connection(), scene.tenant.id, entra.id, scene.maya, told)
    assert trial(office, "remove", rule_id=old).losses == 0


def test_incomplete_groups_gain_nothing_in_a_trial_either(office: Office):
    scene, world = office.scene, office.world
    world.user(scene.tenant, scene.okta, "omar", groups=["sales"], groups_state="overage")
    assert trial(office, pattern="sales", role="support.agent").gains == 0
    world.user(scene.tenant, scene.okta, "omar", groups=["sales"])
    assert trial(office, pattern="sales", role="support.agent").gains == 1


def test_a_trial_is_bounded_and_says_what_it_left_out(office: Office, monkeypatch: pytest.MonkeyPatch):
    scene, world = office.scene, office.world
    for number in range(6):
        world.user(scene.tenant, scene.okta, f"p{number}", groups=["sales", "a", "b"])
    monkeypatch.setattr(rule_trial, "MAX_PEOPLE", 4)
    found = trial(office, pattern="sales", role="support.agent")
    assert (found.people_read, found.people_total, found.is_cut) == (4, 7, True)
    monkeypatch.setattr(rule_trial, "MAX_PEOPLE", 100)
    monkeypatch.setattr(rule_trial, "MAX_GROUPS", 8)
    assert trial(office, pattern="sales", role="support.agent").people_read in (3, 4)
    query = f"?pattern=sales&role=support.agent&connection_id={scene.okta.id}&try=save"
    assert "Not everybody was counted." in office.admin().get(f"{HOME}/rules{query}").text


@pytest.mark.parametrize(
    "given",
    [
        {"pattern": "*", "match": "glob"},
        {"pattern": ""},
        {"pattern": "sales", "kind": "colour"},
        {"pattern": "sales", "role": "nobody"},
        {"pattern": "sales", "connection_id": "con_00000000000000000000"},
    ],
)
def test_a_rule_that_could_not_be_saved_is_not_tried(office: Office, given: dict[str, str]):
    fields = {"role": "support.agent", "connection_id": office.scene.okta.id, **given}
    query = "&".join(f"{name}={value}" for name, value in fields.items())
    assert office.admin().get(f"{HOME}/rules?{query}&try=save").status_code in (400, 422)
    assert office.admin().get(f"{HOME}/rules?{query}").status_code == 200


def test_nothing_of_it_changes_what_is_held(office: Office):
    office.scene.person_token()
    with office.rt.database.core_read() as connection:
        before = connection.execute(select(GRANTS)).all()
    office.admin().get(f"{HOME}/people/{office.scene.maya}/roles")
    trial(office, pattern="sales", role="support.agent")
    with office.rt.database.core_read() as connection:
        assert connection.execute(select(GRANTS)).all() == before

"""An administrator comes in and works: agents, people, roles, connections, the audit log."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update
from werkzeug.test import TestResponse

from broker.admin.entry import ADMIN_SECONDS
from broker.audit.models import AuditRecord
from broker.directory.group_facts import AskAgain, store_groups, tell
from broker.directory.models import GroupMapping, Role
from tests.builders.office import Office, open_office, submit
from tests.builders.site import Browser
from tests.builders.world import TICKETS

HOME = "/t/acme/admin"


@pytest.fixture
def office(database_url: str, tmp_path: Path) -> Iterator[Office]:
    with open_office(database_url, tmp_path, admin_role="broker.admin") as opened:
        yield opened


def agent_page(office: Office, name: str) -> str:
    return f"{HOME}/agents/{office.scene.agents[name].id}"


def act(office: Office, browser: Browser, name: str, action: str, reason: str = "") -> TestResponse:
    page = agent_page(office, name)
    return submit(browser, page, page, action=action, reason=reason)


def test_every_page_opens_and_none_shows_a_secret(office: Office) -> None:
    scene, admin = office.scene, office.admin()
    scene.hand_over(scene.person_token(), "b")
    pages = [
        "", "/agents", f"/agents/{scene.agents['a'].id}", "/people", f"/people/{scene.maya}", "/roles",
        "/resources", "/connections", f"/connections/{scene.okta.id}", "/audit",
    ]  # fmt: skip
    for page in pages:
        answer = admin.get(HOME + page)
        assert answer.status_code == 200, page
        assert "secret_hash" not in answer.text
        assert "correct-horse" not in answer.text
        assert "eyJ" not in answer.text


def test_a_person_with_the_admin_role_comes_in_without_a_link(office: Office) -> None:
    office.world.role(office.tenant, "broker.admin")
    office.world.mapping(office.tenant, office.scene.okta, "admins", "broker.admin")
    ines = office.world.user(office.tenant, office.scene.okta, "ines", groups=["admins"])
    browser = office.person(ines)
    assert browser.get(HOME).status_code == 200
    assert browser.get(HOME).status_code == 200
    assert [event.subject_id for event in office.events("admin.signed_in")] == [ines]

    act(office, browser, "a", "suspend")
    assert office.events("agent.suspended")[-1].actor == {"kind": "admin", "id": ines}


def test_killing_an_agent_ends_everything_by_one_post(office: Office) -> None:
    scene, admin = office.scene, office.admin()
    first = scene.person_token()
    second = scene.hand_over(first, "b").token
    own = scene.own_token("a")
    other = scene.person_token("cli_d")
    assert "3 live tokens, 2 permissions of 1 person" in admin.get(agent_page(office, "a")).text

    answer = act(office, admin, "a", "kill", "It leaked its key")

    for token in (first, second, own):
        assert scene.introspect(token) == {"active": False}
    assert scene.introspect(other)["active"] is True
    refused = scene.call("token", {"grant_type": "client_credentials", "resource": TICKETS}, client="cli_a")
    assert refused.status in (400, 401)
    assert "access_token" not in refused.json
    receipt = admin.get(answer.location).text
    assert "A was killed." in receipt
    assert "3 tokens and 2 permissions ended just now." in receipt
    event = office.events("agent.killed")[-1]
    assert event.data["note"] == "It leaked its key"
    assert (event.actor or {})["kind"] == "admin"
    assert "Reason: It leaked its key." in admin.get(agent_page(office, "a")).text


def test_a_sub_agents_kill_leaves_the_agent_above_it(office: Office) -> None:
    scene, admin = office.scene, office.admin()
    first = scene.person_token()
    second = scene.hand_over(first, "b").token
    third = scene.hand_over(second, "c").token
    act(office, admin, "b", "kill", "test")
    assert scene.introspect(first)["active"] is True
    assert scene.introspect(second) == scene.introspect(third) == {"active": False}


def test_a_kill_needs_a_reason(office: Office) -> None:
    admin = office.admin()
    assert act(office, admin, "a", "kill", "  ").status_code == 400
    assert office.events("agent.killed") == []


def test_a_suspended_agent_is_revived_and_its_old_tokens_stay_dead(office: Office) -> None:
    scene, admin = office.scene, office.admin()
    token = scene.person_token()
    office.world.clock.advance(1)
    act(office, admin, "a", "suspend")
    assert scene.introspect(token) == {"active": False}
    office.world.clock.advance(1)
    answer = act(office, admin, "a", "revive")
    assert "A was revived." in admin.get(answer.location).text
    assert scene.introspect(token) == {"active": False}
    office.world.clock.advance(1)
    assert scene.introspect(scene.own_token("a"))["active"] is True


def test_a_killed_agent_stays_killed(office: Office) -> None:
    admin = office.admin()
    act(office, admin, "a", "kill", "test")
    assert 'value="revive"' not in admin.get(agent_page(office, "a")).text
    page = agent_page(office, "b")
    assert submit(admin, page, agent_page(office, "a"), action="revive").status_code == 400
    assert "Killed" in admin.get(agent_page(office, "a")).text


def test_revoking_a_token_takes_its_subtree_and_nothing_else(office: Office) -> None:
    scene, admin = office.scene, office.admin()
    first = scene.person_token()
    second = scene.hand_over(first, "b").token
    third = scene.hand_over(second, "c").token
    jti = scene.introspect(second)["jti"]
    page = agent_page(office, "a")

    answer = submit(admin, page, f"{page}/revoke", jti=jti)

    assert "2 tokens and 0 permissions ended" in admin.get(answer.location).text
    assert scene.introspect(first)["active"] is True
    assert scene.introspect(second) == scene.introspect(third) == {"active": False}
    assert office.events("token.revoked")[-1].data["token_count"] == 2


def test_an_agents_page_does_not_revoke_a_token_of_another(office: Office) -> None:
    scene, admin = office.scene, office.admin()
    foreign = scene.person_token("cli_d")
    page = agent_page(office, "a")
    jti = scene.introspect(foreign)["jti"]
    assert submit(admin, page, f"{page}/revoke", jti=jti).status_code == 404
    assert scene.introspect(foreign)["active"] is True
    page = agent_page(office, "d")
    assert submit(admin, page, f"{page}/revoke", jti=jti).status_code == 303
    assert scene.introspect(foreign) == {"active": False}


def test_agents_are_filtered_by_name_and_state(office: Office) -> None:
    admin = office.admin()
    office.world.agent(office.tenant, "zebra", name="Zebra")
    assert "1 agent match" in admin.get(f"{HOME}/agents?q=ZEB").text
    assert "No agent matches" in admin.get(f"{HOME}/agents?q=zeb&state=killed").text
    assert "6 agents" in admin.get(f"{HOME}/agents").text


def test_disabling_a_person_ends_sessions_and_tokens_and_enabling_lets_them_back(office: Office) -> None:
    scene, admin, maya = office.scene, office.admin(), office.person()
    token = scene.person_token()
    page = f"{HOME}/people/{scene.maya}"
    assert "group support (exact)" in admin.get(page).text
    office.world.clock.advance(1)

    answer = submit(admin, page, page, action="disable")

    receipt = admin.get(answer.location).text
    assert "The person was disabled." in receipt
    assert "1 token, 1 permission and 2 sessions ended just now." in receipt
    assert scene.introspect(token) == {"active": False}
    assert maya.get("/t/acme/me/agents").status_code == 303
    office.world.clock.advance(1)
    submit(admin, page, page, action="enable")
    office.world.clock.advance(1)
    assert scene.introspect(token) == {"active": False}
    assert office.person().get("/t/acme/me/agents").status_code == 200


def test_groups_that_could_not_be_asked_for_are_shown_with_why_and_when_again(office: Office) -> None:
    scene, admin = office.scene, office.admin()
    page = f"{HOME}/people/{scene.maya}"
    assert "The groups" not in admin.get(page).text
    with office.rt.database.write(scene.tenant.id) as session:
        again = AskAgain("maya", 3600)
        told = tell([], "error", "graph", office.world.now, problem="Graph is <busy>.", again=again)
        store_groups(session.connection(), scene.tenant.id, scene.okta.id, scene.maya, told)
    shown = admin.get(page).text
    assert "The groups could not be asked for." in shown
    assert "Graph is &lt;busy&gt;." in shown
    assert "Asked again" in shown
    assert "group support (exact)" in shown, "what was known before still counts"


def test_ending_sessions_leaves_the_agents_alone(office: Office) -> None:
    scene, admin, maya = office.scene, office.admin(), office.person()
    token = scene.person_token()
    page = f"{HOME}/people/{scene.maya}"
    submit(admin, page, page, action="end_sessions")
    assert maya.get("/t/acme/me/agents").status_code == 303
    assert scene.introspect(token)["active"] is True


def test_people_are_found_by_part_of_a_name(office: Office) -> None:
    admin = office.admin()
    office.world.user(office.tenant, office.scene.okta, "oskar", groups=["support"], groups_state="overage")
    page = admin.get(f"{HOME}/people?q=OSK").text
    assert "1 person match" in page
    assert "Too many to send" in page
    assert "Nobody matches" in admin.get(f"{HOME}/people?q=%25").text


def test_people_are_listed_a_page_at_a_time(office: Office) -> None:
    admin = office.admin()
    for number in range(30):
        office.world.user(office.tenant, office.scene.okta, f"person{number:02}")
    first = admin.get(f"{HOME}/people").text
    assert first.count('class="row-title"') == 25
    path = first.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert admin.get(path).text.count('class="row-title"') == 6


def test_a_role_is_made_given_to_a_group_and_counts_from_the_next_token(office: Office) -> None:
    scene, admin, page = office.scene, office.admin(), f"{HOME}/roles"
    answer = submit(admin, page, page, name="deleter", description="Cleans up", scopes="tickets:delete\n")
    assert "The role was made." in admin.get(answer.location).text
    rule = {"connection_id": scene.okta.id, "kind": "name", "match": "exact", "pattern": "support"}
    assert submit(admin, page, f"{HOME}/rules", role="deleter", **rule).status_code == 303
    assert "deleter" in admin.get(f"{HOME}/people/{scene.maya}").text

    with office.rt.database.read(office.tenant.id) as session:
        rule_id = session.query(GroupMapping).filter_by(role="deleter").one().id
        role_id = session.query(Role).filter_by(name="deleter").one().id
    submit(admin, page, f"{HOME}/rules/{rule_id}/remove")
    assert "deleter" not in admin.get(f"{HOME}/people/{scene.maya}").text
    submit(admin, page, f"{HOME}/roles/{role_id}/remove")
    assert "Cleans up" not in admin.get(page).text
    made = [
        office.events(name) for name in ("role.created", "mapping.created", "mapping.removed", "role.removed")
    ]
    assert [len(events) for events in made] == [1, 1, 1, 1]


def test_taking_a_scope_from_a_role_narrows_the_next_token(office: Office) -> None:
    scene, admin, page = office.scene, office.admin(), f"{HOME}/roles"
    first = scene.person_token()
    assert "tickets:write" in scene.introspect(first)["scope"]
    submit(admin, page, page, name="other", scopes="tickets:write")
    submit(admin, page, page, name="support.agent", scopes="tickets:read")
    assert scene.introspect(scene.exchange(first, "a").token)["scope"] == "tickets:read"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        pytest.param({}, 303, id="twin"),
        pytest.param({"pattern": "*"}, 400, id="A09-wildcard-for-everybody"),
        pytest.param({"pattern": ""}, 400, id="A09-empty-pattern"),
        pytest.param({"role": "no.such.role"}, 400, id="unknown-role"),
        pytest.param({"connection_id": "con_00000000000000000000"}, 400, id="unknown-connection"),
        pytest.param({"match": "regex"}, 400, id="unknown-match"),
    ],
)
def test_a_rule_is_checked(office: Office, change: dict[str, str], status: int) -> None:
    rule = {"connection_id": office.scene.okta.id, "kind": "name", "match": "exact"}
    rule |= {"pattern": "sales", "role": "support.agent", **change}
    assert submit(office.admin(), f"{HOME}/roles", f"{HOME}/rules", **rule).status_code == status
    assert len(office.events("mapping.created")) == (status == 303)


def test_disabling_a_connection_ends_what_came_through_it(office: Office) -> None:
    scene, admin = office.scene, office.admin()
    token = scene.person_token()
    page = f"{HOME}/connections/{scene.okta.id}"
    assert "/t/acme/oidc/okta/callback" in admin.get(page).text
    answer = submit(admin, page, page, action="disable")
    assert "1 token, 1 permission and 1 session ended just now." in admin.get(answer.location).text
    assert scene.introspect(token) == {"active": False}
    assert "Nobody can sign in." in admin.get(HOME).text
    submit(admin, page, page, action="enable")
    assert "Nobody can sign in." not in admin.get(HOME).text


def test_the_log_is_filtered_and_paged(office: Office) -> None:
    scene, admin = office.scene, office.admin()
    for _ in range(52):
        scene.own_token("a")
    first = admin.get(f"{HOME}/audit?event=token").text
    assert first.count('<details class="event">') == 50
    path = first.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert admin.get(path).text.count('<details class="event">') == 2
    none = admin.get(f"{HOME}/audit?agent={scene.agents['b'].id}").text
    assert "No event matches" in none
    assert admin.get(f"{HOME}/audit?cursor=garbage").status_code == 400


def test_the_chain_check_finds_an_edited_event(office: Office) -> None:
    scene, admin, page = office.scene, office.admin(), f"{HOME}/audit"
    scene.own_token("a")
    whole = submit(admin, page, f"{page}/verify").text
    assert "Intact" in whole
    with office.rt.database.unscoped(write=True) as session:
        session.execute(update(AuditRecord).where(AuditRecord.event == "token.issued").values(reason="x"))
    broken = submit(admin, page, f"{page}/verify").text
    assert "Broken" in broken
    assert "First fault: edited" in broken


def test_the_admin_session_by_link_is_short_even_in_use(office: Office) -> None:
    admin = office.admin()
    for _ in range(ADMIN_SECONDS // 1800 - 1):
        office.world.clock.advance(1800)
        assert admin.get(HOME).status_code == 200
    office.world.clock.advance(1800)
    assert admin.get(HOME).status_code == 303

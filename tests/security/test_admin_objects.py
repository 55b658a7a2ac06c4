"""Every object id × {own, a sibling tenant's, made up}: foreign is 404, and nothing tells it from made up."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select

from broker.directory.models import GroupMapping, Role
from broker.tenants.snapshot import TenantSnapshot
from tests.builders.oauth import Scene
from tests.builders.office import Office, open_office, submit
from tests.builders.provisioning import Provider
from tests.builders.site import Browser, form_token
from tests.builders.trusts import target_id
from tests.builders.world import SECRET

XSS = "<script>alert(1)</script>"
_REQUEST_ID = re.compile(r"req_[0-9a-z]{4}…[0-9a-z]{4}|req_[0-9a-z]{20}")
_TOKEN = re.compile(r'name="csrf_token" value="[^"]+"')


@dataclass
class Two:
    """Two tenants that look alike."""

    office: Office
    beta: Scene

    def ids(self, tenant: TenantSnapshot, scene: Scene) -> dict[str, str]:
        """An id of every kind of object that pages name."""
        with self.office.rt.database.read(tenant.id) as session:
            role = session.scalars(select(Role.id)).first()
            rule = session.scalars(select(GroupMapping.id)).first()
        return {
            "agent_id": scene.agents["a"].id,
            "user_id": scene.maya,
            "connection_id": scene.okta.id,
            "role_id": role or "",
            "rule_id": rule or "",
            "trust_id": target_id(scene),
            "test_id": self.office.tested(tenant, scene.okta),
            "person_id": Provider(self.office.world, tenant, scene.okta, matching="manual").user("m").id,
        }


@pytest.fixture
def two(database_url: str, tmp_path: Path) -> Iterator[Two]:
    with open_office(database_url, tmp_path) as office:
        yield Two(office, Scene(office.world, slug="beta"))


RANDOM = {
    "agent_id": "agt_00000000000000000000",
    "user_id": "usr_00000000000000000000",
    "connection_id": "con_00000000000000000000",
    "role_id": "rol_00000000000000000000",
    "rule_id": "map_00000000000000000000",
    "trust_id": "tru_00000000000000000000",
    "test_id": "ctest_00000000000000000000",
    "person_id": "scu_00000000000000000000",
}
FORMS: dict[str, list[dict[str, str]]] = {
    "admin.agent_action": [{"action": one, "reason": "x"} for one in ("suspend", "revive", "kill")],
    "admin.person_action": [{"action": one} for one in ("end_sessions", "disable", "enable")],
    "admin.connection_action": [{"action": one} for one in ("disable", "enable")],
    "admin.directory_sync_action": [{"action": one} for one in ("start", "confirm", "cancel")],
    "admin.switch_trust": [{"action": one} for one in ("disable", "enable", "remove")],
    "admin.make_scim_token": [
        {"name": "x", "days": "1", "access": "write", "matching": "manual", "overlap": ""}
    ],
}
ANSWERS = {
    # Revoking a token needs its id besides; without one there is nothing to revoke.
    "admin.revoke_token": 404,
    # So does ending a task.
    "admin.end_task": 404,
    "admin.revoke_scim_token": 404,
    # The token is shown in the answer, and nowhere else.
    "admin.make_scim_token": 200,
    # An OpenID Connect provider is no directory that can be walked.
    "admin.directory_sync_action": 400,
    # A form that says nothing: settings, and a typed word, are needed besides.
    "admin.change_connection": 400,
    "admin.remove_connection": 400,
    # An OpenID Connect provider knows no keys of ours, and its metadata is not followed.
    "admin.connection_keys": 404,
    "admin.connection_keys_action": 404,
    "admin.connection_certificate": 404,
    "admin.connection_metadata": 404,
    "admin.connection_metadata_action": 404,
    # Whom to join with is needed besides, and who was never joined cannot be separated.
    "admin.join_person": 400,
    "admin.separate_person": 400,
}
"""What one's own object is answered with, where it is not its page or the redirect to it."""


def routes(office: Office) -> list[tuple[str, str, str]]:
    """(endpoint, path, method) of every route of the two rooms that names an object, or several."""
    found = []
    for rule in office.app.url_map.iter_rules():
        names = rule.arguments - {"tenant", "area"}
        if rule.endpoint.partition(".")[0] in {"admin", "portal"} and names:
            path = rule.rule.replace("<tenant>", "acme")
            found += [(rule.endpoint, path, one) for one in rule.methods & {"GET", "POST"}]
    assert len(found) >= 12
    return found


def at(path: str, ids: Mapping[str, str]) -> str:
    """The path with every id that it names."""
    for name, one in ids.items():
        path = path.replace(f"<{name}>", one)
    return path


def ask(browser: Browser, method: str, path: str, form: dict[str, str]) -> tuple[int, str]:
    """The status and the text of an answer without what differs between any two answers."""
    answer = browser.get(path) if method == "GET" else browser.post(path, form)
    return answer.status_code, _TOKEN.sub("", _REQUEST_ID.sub("", answer.text))


def test_T01_foreign_ids_are_answered_as_made_up_ones(two: Two) -> None:
    office = two.office
    office.scene.person_token()
    theirs_token = two.beta.person_token()
    foreign = two.ids(two.beta.tenant, two.beta)
    browsers = {"admin": office.admin(), "portal": office.person()}
    for endpoint, path, method in routes(office):
        browser = browsers[endpoint.partition(".")[0]]
        home = "/t/acme/admin" if endpoint.startswith("admin") else "/t/acme/me/agents"
        token = form_token(browser.get(home))
        for form in FORMS.get(endpoint, [{}]):
            sent = {"csrf_token": token, **form}
            theirs = ask(browser, method, at(path, foreign), sent)
            nobodys = ask(browser, method, at(path, RANDOM), sent)
            assert theirs[0] == 404, (endpoint, method, form)
            assert theirs == nobodys, (endpoint, method, form)
    assert two.beta.introspect(theirs_token)["active"] is True


def test_T01_twin_own_ids_are_answered(two: Two) -> None:
    office = two.office
    office.scene.person_token()
    own = two.ids(office.tenant, office.scene)
    admin, maya = office.admin(), office.person()
    # Looking before changing, and a rule before the role whose removal would take it along.
    order = sorted(routes(office), key=lambda one: (one[2], one[0] != "admin.remove_rule", one[0]))
    for endpoint, path, method in order:
        area = endpoint.partition(".")[0]
        browser, home = (admin, "/t/acme/admin") if area == "admin" else (maya, "/t/acme/me/agents")
        token = form_token(browser.get(home))
        form = {"csrf_token": token, **FORMS.get(endpoint, [{}])[0]}
        status, _ = ask(browser, method, at(path, own), form)
        assert status == ANSWERS.get(endpoint, 200 if method == "GET" else 303), endpoint
        if endpoint in ("admin.connection_action", "admin.person_action"):
            # What was ended is let in again, so that the next route meets a person who is signed in.
            submit(admin, home, at(path, own), action="enable")
            office.world.clock.advance(1)
            maya = office.person()


def test_T01_an_agent_that_never_asked_me_is_not_there(two: Two) -> None:
    office = two.office
    office.scene.person_token("cli_d")
    other = office.world.user(office.tenant, office.scene.okta, "oskar", groups=["support"])
    oskar, maya = office.person(other), office.person()
    known, unknown = office.scene.agents["d"].id, RANDOM["agent_id"]
    for path in ("/t/acme/me/agents/{}", "/t/acme/me/agents?agent={}&done=req_00000000000000000000"):
        theirs, nobodys = (ask(oskar, "GET", path.format(one), {}) for one in (known, unknown))
        assert theirs == nobodys
        assert theirs[0] == 404
        assert maya.get(path.format(known)).status_code == 200
    form = {"csrf_token": form_token(oskar.get("/t/acme/me/agents"))}
    theirs, nobodys = (
        ask(oskar, "POST", f"/t/acme/me/agents/{one}/revoke", form) for one in (known, unknown)
    )
    assert theirs == nobodys
    assert theirs[0] == 404
    assert office.events("consent.withdrawn") == []


def test_T01_one_person_revokes_only_their_own(two: Two) -> None:
    office, scene = two.office, two.office.scene
    mayas = scene.person_token()
    oskar = office.world.user(office.tenant, scene.okta, "oskar", groups=["support"])
    maya, scene.maya = scene.maya, oskar
    oskars = scene.person_token()
    scene.maya = maya
    page = "/t/acme/me/agents"
    submit(office.person(oskar), page, f"{page}/{scene.agents['a'].id}/revoke")
    assert scene.introspect(oskars) == {"active": False}
    assert scene.introspect(mayas)["active"] is True


def test_T01_the_log_and_the_lists_hold_one_tenant(two: Two) -> None:
    two.beta.person_token()
    with_beta = two.office.admin()
    foreign = two.ids(two.beta.tenant, two.beta)
    assert with_beta.get(f"/t/acme/admin/rules?rule_id={foreign['rule_id']}").status_code == 404
    texts = [
        with_beta.get(f"/t/acme/admin{page}").text
        for page in (
            "", "/agents", "/people", "/roles", "/roles/preview", "/rules", "/resources", "/connections",
            "/audit",
        )
    ]  # fmt: skip
    strange = [*foreign.values(), two.beta.tenant.id]
    assert [one for one in strange for text in texts if one in text] == []
    assert two.office.scene.maya in texts[2]


# -- names that want to be code ---------------------------------------------------------------------------


def test_W_hostile_names_are_text_on_every_page(two: Two) -> None:
    office, world, scene = two.office, two.office.world, two.office.scene
    evil = world.agent(
        office.tenant, "evil", name=XSS, description=XSS, owner_name=XSS, roles=["support.agent"]
    )
    world.client(office.tenant, "cli_evil", agent=evil, name=XSS)
    eve = world.user(
        office.tenant, scene.okta, "eve", groups=[XSS], display_name=XSS, email=f"{XSS}@acme.example"
    )
    world.role(office.tenant, "loud", ["tickets:read"])
    world.mapping(office.tenant, scene.okta, XSS, "loud")
    world.mapping(office.tenant, scene.okta, "support", "loud")
    scene.person_token("cli_evil", "tickets:write")
    admin, page = office.admin(), f"/t/acme/admin/agents/{evil.id}"
    killed = submit(admin, page, page, action="suspend", reason=XSS).location
    paths = [
        "/t/acme/admin", "/t/acme/admin/agents", f"/t/acme/admin/agents?q={XSS}&state={XSS}", killed,
        f"/t/acme/admin/agents/{evil.id}", "/t/acme/admin/people", f"/t/acme/admin/people/{eve}",
        f"/t/acme/admin/people/{eve}/roles", "/t/acme/admin/roles/preview",
        f"/t/acme/admin/rules?pattern={XSS}&role=loud&connection_id={scene.okta.id}&try=save",
        "/t/acme/admin/roles", "/t/acme/admin/audit", f"/t/acme/admin/audit?person={XSS}&event={XSS}",
        f"/t/acme/admin/agents?done={XSS}",
    ]  # fmt: skip
    shown = 0
    for browser, path in [(admin, one) for one in paths] + [(office.person(), "/t/acme/me/agents")]:
        text = browser.get(path).text
        assert XSS not in text, path
        shown += "&lt;script&gt;" in text
    assert shown >= 9
    assert XSS not in office.person(eve).get("/t/acme/me/agents").text
    assert XSS not in office.browser().get("/me/agents", query_string={"organization": XSS}).text


def test_the_pages_hold_no_secret_of_clients_or_connections(two: Two) -> None:
    office = two.office
    office.world.connection(office.tenant, "adfs", secrets={"client_secret": "s3cr3t-of-the-provider"})
    adfs = office.world.again(office.tenant).find_connection("adfs")
    assert adfs is not None
    admin = office.admin()
    pages = [f"/connections/{adfs.id}", f"/agents/{office.scene.agents['a'].id}", "/audit", "/connections"]
    for page in pages:
        text = admin.get(f"/t/acme/admin{page}").text
        assert "s3cr3t" not in text
        assert SECRET not in text
    assert "Client secret" not in admin.get(f"/t/acme/admin{pages[0]}").text

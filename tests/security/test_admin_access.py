"""Who gets into the administration: a link once, a role now, and nothing else (T07, T16, T20, W01)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.federation.service_keys import get_service_keys
from broker.kernel.ids import new_id
from broker.web.cookies import session_cookie_name
from idp_connectors.saml.config import SamlConfig
from tests.builders.office import Office, open_office, submit
from tests.builders.provisioning import Provider
from tests.builders.saml_idp import SamlIdentityProvider
from tests.builders.site import form_token
from tests.builders.trusts import target_id

HOME = "/t/acme/admin"
SAML = SamlConfig.model_validate(SamlIdentityProvider().config()).model_dump(mode="json")
SETUP = f"{HOME}/setup"


@pytest.fixture
def office(database_url: str, tmp_path: Path) -> Iterator[Office]:
    with open_office(database_url, tmp_path, admin_role="broker.admin") as opened:
        yield opened


def every_page(office: Office) -> list[str]:
    """A GET address of every page of the administration behind the gate."""
    scene = office.scene
    # A SAML connection has every page that a connection can have.
    known = office.world.again(office.tenant).find_connection("corp")
    corp = known or office.world.connection(office.tenant, "corp", kind="saml", config=SAML)
    get_service_keys(office.rt, office.tenant.id, corp.id, office.world.now)
    ids = {
        "agent_id": scene.agents["a"].id,
        "user_id": scene.maya,
        "connection_id": corp.id,
        "test_id": office.tested(office.tenant, scene.okta),
        "person_id": Provider(office.world, office.tenant, corp, matching="manual").user(new_id("new")).id,
        "trust_id": target_id(scene),
    }
    pages = []
    for rule in office.app.url_map.iter_rules():
        if rule.endpoint.startswith("admin.") and rule.endpoint != "admin.setup" and "GET" in rule.methods:
            path = rule.rule.replace("<tenant>", "acme")
            for name, value in ids.items():
                path = path.replace(f"<{name}>", value)
            # Which sort of party a new one is has to be said.
            pages.append(f"{path}?kind=target" if path.endswith("/trusts/new") else path)
    assert len(pages) >= 13
    return pages


# -- the setup link ---------------------------------------------------------------------------------------


def test_T16_looking_at_the_link_does_not_spend_it(office: Office) -> None:
    code = office.link()
    for _ in range(3):
        page = office.browser().get(f"{SETUP}?code={code}")
        assert page.status_code == 200
        assert page.headers.getlist("Set-Cookie") == [] or "a-acme" not in str(page.headers)
    browser = office.browser()
    assert submit(browser, f"{SETUP}?code={code}", SETUP, code=code).location == HOME
    assert browser.get(HOME).status_code == 200
    event = office.events("admin.signed_in")[-1]
    assert (event.reason, (event.actor or {})["kind"]) == ("setup_link", "admin")


def test_T16_T20_the_link_works_once(office: Office) -> None:
    code = office.link()
    first, second = office.browser(), office.browser()
    token = form_token(second.get(f"{SETUP}?code={code}"))
    submit(first, f"{SETUP}?code={code}", SETUP, code=code)

    late = second.post(SETUP, {"csrf_token": token, "code": code})

    assert late.status_code == 410
    assert "link_spent" in late.text
    assert second.cookie("a-acme") is None
    assert second.get(HOME).status_code == 303
    assert len(office.events("admin.signed_in")) == 1
    assert first.get(HOME).status_code == 200


@pytest.mark.parametrize("kind", ["spent", "expired", "unknown", "none", "foreign", "hostile"])
def test_T20_links_that_do_not_work_all_look_alike(office: Office, kind: str) -> None:
    other = office.world.tenant("beta")
    code = {
        "spent": office.link(),
        "expired": office.link(ttl_seconds=60),
        "unknown": "x" * 43,
        "none": "",
        "foreign": office.link(other),
        "hostile": '"><script>alert(1)</script>',
    }[kind]
    if kind == "spent":
        submit(office.browser(), f"{SETUP}?code={code}", SETUP, code=code)
    office.world.clock.advance(61)
    twin, browser = office.link(), office.browser()

    page = browser.get(SETUP, query_string={"code": code})
    assert page.status_code == 410
    assert page.text == office.browser().get(f"{SETUP}?code={'y' * 43}").text
    token = form_token(browser.get(f"{SETUP}?code={twin}"))
    assert browser.post(SETUP, {"csrf_token": token, "code": code}).status_code == 410
    assert browser.cookie("a-acme") is None
    assert browser.post(SETUP, {"csrf_token": token, "code": twin}).status_code == 303


def test_a_link_of_another_purpose_does_not_let_anybody_in(office: Office) -> None:
    from broker.tokens.links import make_link

    with office.rt.database.core_write() as connection:
        code = make_link(
            connection, tenant_id=office.tenant.id, purpose="other", now=office.world.now, ttl_seconds=600
        )
    assert office.browser().get(f"{SETUP}?code={code}").status_code == 410
    assert office.browser().get(f"{SETUP}?code={office.link()}").status_code == 200


# -- everybody else ---------------------------------------------------------------------------------------


def test_T07_a_stranger_is_sent_to_sign_in_from_every_page(office: Office) -> None:
    for path in every_page(office):
        answer = office.browser().get(path)
        assert answer.status_code == 303, path
        assert answer.location.startswith("/t/acme/sign-in"), path
    admin = office.admin()
    assert [path for path in every_page(office) if admin.get(path).status_code != 200] == []


def test_T07_a_person_without_the_role_is_refused_everywhere_and_it_is_written_down(office: Office) -> None:
    maya = office.person()
    for path in every_page(office):
        assert maya.get(path).status_code == 403, path
    (event,) = office.events("admin.refused")
    assert (event.outcome, event.subject_id, event.reason) == ("refused", office.scene.maya, "no_admin_role")
    # T13: reloading does not fill the log, and the next attempt is not forgotten either.
    office.world.clock.advance(61)
    maya.get(HOME)
    assert len(office.events("admin.refused")) == 2


def test_T07_tokens_of_agents_and_people_open_nothing(office: Office) -> None:
    scene = office.scene
    token = scene.person_token(scope="openid tickets:read")
    browser = office.browser()
    for path in every_page(office):
        for header in (f"Bearer {token}", f"Bearer {scene.own_token('a')}"):
            answer = browser.get(path, headers={"Authorization": header})
            assert answer.status_code == 303, path
    for name in ("a-acme", "s-acme"):
        browser.set_cookie(name, token)
        assert browser.get(HOME).status_code == 303


def test_T07_a_persons_secret_in_the_admin_cookie_opens_nothing(office: Office) -> None:
    browser = office.browser()
    name = session_cookie_name(office.rt.settings, "acme", "admin")
    browser.set_cookie(name, office.secret("person", office.scene.maya))
    assert browser.get(HOME).status_code == 303
    browser.set_cookie(name, office.secret("admin", None))
    assert browser.get(HOME).status_code == 200


def test_the_role_is_computed_at_every_request(office: Office) -> None:
    world, okta = office.world, office.scene.okta
    world.role(office.tenant, "broker.admin")
    world.mapping(office.tenant, okta, "admins", "broker.admin")
    ines = world.user(office.tenant, okta, "ines", groups=["admins"])
    browser = office.person(ines)
    assert browser.get(HOME).status_code == 200
    world.user(office.tenant, okta, "ines", groups=["support"])
    assert browser.get(HOME).status_code == 403
    world.user(office.tenant, okta, "ines", groups=["admins"], groups_state="truncated")
    assert browser.get(HOME).status_code == 403


def test_a_tenant_without_an_admin_role_lets_only_links_in(database_url: str, tmp_path: Path) -> None:
    with open_office(database_url, tmp_path) as office:
        assert office.tenant.settings.admin_role == ""
        assert office.person().get(HOME).status_code == 403
        assert office.admin().get(HOME).status_code == 200


def test_an_administrator_of_one_tenant_is_nobody_at_another(office: Office) -> None:
    beta = office.world.tenant("beta")
    admin = office.admin()
    assert admin.get("/t/beta/admin").status_code == 303
    admin.set_cookie("a-beta", admin.cookie("a-acme") or "")
    assert admin.get("/t/beta/admin").status_code == 303
    admin.set_cookie("a-beta", office.secret("admin", None, beta))
    assert admin.get("/t/beta/admin").status_code == 200


def test_signing_out_ends_the_admin_session(office: Office) -> None:
    admin = office.admin()
    secret = admin.cookie("a-acme") or ""
    submit(admin, HOME, "/t/acme/sign-out")
    admin.set_cookie("a-acme", secret)
    assert admin.get(HOME).status_code == 303


# -- forms ------------------------------------------------------------------------------------------------


def test_W01_no_form_of_admin_or_portal_is_taken_without_its_token(office: Office) -> None:
    scene = office.scene
    token = scene.person_token()
    ids = {
        "tenant": "acme",
        "agent_id": scene.agents["a"].id,
        "user_id": scene.maya,
        "connection_id": scene.okta.id,
        "role_id": "rol_00000000000000000000",
        "rule_id": "map_00000000000000000000",
    }
    admin, maya, seen = office.admin(), office.person(), set()
    for rule in office.app.url_map.iter_rules():
        area = rule.endpoint.partition(".")[0]
        if area not in {"admin", "portal"} or "POST" not in rule.methods:
            continue
        path = rule.rule
        for name, value in ids.items():
            path = path.replace(f"<{name}>", value)
        browser = admin if area == "admin" else maya
        for form in ({}, {"csrf_token": "forged"}):
            answer = browser.post(path, {**form, "action": "kill", "reason": "x"})
            assert (answer.status_code, "bad_form" in answer.text) == (400, True), path
        seen.add(rule.endpoint)
    assert len(seen) >= 11
    assert scene.introspect(token)["active"] is True
    page = f"{HOME}/agents/{scene.agents['a'].id}"
    assert submit(admin, page, page, action="kill", reason="twin").status_code == 303
    assert scene.introspect(token) == {"active": False}


def test_W01_a_foreign_origin_kills_nothing(office: Office) -> None:
    admin = office.admin()
    page = f"{HOME}/agents/{office.scene.agents['a'].id}"
    token = form_token(admin.get(page))
    form = {"csrf_token": token, "action": "suspend"}
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert admin.post(page, form, headers=foreign).status_code == 400
    assert office.events("agent.suspended") == []
    assert admin.post(page, form).status_code == 303


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_no_action_follows_a_link(office: Office, method: str) -> None:
    admin, maya = office.admin(), office.person()
    agent = office.scene.agents["a"].id
    office.scene.person_token()
    admin.get(f"{HOME}/agents/{agent}?action=kill&reason=x", method=method)
    answer = maya.get(f"/t/acme/me/agents/{agent}/revoke", method=method)
    assert answer.status_code in (404, 405)
    assert office.events("agent.killed") == office.events("consent.withdrawn") == []

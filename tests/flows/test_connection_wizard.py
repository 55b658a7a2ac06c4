"""An administrator adds a connection: preset, name, console, settings, and a row that is switched off."""

import pytest
from werkzeug.test import TestResponse

from broker.admin.kept_secrets import KEEP_SECONDS
from broker.tenants.connections import open_secrets
from broker.tenants.snapshot import ConnectionView
from tests.builders import saml_idp
from tests.builders.forms import shown
from tests.builders.office import Office
from tests.builders.site import Browser, form_token

NEW = "/t/acme/admin/connections/new"
OKTA = {"preset": "okta", "kind": "oidc", "name": "Okta of Acme", "slug": "staff", "domains": "acme.example"}
BROUGHT = {
    "take-issuer": "https://acme.okta.com",
    "take-client_id": "0oa1",
    "take-client_secret": "sesame-open-now",
}
CERTIFICATE = saml_idp.key_and_certificate()[1].decode()
CERTIFIED_AT = 1_767_225_600
"""When the certificate of ``saml_idp`` began; it is good for 3,650 days."""

DAY = 86_400


def go(browser: Browser, do: str, **fields: str) -> TestResponse:
    token = form_token(browser.get(f"{NEW}?kind=oidc"))
    return browser.post(NEW, {"csrf_token": token, "do": do, **fields})


def stored(office: Office, slug: str = "staff") -> ConnectionView | None:
    return office.world.again(office.tenant).find_connection(slug)


def test_every_preset_that_the_registry_can_serve_is_offered(office: Office) -> None:
    page = office.admin().get(NEW).text
    for title in ("Okta", "Microsoft Entra", "Google Workspace", "Keycloak", "Another provider", "by hand"):
        assert title in page
    assert office.admin().get(f"{NEW}?preset=okta&kind=fax").status_code == 404
    assert office.admin().get(f"{NEW}?preset=nobody&kind=oidc").status_code == 404


def test_the_set_up_page_says_what_to_copy_where(office: Office) -> None:
    page = go(office.admin(), "setup", **OKTA).text
    assert "Sign-in redirect URIs" in page
    assert "http://127.0.0.1:8080/t/acme/oidc/staff/callback" in page
    assert "create an app integration" in page
    saml = {"preset": "okta", "kind": "saml", "name": "Okta", "slug": "okta-saml", "domains": ""}
    page = go(office.admin(), "setup", **saml).text
    assert "Audience URI (SP Entity ID)" in page
    assert "/t/acme/saml/okta-saml/metadata" in page
    assert stored(office, "okta-saml") is None


def test_settings_of_other_makes_and_what_the_make_fixes_are_out_of_the_way(office: Office) -> None:
    admin = office.admin()
    google = {"preset": "google", "kind": "oidc", "name": "Google", "slug": "google", "domains": ""}
    page = go(admin, "setup", **google)
    needed = page.text.partition("More settings")[0]
    assert "take-client_id" in needed
    assert "set-issuer" not in needed
    assert shown(page)["set-issuer"] == "https://accounts.google.com"
    assert not {"set-tenant_ids", "set-okta_api_key"} & set(shown(page))
    by_hand = {"preset": "", "kind": "oidc", "name": "By hand", "slug": "hand", "domains": ""}
    everything = shown(go(admin, "setup", **by_hand))
    assert {"set-tenant_ids", "set-okta_api_key", "set-hosted_domains"} <= set(everything)


def test_a_connection_is_saved_switched_off_and_sealed(office: Office) -> None:
    admin = office.admin()
    answer = go(admin, "save", **OKTA, **{**shown(go(admin, "setup", **OKTA)), **BROUGHT})
    assert answer.status_code == 303, answer.text
    made = stored(office)
    assert made is not None
    assert (made.state, made.preset, made.name) == ("disabled", "okta", "Okta of Acme")
    assert made.domains == {"acme.example"}
    assert made.config["issuer"] == "https://acme.okta.com"
    assert made.config["scopes"] == ["openid", "profile", "email", "groups"]
    assert "client_secret" not in made.config
    with office.rt.database.core_read() as core:
        assert open_secrets(office.rt, core, office.tenant.id, made.id) == {
            "client_secret": "sesame-open-now"
        }
    page = admin.get(answer.location).text
    assert "saved, switched off" in page
    assert "sesame-open-now" not in page
    assert "Continue with Okta of Acme" not in office.browser().get("/t/acme/sign-in").text
    [event] = office.events("connection.created")
    assert event.target_id == made.id
    assert "sesame" not in str(event.data)
    assert (event.actor or {})["kind"] == "admin"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"take-issuer": "http://acme.okta.com"}, "Issuer does not look right", id="shape"),
        pytest.param({"take-client_secret": ""}, "Client secret is needed", id="absent-secret"),
        pytest.param({"set-scopes": "profile"}, "The scopes must contain openid.", id="rule-of-the-model"),
        pytest.param({"set-subject": "email"}, "Input should be", id="choice-that-is-not-offered"),
    ],
)
def test_a_fault_stands_beside_its_field_and_nothing_is_saved(
    office: Office, change: dict[str, str], words: str
) -> None:
    admin = office.admin()
    sent = {**shown(go(admin, "setup", **OKTA)), **BROUGHT, **change}
    answer = go(admin, "save", **OKTA, **sent)
    assert answer.status_code == 400
    field = next(iter(change)).replace("_", "-")
    beside = answer.text.partition(f'id="{field}-error"')[2][:600]
    assert words in beside
    assert "sesame-open-now" not in answer.text
    assert stored(office) is None
    assert office.events("connection.created") == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"slug": "Not A Word"}, "Use lower-case letters", id="slug"),
        pytest.param({"slug": "okta"}, "Another connection has this word", id="taken"),
        pytest.param({"name": " "}, "A name has 1 to 200 characters", id="name"),
        pytest.param({"domains": "acme"}, "is not a domain", id="domain"),
    ],
)
def test_who_it_is_for_is_checked_before_and_at_the_end(
    office: Office, change: dict[str, str], words: str
) -> None:
    for do in ("setup", "save"):
        answer = go(office.admin(), do, **{**OKTA, **BROUGHT, "filled": "1", **change})
        assert answer.status_code == 400
        assert words in answer.text
    assert office.events("connection.created") == []


def test_going_back_loses_nothing(office: Office) -> None:
    admin = office.admin()
    filled = {**shown(go(admin, "setup", **OKTA)), **BROUGHT, "set-group_kind": "id"}
    back = go(admin, "name", **OKTA, **filled)
    assert 'name="take-issuer" value="https://acme.okta.com"' in back.text
    assert 'name="set-group_kind" value="id"' in back.text
    assert 'value="acme.example"' in back.text or ">acme.example<" in back.text
    assert "sesame-open-now" not in back.text
    forth = go(admin, "setup", **{**OKTA, **shown(back)})
    assert "What you entered is kept" in forth.text
    assert "sesame-open-now" not in forth.text
    assert go(admin, "save", **{**OKTA, **shown(forth)}).status_code == 303
    assert secret_of(office) == "sesame-open-now"


def secret_of(office: Office) -> str:
    made = stored(office)
    assert made is not None
    with office.rt.database.core_read() as core:
        return open_secrets(office.rt, core, office.tenant.id, made.id)["client_secret"]


def test_a_fault_elsewhere_keeps_the_secret_and_one_of_its_own_does_not(office: Office) -> None:
    admin = office.admin()
    sent = {**shown(go(admin, "setup", **OKTA)), **BROUGHT}
    wrong = go(admin, "save", **OKTA, **{**sent, "take-issuer": "acme"})
    assert (wrong.status_code, "kept-take-client_secret" in shown(wrong)) == (400, True)
    kept = {**shown(wrong), "take-issuer": "https://acme.okta.com"}
    blank = go(admin, "save", **OKTA, **{**sent, "take-client_secret": "with a blank"})
    assert (blank.status_code, "kept-take-client_secret" in shown(blank)) == (400, False)
    # What is typed now counts more than what was kept.
    later = {**kept, "take-client_secret": "another-one"}
    assert go(admin, "save", **OKTA, **later).status_code == 303
    assert secret_of(office) == "another-one"


@pytest.mark.parametrize("change", ["other-session", "other-field", "altered", "late", "other-kind"])
def test_a_kept_secret_is_good_for_its_own_page_alone(office: Office, change: str) -> None:
    admin = office.admin()
    sent = {**shown(go(admin, "setup", **OKTA)), **BROUGHT}
    kept = shown(go(admin, "save", **OKTA, **{**sent, "take-issuer": "acme"}))
    kept["take-issuer"] = "https://acme.okta.com"
    draft, sealed = dict(OKTA), kept["kept-take-client_secret"]
    if change == "other-session":
        admin = office.admin()
    elif change == "other-field":
        kept = {**kept, "kept-set-okta_api_key": sealed, "kept-take-client_secret": ""}
    elif change == "altered":
        kept["kept-take-client_secret"] = sealed[:-8] + "AAAA" + sealed[-4:]
    elif change == "late":
        office.world.clock.advance(KEEP_SECONDS)
    else:
        draft["preset"] = "generic"
    answer = go(admin, "save", **draft, **kept)
    assert answer.status_code == 400
    assert "Client secret is needed" in answer.text
    assert stored(office) is None


def test_a_saml_connection_takes_a_certificate_with_its_lines(office: Office) -> None:
    admin = office.admin()
    draft = {"preset": "generic", "kind": "saml", "name": "Other", "slug": "other", "domains": ""}
    brought = {
        "take-idp_entity_id": "https://id.corp.example/saml",
        "take-sso_url": "https://id.corp.example/saml/sso",
        "take-certificate": CERTIFICATE.replace("\n", "\r\n"),
    }
    answer = go(admin, "save", **draft, **{**shown(go(admin, "setup", **draft)), **brought})
    assert answer.status_code == 303, answer.text
    made = stored(office, "other")
    assert made is not None
    assert len(made.config["certificates"]) == 1
    assert made.config["assertion_signed"] is True
    # The provider wants our metadata before anybody can sign in; the sign-in itself waits.
    assert b"EntityDescriptor" in admin.get("/t/acme/saml/other/metadata").data
    assert admin.get("/t/acme/sign-in/other").status_code == 400
    page = f"/t/acme/admin/connections/{made.id}"
    assert "signing certificate ends soon" not in admin.get(page).text
    office.world.clock.advance(3640 * DAY - (office.world.now - CERTIFIED_AT))
    assert "signing certificate ends soon" in office.admin().get(page).text
    admin = office.admin()
    weaker = {**draft, "slug": "weaker"}
    sent = {**shown(go(admin, "setup", **weaker)), **brought}
    del sent["set-assertion_signed"]
    answer = go(admin, "save", **weaker, **sent)
    assert answer.status_code == 400
    assert "The assertion, the response or both must be signed." in answer.text


def test_a_kind_without_a_preset_is_added_by_its_model_alone(office: Office) -> None:
    admin = office.admin()
    draft = {"preset": "", "kind": "oidc", "name": "By hand", "slug": "hand", "domains": ""}
    page = go(admin, "setup", **draft)
    assert 'name="set-issuer"' in page.text
    sent = {**shown(page), "set-issuer": "https://id.corp.example", "set-client_id": "us"}
    sent |= {"set-client_secret": "sesame-open-now", "set-extra_authorize_params": "domain_hint=acme\nx = y"}
    assert go(admin, "save", **draft, **sent).status_code == 303
    made = stored(office, "hand")
    assert made is not None
    assert made.config["extra_authorize_params"] == {"domain_hint": "acme", "x": "y"}
    assert made.preset == ""


def test_a_forged_form_and_a_stranger_add_nothing(office: Office) -> None:
    sent = {"do": "save", "filled": "1", **OKTA, **BROUGHT}
    assert office.admin().post(NEW, sent).status_code == 400
    assert office.browser().post(NEW, sent).status_code == 400
    assert office.person().get(NEW).status_code == 403
    assert stored(office) is None

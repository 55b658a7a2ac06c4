"""An administrator enters other parties, changes them, and switches them off; every change has an event."""

from typing import Any

import pytest

from broker.agents.trusts.snapshot import load_trusts
from tests.builders.office import Office, submit
from tests.builders.site import Browser
from tests.builders.trusts import CHAT, ask_id_jag, signed_in

PAGE = "/t/acme/admin/trusts"
TARGET = {
    "kind": "target",
    "slug": "chat",
    "name": "Chat <b>service</b>",
    "issuer": CHAT,
    "clients": "cli_a=chat-client-7",
    "agents": "a",
    "scopes": "tickets:read",
    "resources": "https://mcp.chat.example/mcp",
    "subject": "user_id",
    "ttl_seconds": "120",
}
WORKLOAD = {
    "kind": "workload",
    "slug": "cluster",
    "name": "Cluster",
    "issuer": "https://oidc.cluster.example",
    "subject": "system:serviceaccount:agents:a-*",
    "client": "cli_a",
    "jwks_uri": "https://oidc.cluster.example/keys",
    "algorithms": "RS256",
    "max_ttl_seconds": "3600",
    "reuse": "on",
}
ISSUER = {
    "kind": "issuer",
    "slug": "partner",
    "name": "Partner",
    "issuer": "https://partner.example",
    "connection": "okta",
    "jwks": '{"keys": [{"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "BBBB", "kid": "k1"}]}',
    "algorithms": "ES256",
    "clients": "cli_a",
    "scopes": "tickets:read",
    "subject_kind": "sub",
    "max_ttl_seconds": "300",
}
SUBJECT = {
    "kind": "subject",
    "slug": "app",
    "name": "App",
    "connection": "okta",
    "client": "cli_a",
    "audience": "app-at-okta",
    "outputs": "id_jag",
}


def save(office: Office, browser: Browser, form: dict[str, str], **changes: str) -> Any:
    return submit(browser, f"{PAGE}/new?kind={form['kind']}", PAGE, **{**form, **changes})


def trust_id(office: Office) -> str:
    return load_trusts(office.rt, office.tenant.id).targets[CHAT].id


@pytest.mark.parametrize("form", [TARGET, WORKLOAD, ISSUER, SUBJECT], ids=lambda form: form["kind"])
def test_each_kind_is_entered_by_its_form_and_shown_as_it_was(office: Office, form: dict[str, str]) -> None:
    browser = office.admin()
    assert "There is no other party yet" in browser.get(PAGE).text
    answer = save(office, browser, form)
    assert answer.status_code == 303, answer.text
    page = browser.get(answer.location).text
    assert "was made." in page
    (event,) = office.events("trust.created")
    assert event.data["trust"] == form["slug"]
    again = browser.get(f"{PAGE}/{event.target_id}").text
    for field in ("issuer", "client", "connection", "audience"):
        assert form.get(field, "") in again
    # Saved as it is shown, nothing changes.
    assert submit(browser, f"{PAGE}/{event.target_id}", PAGE, **form).status_code == 303
    assert office.events("trust.changed") == []


def test_what_is_entered_counts_at_once_and_no_longer_when_it_is_switched_off(office: Office) -> None:
    browser, scene = office.admin(), office.scene
    id_token = signed_in(scene)["id_token"]
    assert ask_id_jag(scene, id_token).error == "invalid_target"
    save(office, browser, TARGET)
    answer = ask_id_jag(scene, id_token)
    assert answer.json["expires_in"] == 120
    page = f"{PAGE}/{trust_id(office)}"
    assert "Chat &lt;b&gt;service&lt;/b&gt;" in browser.get(page).text
    submit(browser, page, f"{page}/switch", action="disable")
    assert ask_id_jag(scene, id_token).error == "invalid_target"
    submit(browser, page, f"{page}/switch", action="enable")
    assert ask_id_jag(scene, id_token).status == 200
    submit(browser, page, PAGE, **{**TARGET, "scopes": "tickets:write"})
    assert ask_id_jag(scene, id_token).error == "invalid_scope"
    submit(browser, page, f"{page}/switch", action="remove")
    assert browser.get(page).status_code == 404
    names = ("created", "disabled", "enabled", "changed", "removed")
    assert [len(office.events(f"trust.{name}")) for name in names] == [1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("form", "changes", "why"),
    [
        pytest.param(TARGET, {"issuer": "http://chat.example"}, "must be an https address", id="plain-http"),
        pytest.param(TARGET, {"agents": "wrtier"}, "there is no agent", id="agent"),
        pytest.param(TARGET, {"clients": "cli_a"}, "as name=id", id="pairs"),
        pytest.param(TARGET, {"ttl_seconds": "soon"}, "whole number", id="number"),
        pytest.param(TARGET, {"slug": "No Good"}, "slug", id="slug"),
        pytest.param(ISSUER, {"jwks": "{"}, "not a JSON object", id="json"),
        pytest.param(ISSUER, {"jwks": ""}, "either jwks or jwks_uri", id="no-keys"),
        pytest.param(ISSUER, {"issuer": "http://127.0.0.1:8080/t/acme"}, "own", id="own-issuer"),
        pytest.param(WORKLOAD, {"subject": "*"}, "must name something", id="free-pattern"),
    ],
)
def test_a_form_that_cannot_be_saved_comes_back_as_it_was(
    office: Office, form: dict[str, str], changes: dict[str, str], why: str
) -> None:
    browser = office.admin()
    answer = save(office, browser, form, **changes)
    assert answer.status_code == 400
    assert "Nothing was saved." in answer.text
    assert why in answer.text
    assert form["name"].partition(" <")[0] in answer.text
    assert office.events("trust.created") == []
    assert save(office, browser, form).status_code == 303


def test_an_employee_enters_nobody(office: Office) -> None:
    assert office.person().get(PAGE).status_code == 403
    assert office.browser().get(PAGE).status_code == 303

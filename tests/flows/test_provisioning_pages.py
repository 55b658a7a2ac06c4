"""An administrator gives a provider its token, replaces it, ends it, and reads what was asked."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from broker.scim.access import TokenView, list_tokens
from tests.builders.office import Office, open_office, submit
from tests.builders.provisioning import Provider
from tests.builders.site import Browser

HOME = "/t/acme/admin"
FIELDS = {"name": "Okta", "days": "30", "access": "write", "matching": "external_id", "overlap": ""}


@pytest.fixture
def office(database_url: str, tmp_path: Path) -> Iterator[Office]:
    with open_office(database_url, tmp_path, admin_role="broker.admin") as opened:
        yield opened


def page_of(office: Office) -> str:
    return f"{HOME}/connections/{office.scene.okta.id}/scim"


def make(office: Office, browser: Browser, **changes: str) -> TestResponse:
    return submit(browser, page_of(office), page_of(office), **{**FIELDS, **changes})


def secret_of(answer: TestResponse) -> str:
    found = re.search(r"<code>(brk_scim_[^<]+)</code>", answer.text)
    assert found is not None, answer.text
    return found[1]


def tokens(office: Office) -> list[TokenView]:
    with office.rt.database.read(office.tenant.id) as session:
        return list_tokens(session, office.tenant.id, office.scene.okta.id)


class Pusher(Provider):
    """A provider with the token that the page showed."""

    def __init__(self, office: Office, secret: str) -> None:
        self.world, self.rt, self.tenant = office.world, office.rt, office.tenant
        self.connection, self.secret = office.scene.okta, secret


def test_a_token_is_shown_once_and_pushes(office: Office):
    admin = office.admin()
    assert page_of(office) in admin.get(f"{HOME}/connections/{office.scene.okta.id}").text
    assert "No live token" in admin.get(page_of(office)).text
    answer = make(office, admin)
    assert "no-store" in answer.headers["Cache-Control"]
    secret = secret_of(answer)
    assert Pusher(office, secret).user("maya", externalId="maya").status == 201
    later = admin.get(page_of(office)).text
    assert secret not in later
    assert "1 person" in later
    assert f"{office.rt.settings.issuer('acme')}/scim/v2?aadOptscim062020" in later
    assert "Pushed groups outweigh" in later
    (event,) = office.events("scim.token_created")
    assert ((event.actor or {})["kind"], event.data["matching"]) == ("admin", "external_id")
    assert secret not in str(event.data)


def test_a_token_is_replaced_with_overlap(office: Office):
    admin = office.admin()
    first = Pusher(office, secret_of(make(office, admin)))
    second = Pusher(office, secret_of(make(office, admin, name="Okta 2027", overlap="24")))
    assert first.get("Users").status == second.get("Users").status == 200
    office.world.clock.advance(24 * 3_600)
    assert (first.get("Users").status, second.get("Users").status) == (401, 200)
    (event,) = office.events("scim.tokens_replaced")
    (kept,) = [one for one in tokens(office) if one.name == "Okta 2027"]
    assert (event.target_id, event.data["replaced_count"]) == (kept.id, 1)

    admin = office.admin()
    third = Pusher(office, secret_of(make(office, admin, overlap="")))
    assert second.get("Users").status == third.get("Users").status == 200
    fourth = Pusher(office, secret_of(make(office, admin, overlap="0")))
    assert {one.get("Users").status for one in (second, third)} == {401}
    assert fourth.get("Users").status == 200


def test_a_revoked_token_opens_nothing(office: Office):
    admin = office.admin()
    pusher = Pusher(office, secret_of(make(office, admin)))
    token_id = tokens(office)[0].id
    done = submit(admin, page_of(office), f"{page_of(office)}/revoke", token_id=token_id)
    assert "The token was revoked." in admin.get(done.location).text
    assert pusher.get("Users").status == 401
    (event,) = office.events("scim.token_revoked")
    assert (event.actor or {})["kind"] == "admin"
    again = submit(admin, page_of(office), f"{page_of(office)}/revoke", token_id=token_id)
    assert again.status_code == 400


def test_a_token_that_may_only_read_pushes_nothing(office: Office):
    reading = Pusher(office, secret_of(make(office, office.admin(), access="read")))
    assert (reading.get("Users").status, reading.user("maya").status) == (200, 403)


@pytest.mark.parametrize(
    "changes",
    [
        {"days": "0"}, {"days": "731"}, {"days": "-1"}, {"days": "٣"}, {"days": ""}, {"access": "admin"},
        {"matching": "email"}, {"overlap": "1"}, {"overlap": "-24"}, {"name": ""}, {"name": "x" * 101},
    ],
)  # fmt: skip
def test_senseless_fields_make_no_token(office: Office, changes: dict[str, str]):
    admin = office.admin()
    assert make(office, admin, **changes).status_code in (400, 422)
    assert tokens(office) == []
    assert make(office, admin).status_code == 200


# -- attacks, each beside its valid twin ------------------------------------------------------------------


def test_T01_a_token_of_another_connection_or_tenant_is_not_ended(office: Office):
    admin, world = office.admin(), office.world
    entra = world.connection(office.tenant, "entra")
    beta = world.tenant("beta")
    theirs = Provider(world, beta, world.connection(beta, "okta"))
    sibling = Provider(world, office.tenant, entra)
    for token_id in (theirs.token.view.id, sibling.token.view.id, "sct_00000000000000000000", ""):
        answer = submit(admin, page_of(office), f"{page_of(office)}/revoke", token_id=token_id)
        assert answer.status_code == 404
    assert theirs.get("Users").status == sibling.get("Users").status == 200
    own = f"{HOME}/connections/{entra.id}/scim"
    assert submit(admin, own, f"{own}/revoke", token_id=sibling.token.view.id).status_code == 303
    assert sibling.get("Users").status == 401
    for path in ("", "/log"):
        foreign = admin.get(f"{HOME}/connections/{theirs.connection.id}/scim{path}")
        assert (foreign.status_code, theirs.token.view.id in foreign.text) == (404, False)


def test_W01_a_forged_form_makes_no_token(office: Office):
    admin = office.admin()
    for form in ({}, {"csrf_token": "forged"}):
        assert admin.post(page_of(office), {**FIELDS, **form}).status_code == 400
    assert tokens(office) == []
    assert make(office, admin).status_code == 200
    assert office.person().get(page_of(office)).status_code == 403
    assert office.browser().get(page_of(office)).status_code == 303


def test_a_disabled_connection_gets_no_token(office: Office):
    admin, connection = office.admin(), f"{HOME}/connections/{office.scene.okta.id}"
    submit(admin, connection, connection, action="disable")
    assert "Make a token" not in admin.get(page_of(office)).text
    assert submit(admin, connection, page_of(office), **FIELDS).status_code == 400
    submit(admin, connection, connection, action="enable")
    assert make(office, admin).status_code == 200


# -- the log ----------------------------------------------------------------------------------------------


def test_the_log_shows_what_was_asked_without_names(office: Office):
    admin = office.admin()
    pusher = Pusher(office, secret_of(make(office, admin)))
    pusher.user("maya@acme.example", displayName="Maya Lind", externalId="maya")
    office.world.clock.advance(1)
    pusher.user("maya@acme.example", displayName="Maya Lind")
    office.world.clock.advance(1)
    pusher.find("Groups", 'displayName eq "Secret project"')
    log = f"{page_of(office)}/log"
    text = admin.get(log).text
    assert text.index("GET /Groups") < text.index("POST /Users")
    assert "uniqueness" in text
    assert [one for one in ("Maya Lind", "maya@acme", "Secret project", pusher.secret) if one in text] == []
    refused = admin.get(f"{log}?outcome=refused").text
    assert "409" in refused
    assert "GET /Groups" not in refused
    assert "POST /Users" not in admin.get(f"{log}?kind=Groups&method=GET").text
    assert "No request matches" in admin.get(f"{log}?method=DELETE").text
    assert "409" in admin.get(page_of(office)).text


def test_the_log_is_paged_and_hostile_filters_are_text(office: Office):
    admin = office.admin()
    pusher = Pusher(office, secret_of(make(office, admin)))
    for _ in range(53):
        pusher.call("GET", "Users", user_agent="<script>alert(1)</script>")
        office.world.clock.advance(1)
    log = f"{page_of(office)}/log"
    first = admin.get(log).text
    assert first.count('<details class="event">') == 50
    assert "<script>alert" not in first
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older is not None
    assert admin.get(older[1].replace("&amp;", "&")).text.count('<details class="event">') == 3
    for odd in ("method=%3Cscript%3E", "cursor=%00", "cursor=1.%27", "request_id=%25", "outcome[]=x"):
        assert admin.get(f"{log}?{odd}").status_code == 200

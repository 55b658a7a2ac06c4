"""An administrator changes and removes a connection: secrets stay or rotate, nothing half, all counted."""

from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from broker.admin.connection_removal import OWNED
from broker.directory.models import GroupMapping, IdentityLink
from broker.kernel.database import Base
from broker.tenants.connections import check_config, open_secrets
from broker.tenants.snapshot import ConnectionView
from idp_connectors.registry import CONNECTORS
from tests.builders.forms import shown
from tests.builders.office import Office, submit
from tests.builders.site import Browser, form_token

HOME = "/t/acme/admin/connections"
SECRETS = {"client_secret": "sesame-open-now"}
# As it is stored: with what the model fills in by default.
GIVEN = {"issuer": "https://id.corp.example", "client_id": "us", "group_kind": "id", **SECRETS}
CONFIG, _ = check_config(CONNECTORS, "oidc", GIVEN)


@pytest.fixture
def made(office: Office) -> ConnectionView:
    return office.world.connection(
        office.tenant, "corp", config=CONFIG, secrets=SECRETS, domains=["corp.example"]
    )


def edit(browser: Browser, connection: ConnectionView, **changes: Any) -> TestResponse:
    """Post the edit form as it is shown, but for ``changes``; None leaves a field out."""
    page = browser.get(f"{HOME}/{connection.id}/edit")
    return post(browser, page, connection, **changes)


def post(browser: Browser, page: TestResponse, connection: ConnectionView, **changes: Any) -> TestResponse:
    seen = page.text.partition('name="seen" value="')[2].partition('"')[0]
    sent = {"csrf_token": form_token(page), "seen": seen, "name": connection.name, "preset": ""}
    sent |= {"domain": sorted(connection.domains), "domains": "", "do": "save", **shown(page)}
    kept = {name: value for name, value in {**sent, **changes}.items() if value is not None}
    return browser.post(f"{HOME}/{connection.id}/edit", kept)


def secrets_of(office: Office, connection: ConnectionView) -> dict[str, str]:
    with office.rt.database.core_read() as core:
        return open_secrets(office.rt, core, office.tenant.id, connection.id)


def now(office: Office, connection: ConnectionView) -> ConnectionView:
    return office.world.again(office.tenant).connections[connection.id]


def test_a_secret_is_kept_when_left_empty_and_rotated_when_filled(
    office: Office, made: ConnectionView
) -> None:
    admin = office.admin()
    page = admin.get(f"{HOME}/{made.id}/edit")
    assert "sesame" not in page.text
    assert "One is stored; leave this empty to keep it." in page.text
    answer = edit(admin, made, **{"set-client_id": "them", "preset": "okta"})
    assert answer.status_code == 303, answer.text
    assert now(office, made).config["client_id"] == "them"
    assert now(office, made).preset == "okta"
    assert secrets_of(office, made) == SECRETS
    assert "Changed: client id and preset." in admin.get(answer.location).text

    assert edit(admin, now(office, made), **{"set-client_secret": "another-one"}).status_code == 303
    assert secrets_of(office, made) == {"client_secret": "another-one"}
    events = office.events("connection.changed")
    assert [event.data["rotated"] for event in events] == [[], ["client_secret"]]
    assert "another-one" not in str([event.data for event in events])


def test_a_new_secret_outlives_a_fault_elsewhere(office: Office, made: ConnectionView) -> None:
    admin = office.admin()
    wrong = edit(admin, made, **{"set-issuer": "acme", "set-client_secret": "another-one"})
    assert (wrong.status_code, "another-one" in wrong.text) == (400, False)
    assert "What you entered is kept" in wrong.text
    assert post(admin, wrong, made, **{"set-issuer": "https://id.corp.example"}).status_code == 303
    assert secrets_of(office, made) == {"client_secret": "another-one"}


def test_an_optional_secret_can_be_taken_away(office: Office, made: ConnectionView) -> None:
    admin = office.admin()
    assert edit(admin, made, **{"set-okta_api_key": "a-key"}).status_code == 303
    assert set(secrets_of(office, made)) == {"client_secret", "okta_api_key"}
    assert edit(admin, now(office, made), **{"forget-okta_api_key": "on"}).status_code == 303
    assert secrets_of(office, made) == SECRETS


def test_the_form_unchanged_changes_nothing(office: Office, made: ConnectionView) -> None:
    admin = office.admin()
    assert edit(admin, made).status_code == 303
    assert now(office, made) == made
    assert office.events("connection.changed") == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"set-issuer": "http://id.corp.example"}, "must be an https address", id="model"),
        pytest.param({"set-issuer": ""}, "This is needed.", id="empty"),
        pytest.param({"name": ""}, "A name has 1 to 200 characters", id="name"),
        pytest.param({"domains": "nonsense"}, "is not a domain", id="domain"),
        pytest.param({"preset": "nobody"}, "Nothing was saved.", id="preset"),
    ],
)
def test_a_fault_stands_beside_its_field_and_nothing_is_saved(
    office: Office, made: ConnectionView, changes: dict[str, str], words: str
) -> None:
    answer = edit(office.admin(), made, **changes)
    assert answer.status_code == 400
    assert words in answer.text
    assert now(office, made) == made
    assert office.events("connection.changed") == []


def test_two_administrators_do_not_undo_each_other(office: Office, made: ConnectionView) -> None:
    first, second = office.admin(), office.admin()
    stale = second.get(f"{HOME}/{made.id}/edit")
    assert edit(first, made, **{"set-client_id": "first"}).status_code == 303
    answer = post(second, stale, made, **{"set-client_id": "second"})
    assert answer.status_code == 400
    assert "Somebody else changed this connection" in answer.text
    assert now(office, made).config["client_id"] == "first"


def test_a_domain_may_lead_to_several_connections(office: Office, made: ConnectionView) -> None:
    admin = office.admin()
    other = office.world.connection(
        office.tenant, "other", config=CONFIG, secrets=SECRETS, domains=["other.example"]
    )
    page = admin.get(f"{HOME}/{made.id}/edit").text
    assert 'value="other.example"' in page
    assert "leads to Other" in page
    answer = edit(admin, made, domain=["other.example"], domains="New.Example\n@second.example")
    assert answer.status_code == 303, answer.text
    assert now(office, made).domains == {"other.example", "new.example", "second.example"}
    assert now(office, other).domains == {"other.example"}


def test_removing_says_what_ends_and_needs_the_word(office: Office) -> None:
    scene, admin = office.scene, office.admin()
    token, okta = scene.person_token(), office.scene.okta
    page = f"{HOME}/{okta.id}/remove"
    shown_page = admin.get(page).text
    assert "1 person sign in through it" in shown_page
    assert "1 permission of agents" in shown_page
    assert "Nobody can sign in any more" in shown_page
    assert submit(admin, page, page, slug="wrong").status_code == 400
    assert scene.introspect(token)["active"] is True

    answer = submit(admin, page, page, slug=okta.slug)

    assert answer.status_code == 303
    assert "The connection okta was removed." in admin.get(answer.location).text
    assert scene.introspect(token) == {"active": False}
    assert okta.id not in office.world.again(office.tenant).connections
    [event] = office.events("connection.removed")
    assert (event.target_id, event.data["grant_count"]) == (okta.id, 1)
    with office.rt.database.read(office.tenant.id) as session:
        assert session.scalars(select(IdentityLink).where(IdentityLink.connection_id == okta.id)).all() == []
        assert session.scalars(select(GroupMapping).where(GroupMapping.connection_id == okta.id)).all() == []
    assert admin.get(f"{HOME}/{okta.id}").status_code == 404


def test_a_removal_leaves_other_connections_alone(office: Office, made: ConnectionView) -> None:
    scene, admin = office.scene, office.admin()
    token = scene.person_token()
    page = f"{HOME}/{made.id}/remove"
    assert submit(admin, page, page, slug="corp").status_code == 303
    assert scene.introspect(token)["active"] is True


def test_every_table_of_a_connection_is_removed_with_it_or_kept_on_purpose() -> None:
    kept = {"authorization_codes", "browser_sessions", "grants", "issued_tokens", "upstream_sessions"}
    owned = {model.__tablename__ for model in OWNED}
    found = {table.name for table in Base.metadata.tables.values() if "connection_id" in table.c}
    assert found - kept == owned

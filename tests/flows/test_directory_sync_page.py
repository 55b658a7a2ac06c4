"""The page of a directory's walk: progress without scripts, and a click where the guard waits for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.federation.directory_sync import sync_status
from broker.federation.models import DirectorySync
from tests.builders.office import Office, open_office, submit

HOME = "/t/acme/admin/connections"


@pytest.fixture
def office(sqlite_url: str, tmp_path: Path) -> Iterator[Office]:
    with open_office(sqlite_url, tmp_path) as opened:
        yield opened


def page_with(office: Office, **columns: object) -> str:
    """The page of a connection whose walk is at these columns."""
    corp = office.world.connection(office.tenant, "corp", kind="ldap")
    now = office.world.now
    first = {
        "run": 1,
        "state": "running",
        "phase": "people",
        "parts": [],
        "started_at": now,
        "changed_at": now,
    }
    office.world.add(office.tenant, DirectorySync(connection_id=corp.id, **{**first, **columns}))
    return f"{HOME}/{corp.id}/sync"


def state_of(office: Office, page: str) -> str:
    found = sync_status(office.rt, office.tenant.id, page.split("/")[-2])
    assert found is not None
    return found.state


def test_a_running_walk_shows_its_progress_and_loads_itself_again(office: Office):
    page = page_with(office, known=200)
    shown = office.admin().get(page)
    assert '<progress class="walk-progress" id="walked" max="200" value="0">' in shown.text
    assert shown.headers["Refresh"] == "10"
    assert page in office.admin().get(page.removesuffix("/sync")).text


def test_the_guard_waits_until_somebody_confirms(office: Office):
    page, admin = page_with(office, state="waiting", leaving=30, known=200), office.admin()
    shown = admin.get(page)
    assert "30 people of 200 known" in shown.text
    assert "Refresh" not in shown.headers
    # W01, beside its valid twin.
    assert admin.post(page, {"action": "confirm", "csrf_token": "forged"}).status_code == 400
    assert office.person().get(page).status_code == 403
    assert state_of(office, page) == "waiting"
    assert submit(admin, page, page, action="confirm").status_code == 303
    assert state_of(office, page) == "running"
    (event,) = office.events("directory.sync_confirmed")
    assert (event.actor or {})["kind"] == "admin"


def test_a_walk_is_cancelled_and_odd_actions_do_nothing(office: Office):
    page, admin = page_with(office), office.admin()
    assert submit(admin, page, page, action="everybody").status_code == 400
    assert state_of(office, page) == "running"
    assert submit(admin, page, page, action="cancel").status_code == 303
    assert state_of(office, page) == "cancelled"


def test_T01_another_tenants_directory_is_not_there(office: Office):
    beta = office.world.tenant("beta")
    theirs = office.world.connection(beta, "corp", kind="ldap")
    page, admin = f"{HOME}/{theirs.id}/sync", office.admin()
    assert admin.get(page).status_code == 404
    assert submit(admin, HOME, page, action="cancel").status_code == 404
    okta = f"{HOME}/{office.scene.okta.id}/sync"
    assert "The directory was never read" in admin.get(okta).text
    assert submit(admin, okta, okta, action="start").status_code >= 400

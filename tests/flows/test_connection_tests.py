"""An administrator tries a connection: what was found, and that nothing else came of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from broker.audit.models import AuditRecord
from broker.demo.idps.faults import Fault
from broker.directory.models import GroupSnapshot, IdentityLink, User
from broker.federation.connection_tests import (
    KEEP_SECONDS,
    MOST_KEPT,
    ConnectionReport,
    find_test,
    list_tests,
)
from broker.federation.diagnosing import Row
from broker.federation.flows import TakenFlow
from broker.federation.models import ConnectionTest
from broker.federation.signing_in import complete
from broker.federation.steps import Signing
from broker.kernel import egress
from broker.kernel.errors import Refusal
from broker.tenants.models import Connection
from broker.tokens.models import BrowserSession, Grant
from idp_connectors.registry import CONNECTORS
from tests.builders.emulated import PEOPLE, EmulatedSite, open_emulated
from tests.builders.site import Browser, cookies_set, form_token, refreshed_to

HOME = "/t/acme/admin/connections"


@dataclass(frozen=True)
class Found:
    """A report and the page that shows it."""

    report: ConnectionReport
    page: str

    def row(self, name: str) -> Row:
        return next(row for row in self.report.rows if row.name == name)

    def states(self) -> dict[str, str]:
        return {row.name: row.state for row in self.report.rows}

    def troubled(self) -> dict[str, str]:
        return {name: state for name, state in self.states().items() if state in ("failed", "warning")}


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedSite]:
    folder: Path = tmp_path_factory.mktemp("tests")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(egress, "TOTAL_SECONDS", 1.0)
        with open_emulated(f"sqlite:///{folder / 'broker.db'}", folder) as site:
            yield site


@pytest.fixture(scope="module")
def admin(emulated: EmulatedSite) -> Browser:
    return emulated.admin()


def start(site: EmulatedSite, admin: Browser, name: str) -> Any:
    """Press the button; returns the answer that leads to the provider or to the result."""
    page = f"{HOME}/{site.connections[name].id}/tests"
    return admin.post(page, {"csrf_token": form_token(admin.get(page))})


def try_out(site: EmulatedSite, admin: Browser, name: str) -> Found:
    """Test a connection to its end."""
    answer = start(site, admin, name)
    if answer.status_code == 200:
        answer = site.come_back(name, admin, refreshed_to(answer))
    assert answer.status_code == 303, answer.text
    page = admin.get(answer.location)
    assert page.status_code == 200, page.text
    return Found(read(site, answer.location.rpartition("/")[2]), page.text)


def read(site: EmulatedSite, test_id: str) -> ConnectionReport:
    """The report of a test."""
    found = find_test(site.rt, site.acme.id, test_id, site.world.now)
    assert found is not None
    return found


def rows_of_everything(site: EmulatedSite) -> dict[str, int]:
    """How many rows a test must not change."""
    tables = (User, IdentityLink, GroupSnapshot, BrowserSession, Grant)
    with site.rt.database.read(site.acme.id) as session:
        return {
            table.__tablename__: session.scalar(select(func.count()).select_from(table)) or 0
            for table in tables
        }


# --- what a test finds ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["okta", "entra"])
def test_a_good_openid_connection_passes_every_look(
    emulated: EmulatedSite, admin: Browser, name: str
) -> None:
    found = try_out(emulated, admin, name)
    assert found.report.state == "passed"
    assert set(found.states().values()) == {"passed"}
    assert len(found.report.rows) >= 10
    assert all(row.expected and row.received for row in found.report.rows)
    assert "People can sign in through this connection." in found.page


def test_a_good_saml_connection_passes_all_but_its_weak_identifier(
    emulated: EmulatedSite, admin: Browser
) -> None:
    found = try_out(emulated, admin, "google")
    assert found.troubled() == {"person": "warning"}
    assert len(found.report.rows) >= 10
    assert "primary e-mail address, which may be given to somebody else" in found.page


FAULTS = [
    ("okta", Fault.CLOCK_SKEW, "time", "failed", "600 seconds ahead of our clock", "System time"),
    ("okta", Fault.WRONG_AUDIENCE, "audience", "failed", "another-application", "Client ID"),
    ("okta", Fault.WRONG_ISSUER, "issuer", "failed", "/elsewhere", "Authorization Servers"),
    ("okta", Fault.ROTATED_KEY, "signature", "failed", "no single admitted key", "signing algorithm"),
    ("okta", Fault.UNSIGNED, "signature", "failed", "alg is", "signing algorithm"),
    ("okta", Fault.MISSING_GROUPS, "groups", "warning", "absent", "Groups claim"),
    ("okta", Fault.OVERAGE, "client", "failed", "matched too many groups", "Groups claim filter"),
    ("entra", Fault.OVERAGE, "groups", "warning", "overage", "Token configuration > Groups claim"),
    ("okta", Fault.BUSY, "address", "failed", "429 Too Many Requests", ""),
    ("okta", Fault.SLOW, "address", "failed", "Nothing within", ""),
    ("okta", Fault.DRIP, "address", "failed", "bytes had come", ""),
    ("okta", Fault.MALFORMED, "metadata", "failed", "not a JSON object", ""),
    ("okta", Fault.HUGE, "metadata", "failed", "larger than any honest one", ""),
    ("google", Fault.CLOCK_SKEW, "time", "failed", "ahead of our clock", "System time"),
    ("google", Fault.WRONG_AUDIENCE, "audience", "failed", "another.example", "Entity ID"),
    ("google", Fault.WRONG_ISSUER, "issuer", "failed", "other=1", "entity ID"),
    ("google", Fault.ROTATED_KEY, "signature", "failed", "", "Signing certificate"),
    ("google", Fault.UNSIGNED, "signature", "failed", "assertion signed: False", "Signing certificate"),
    ("google", Fault.MALFORMED, "form", "failed", "XML", "Assertion format"),
    ("google", Fault.OVERAGE, "groups", "warning", "75, complete", "Group membership"),
]


@pytest.mark.parametrize(("name", "fault", "look", "state", "received", "console"), FAULTS)
def test_each_fault_has_its_own_diagnosis(
    emulated: EmulatedSite,
    admin: Browser,
    name: str,
    fault: Fault,
    look: str,
    state: str,
    received: str,
    console: str,
) -> None:
    emulated.providers[name].switch.turn(fault)
    try:
        found = try_out(emulated, admin, name)
    finally:
        emulated.providers[name].switch.turn(None)
    usual = {"person": "warning"} if name == "google" and state == "warning" else {}
    assert found.troubled() == {look: state} | usual
    row = found.row(look)
    assert received in row.received
    assert row.cause
    assert row.fix
    assert row.move
    assert console in row.console
    assert found.report.state == state
    after = [row.state for row in found.report.rows[found.report.rows.index(row) + 1 :]]
    assert state == "warning" or set(after) == {"not_reached"}


def test_an_ended_certificate_is_named(emulated: EmulatedSite, admin: Browser) -> None:
    good = dict(emulated.connections["google"].config)
    emulated.google.switch.turn(Fault.EXPIRED_CERTIFICATE)
    emulated.configure("google", emulated.google_config())
    try:
        found = try_out(emulated, admin, "google")
    finally:
        emulated.google.switch.turn(None)
        emulated.configure("google", good)
    assert found.troubled() == {"certificate": "warning", "person": "warning"}
    assert found.row("certificate").console == "Google identity provider details > Certificate"
    assert try_out(emulated, admin, "google").row("certificate").state == "passed"


def test_a_provider_that_never_answers_leaves_the_test_waiting(
    emulated: EmulatedSite, admin: Browser
) -> None:
    emulated.world.clock.advance(1)
    assert start(emulated, admin, "okta").status_code == 200
    connection_id = emulated.connections["okta"].id
    report = list_tests(emulated.rt, emulated.acme.id, connection_id, emulated.world.now)[0]
    assert report.state == "waiting"
    page = admin.get(f"/t/acme/admin/connection-tests/{report.id}")
    assert "The provider has not answered yet." in page.text
    found = Found(report, page.text)
    assert found.row("keys").state == "passed"
    assert found.row("redirect").state == "not_reached"


# --- what must not come of it --------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(PEOPLE))
def test_a_test_makes_no_user_and_no_session(emulated: EmulatedSite, admin: Browser, name: str) -> None:
    before = rows_of_everything(emulated)
    answer = start(emulated, admin, name)
    assert not any(cookie.startswith("s-") for cookie in cookies_set(answer))
    last = emulated.come_back(name, admin, refreshed_to(answer))
    assert not any(cookie.startswith(("s-", "a-", "c-")) for cookie in cookies_set(last))
    assert rows_of_everything(emulated) == before
    assert admin.get("/t/acme/admin").status_code == 200
    with emulated.rt.database.read(emulated.acme.id) as session:
        seen = select(Connection.last_sign_in_at).where(Connection.id == emulated.connections[name].id)
        assert session.scalar(seen) is None


def test_the_flow_of_a_test_is_refused_where_people_are_signed_in(emulated: EmulatedSite) -> None:
    okta = emulated.connections["okta"]
    step = Signing(emulated.rt, emulated.acme, okta, CONNECTORS["oidc"], CONNECTORS, emulated.world.ctx)
    flow = TakenFlow(private={}, form={}, resume_url="/t/acme/me/agents", test_id="ctest_1")
    with pytest.raises(Refusal) as refused:
        complete(step, flow, query={}, previous=None)
    assert refused.value.reason == "flow_of_test"


def test_a_switched_off_connection_can_be_tried_and_still_signs_nobody_in(
    emulated: EmulatedSite, admin: Browser
) -> None:
    pending = emulated.browser()
    begun = pending.get("/t/acme/sign-in/okta")
    switch_to(emulated, "disabled")
    try:
        assert try_out(emulated, admin, "okta").report.state == "passed"
        assert emulated.come_back("okta", pending, begun.location).status_code == 400
        assert emulated.sign_in("okta").status_code == 400
    finally:
        switch_to(emulated, "active")


def switch_to(site: EmulatedSite, state: str) -> None:
    wanted = update(Connection).where(Connection.id == site.connections["okta"].id).values(state=state)
    with site.rt.database.write(site.acme.id) as session:
        session.execute(wanted)
    site.world.add(site.acme)


def test_no_token_and_no_secret_is_kept_or_shown(emulated: EmulatedSite, admin: Browser) -> None:
    found = try_out(emulated, admin, "okta")
    party = emulated.okta._party
    assert party is not None
    for hidden in (party.client_secret, *emulated.okta.issued):
        assert hidden not in found.page
        assert hidden not in str(found.report)
    with emulated.rt.database.read(emulated.acme.id) as session:
        kept = session.scalars(select(ConnectionTest.sealed_report)).all()
    # Sealed, because a report names a person and their groups.
    assert not any(b"agents-support" in one or b"maya@acme.test" in one for one in kept)


def test_the_event_log_says_who_tried_what(emulated: EmulatedSite, admin: Browser) -> None:
    found = try_out(emulated, admin, "entra")
    with emulated.rt.database.read(emulated.acme.id) as session:
        rows = select(AuditRecord).where(AuditRecord.event == "connection.tested").order_by(AuditRecord.seq)
        begun, ended = [row for row in session.scalars(rows) if row.data.get("test_id") == found.report.id]
    assert begun.actor == ended.actor
    assert begun.actor["kind"] == "admin"
    assert (begun.data["state"], ended.data["state"]) == ("waiting", "passed")


def test_the_answer_to_a_test_works_once_and_in_its_own_browser(
    emulated: EmulatedSite, admin: Browser
) -> None:
    answer = start(emulated, admin, "okta")
    stranger = emulated.come_back("okta", emulated.browser(), refreshed_to(answer))
    assert stranger.status_code == 400
    twin = emulated.come_back("okta", admin, refreshed_to(answer))
    assert twin.status_code == 303
    assert emulated.come_back("okta", admin, refreshed_to(answer)).status_code == 400


# --- how much is kept ------------------------------------------------------------------------------------


def test_reports_are_few_and_end(sqlite_url: str, tmp_path: Path) -> None:
    with open_emulated(sqlite_url, tmp_path) as site:
        admin = site.admin()
        site.okta.switch.turn(Fault.BUSY)
        ids = []
        for _ in range(MOST_KEPT + 2):
            ids.append(start(site, admin, "okta").location.rpartition("/")[2])
            site.world.clock.advance(1)
        connection_id = site.connections["okta"].id
        kept = [one.id for one in list_tests(site.rt, site.acme.id, connection_id, site.world.now)]
        assert kept == ids[: -MOST_KEPT - 1 : -1]
        gone = admin.get(f"/t/acme/admin/connection-tests/{ids[0]}")
        assert gone.status_code == 404
        later = site.world.now + KEEP_SECONDS
        assert list_tests(site.rt, site.acme.id, connection_id, later) == []


def test_the_page_of_a_connection_leads_to_its_tests(emulated: EmulatedSite, admin: Browser) -> None:
    connection_id = emulated.connections["okta"].id
    assert f'href="{HOME}/{connection_id}/tests"' in admin.get(f"{HOME}/{connection_id}").text
    assert "Start a test" in admin.get(f"{HOME}/{connection_id}/tests").text
    assert admin.get(f"{HOME}/con_unknown/tests").status_code == 404

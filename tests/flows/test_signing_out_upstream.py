"""Journeys that end at the identity provider: what it signs out there is signed out here."""

from typing import Any

import pytest
from sqlalchemy import select, update

from broker.kernel.versions import bump
from broker.tenants.models import Tenant
from broker.tokens.grants import open_grant
from broker.tokens.models import BrowserSession, Grant
from broker.tokens.sessions import end_session
from tests.builders.logout import logout_token, tell
from tests.builders.site import Site, open_site


def sessions(site: Site) -> dict[str, bool]:
    """Whether each session is open, by its id."""
    return {one.id: one.ended_at is None for one in _rows(site, BrowserSession)}


def _rows(site: Site, model: Any) -> list[Any]:
    with site.rt.database.read(site.acme.id) as session:
        return list(session.scalars(select(model).order_by(model.created_at, model.id)))


def sign_in(site: Site, sub: str, sid: str | None = None) -> str:
    """Sign a person in with a browser of its own and return the new session's id."""
    before = set(sessions(site))
    claims = {} if sid is None else {"sid": sid}
    assert site.sign_in(site.browser(), sub=sub, **claims).status_code == 303
    return (set(sessions(site)) - before).pop()


def still_open(site: Site) -> set[str]:
    return {session_id for session_id, is_open in sessions(site).items() if is_open}


def test_a_session_ends_by_its_name_and_others_stay(site: Site) -> None:
    laptop, phone, noors = (
        sign_in(site, "maya", "s-1"),
        sign_in(site, "maya", "s-2"),
        sign_in(site, "noor", "s-3"),
    )
    answer = tell(site, logout_token(site.op, sid="s-1"))
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["Cache-Control"] == "no-store"
    assert still_open(site) == {phone, noors}
    ended = site.events("session.ended")
    assert [(one.target_id, one.reason) for one in ended] == [(laptop, "signed_out_at_provider")]
    assert site.events("sign_out.received")[0].data["session_count"] == 1


def test_all_sessions_of_a_person_end_by_the_persons_name(site: Site) -> None:
    sign_in(site, "maya", "s-1"), sign_in(site, "maya")
    noors = sign_in(site, "noor", "s-3")
    assert tell(site, logout_token(site.op, sub="maya")).status_code == 200
    assert still_open(site) == {noors}
    assert len(site.events("session.ended")) == 2


def test_what_a_message_names_ends_and_nothing_else(site: Site) -> None:
    mine = {
        "named": sign_in(site, "maya", "s-1"),
        "other": sign_in(site, "maya", "s-2"),
        "unnamed": sign_in(site, "maya"),
        "noor": sign_in(site, "noor", "s-3"),
    }
    for strange in (
        {"sub": "noor", "sid": "s-1"},
        {"sid": "s-9"},
        {"sub": "nobody"},
        {"sid": "maya"},
        {"sub": "s-1"},
    ):
        assert tell(site, logout_token(site.op, **strange)).status_code == 200
    assert still_open(site) == set(mine.values())
    # A session whose provider told no name of it ends with any session of its person.
    assert tell(site, logout_token(site.op, sub="maya", sid="s-1")).status_code == 200
    assert still_open(site) == {mine["other"], mine["noor"]}


def test_the_browser_is_asked_to_sign_in_again(site: Site) -> None:
    browser = site.browser()
    site.sign_in(browser, sub="maya", sid="s-1")
    assert browser.get("/t/acme/me/agents").status_code == 200
    tell(site, logout_token(site.op, sid="s-1"))
    assert browser.get("/t/acme/me/agents").status_code == 303


@pytest.mark.parametrize(
    ("policy", "left_before"),
    [("session", False), ("session_and_grants", False), ("session_and_grants", True)],
)
def test_the_tenants_setting_says_what_becomes_of_grants(
    database_url: str, tmp_path: Any, policy: str, left_before: bool
) -> None:
    with open_site(database_url, tmp_path) as site:
        with site.rt.database.unscoped(write=True) as session:
            session.execute(update(Tenant).values(settings={"provider_sign_out_ends": policy}))
            bump(session.connection(), site.acme.id)
        given, other = sign_in(site, "maya", "s-1"), sign_in(site, "maya", "s-2")
        grants = {one: grant_in(site, one) for one in (given, other)}
        if left_before:
            # She signed out here first: what she gave in that session still hangs on it.
            with site.rt.database.core_write() as core:
                end_session(core, site.acme.id, given, site.world.now)
        assert tell(site, logout_token(site.op, sid="s-1")).status_code == 200
        live = {one.id for one in _rows(site, Grant) if one.ended_at is None}
        kept = {grants[other]} if policy == "session_and_grants" else set(grants.values())
        assert live == kept
        assert site.events("sign_out.received")[0].data["grant_count"] == 2 - len(kept)
        causes = {one.ended_by for one in _rows(site, Grant) if one.ended_at is not None}
        assert causes <= {"signed_out_at_provider"}


def grant_in(site: Site, session_id: str) -> str:
    """A grant that was given in a session."""
    [row] = [one for one in _rows(site, BrowserSession) if one.id == session_id]
    with site.rt.database.core_write() as core:
        return open_grant(
            core,
            tenant_id=site.acme.id,
            client_id="cli_a",
            resources=["https://mcp.example"],
            scopes=["tickets:read"],
            user_id=row.user_id,
            session_id=session_id,
            now=site.world.now,
            expires_at=site.world.now + 3600,
        )

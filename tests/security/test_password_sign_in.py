"""Passwords at our own page: guesses are few, answers tell nothing, the password stays nowhere."""

import logging
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from broker.federation import attempts
from broker.federation.attempts import MAX_TRIES, WINDOW_SECONDS, TooManyAttempts, take_attempt
from broker.housekeeping import EXPIRING
from broker.kernel.jobs import sweep
from broker.tokens.switching_off import end_user
from tests.builders.corp_directory import SIGN_IN, CorpSite, open_corp
from tests.builders.ldap_server import BIND, BIND_ANSWER, Request, send_result
from tests.builders.ldap_trees import BASE, active_directory
from tests.builders.oauth import Scene
from tests.builders.site import form_token

ADA = f"uid=ada,ou=people,{BASE}"
CANARY = "canary-pass-71c0ffee"
WRONG = "The user name or the password is not right."


@pytest.fixture
def site(sqlite_url: str, tmp_path: Path) -> Iterator[CorpSite]:
    with open_corp(sqlite_url, tmp_path) as opened:
        yield opened


def plain(page: Any) -> str:
    """The page without what differs by chance: the request id, the form's token and the name typed."""
    without = re.sub(r'(<code[^>]*>[^<]*</code>|req_\w+|csrf_token" value="[^"]*")', "", page.text)
    return re.sub(r'name="username"[^>]*>', "", without)


def hang_up(connected: socket.socket) -> bool:
    connected.close()
    return True


def guess(site: CorpSite, username: str, times: int, ip: str = "127.0.0.1") -> list[int]:
    return [site.try_password(site.browser(), username, "wrong", ip=ip).status_code for _ in range(times)]


def test_an_unknown_name_and_a_wrong_password_get_the_same_answer(site: CorpSite) -> None:
    wrong = site.try_password(site.browser(), "ada", "wrong")
    unknown = site.try_password(site.browser(), "nobody", "wrong")
    assert wrong.status_code == unknown.status_code == 400
    assert WRONG in wrong.text
    assert plain(wrong) == plain(unknown)
    assert [one.reason for one in site.events("sign_in.refused")] == ["upstream_refused"] * 2
    assert site.try_password(site.browser()).status_code == 303


def test_tries_for_an_account_run_out_known_or_not(site: CorpSite) -> None:
    pages = []
    for username in ("ada", "nobody"):
        assert guess(site, username, MAX_TRIES["account"]) == [400] * MAX_TRIES["account"]
        binds = len(site.server.binds)
        locked = site.try_password(site.browser(), username, "ada-password")
        assert locked.status_code == 429
        assert "Try again in 15 minutes" in locked.text
        assert locked.headers["Retry-After"] == str(WINDOW_SECONDS)
        assert len(site.server.binds) == binds
        pages.append(plain(locked))
    assert pages[0] == pages[1]
    # Its valid twin: another account at the same directory.
    assert site.try_password(site.browser(), "bob", "bob-password").status_code == 303


def test_a_lockout_ends_with_its_window_however_often_it_is_knocked_at(site: CorpSite) -> None:
    guess(site, "ada", MAX_TRIES["account"])
    site.world.clock.advance(WINDOW_SECONDS - 1)
    assert guess(site, "ada", 3) == [429] * 3
    site.world.clock.advance(1)
    assert site.try_password(site.browser()).status_code == 303


def test_a_lockout_is_written_down_once(site: CorpSite) -> None:
    guess(site, "ada", MAX_TRIES["account"] + 4)
    assert [one.reason for one in site.events("sign_in.locked")] == ["account"]
    assert len(site.events("sign_in.refused")) == MAX_TRIES["account"]


def test_another_spelling_of_a_name_has_no_tries_of_its_own(site: CorpSite) -> None:
    guess(site, "ada", MAX_TRIES["account"])
    for spelling in ("ADA", " ada", "ada  ", "a\u0308da", "ＡＤＡ"):
        assert guess(site, spelling, 1) == [429]
    assert guess(site, "adam", 1) == [400]


def test_a_right_password_forgets_the_wrong_ones(site: CorpSite) -> None:
    for _ in range(3):
        guess(site, "ada", MAX_TRIES["account"] - 1)
        assert site.try_password(site.browser()).status_code == 303


def test_tries_from_an_address_run_out_whatever_the_name(
    site: CorpSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "MAX_TRIES", {"account": 5, "address": 8})
    # Signing in with an account of one's own in between does not help.
    for number in range(8):
        assert guess(site, f"user{number}", 1) == [400]
        if number == 4:
            assert site.try_password(site.browser(), "bob", "bob-password").status_code == 303
    assert site.try_password(site.browser()).status_code == 429
    assert site.try_password(site.browser(), ip="127.0.0.9").status_code == 303
    assert [one.reason for one in site.events("sign_in.locked")] == ["address"]


def test_a_whole_ipv6_network_counts_as_one_address(site: CorpSite) -> None:
    keys = {
        take_attempt(site.rt, site.acme.id, "con", f"u{number}", ip, site.world.now).keys["address"]
        for number, ip in enumerate(["2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"])
    }
    assert len(keys) == 2
    mapped, four = (
        take_attempt(site.rt, site.acme.id, "con", "u", ip, site.world.now).keys["address"]
        for ip in ("::ffff:192.0.2.1", "192.0.2.1")
    )
    assert mapped == four


def test_counts_of_two_tenants_and_two_connections_do_not_meet(site: CorpSite) -> None:
    beta = site.world.tenant("beta")
    for _ in range(MAX_TRIES["account"]):
        take_attempt(site.rt, site.acme.id, "con", "ada", "", site.world.now)
    with pytest.raises(TooManyAttempts):
        take_attempt(site.rt, site.acme.id, "con", "ada", "", site.world.now)
    assert take_attempt(site.rt, beta.id, "con", "ada", "", site.world.now)
    assert take_attempt(site.rt, site.acme.id, "other", "ada", "", site.world.now)


def test_guesses_sent_at_once_are_counted_one_by_one(scene: Scene) -> None:
    world = scene.world

    def once(_: int) -> bool:
        try:
            take_attempt(world.rt, scene.tenant.id, "con", "ada", "192.0.2.1", world.now)
        except TooManyAttempts:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(once, range(16))) == MAX_TRIES["account"]


def test_a_directory_that_is_away_uses_up_nobodys_tries(site: CorpSite) -> None:
    port = site.server.port
    site.server.on_connect = hang_up
    for _ in range(MAX_TRIES["account"] + 1):
        away = site.try_password(site.browser())
        assert away.status_code == 400
        assert "Your administrator can fix this" in away.text
    site.server.on_connect = lambda connected: False
    assert site.try_password(site.browser()).status_code == 303
    assert {place.rpartition(":")[2] for place in site.dialled} == {str(port)}


def test_l03_what_cannot_be_a_password_goes_nowhere_and_counts_for_nothing(site: CorpSite) -> None:
    for username, password in [("", "x"), ("ada", ""), ("ada", " "), ("ada", "\0"), ("a\0", "x")] * 2:
        refused = site.try_password(site.browser(), username, password)
        assert refused.status_code == 400
        assert "Enter your" in refused.text
    assert site.server.connections == 0
    assert site.try_password(site.browser()).status_code == 303


STATES = [
    ({"userAccountControl": 514}, "switched off in the directory", "Your administrator can fix this"),
    ({"accountExpires": 130_000_000_000_000_000}, "has expired", "Your administrator can fix this"),
    ({"msDS-User-Account-Control-Computed": 16}, "is locked", "Your administrator can fix this"),
    ({"msDS-User-Account-Control-Computed": 0x800000}, "password has expired", "Sign in with Corp"),
    ({"pwdLastSet": 0}, "must be changed", "Sign in with Corp"),
]


def test_l11_an_account_that_is_not_in_use_is_told_so_only_with_its_password(
    sqlite_url: str, tmp_path: Path
) -> None:
    with open_corp(sqlite_url, tmp_path, active_directory(ada="ada-password")) as site:
        for changes, words, move in STATES:
            before = {name: site.server.tree.entries[ADA].get(name, []) for name in changes}
            site.server.tree.put(ADA, **changes)
            refused = site.try_password(site.browser())
            assert refused.status_code == 400
            assert words in refused.text
            assert move in refused.text
            assert WRONG in site.try_password(site.browser(), "ada", "wrong").text
            site.server.tree.put(ADA, **before)
            assert site.try_password(site.browser()).status_code == 303


def test_l11_active_directory_says_why_it_refused_a_right_password(sqlite_url: str, tmp_path: Path) -> None:
    told = {"532": "password has expired", "533": "switched off", "701": "has expired", "773": "be changed"}
    untold = dict.fromkeys(("775", "52e", "525", "530"), WRONG)
    with open_corp(sqlite_url, tmp_path, active_directory(ada="ada-password")) as site:
        for code, words in (told | untold).items():
            answer_binds_with(site, code)
            assert words in site.try_password(site.browser()).text
            site.world.clock.advance(WINDOW_SECONDS)


def answer_binds_with(site: CorpSite, code: str) -> None:
    message = f"80090308: LdapErr: DSID-0C090446, comment: AcceptSecurityContext error, data {code}, v4563"

    def answer(request: Request) -> bool:
        is_ada = request.kind == BIND and request.body[1].text == ADA
        if is_ada:
            send_result(request, BIND_ANSWER, 49, message=message)
        return is_ada

    site.server.on_request = answer


def test_a_person_whom_the_broker_switched_off_stays_out(site: CorpSite) -> None:
    site.try_password(site.browser())
    (session,) = site.live_sessions()
    with site.rt.database.core_write() as core:
        end_user(core, site.acme.id, str(session.user_id), "test", site.world.now)
    refused = site.try_password(site.browser())
    assert "Your account here is switched off" in refused.text
    assert site.live_sessions() == []
    assert site.events("sign_in.refused")[-1].reason == "user_disabled"


def test_a_form_without_its_token_or_from_another_site_tries_nothing(site: CorpSite) -> None:
    browser = site.browser()
    token = form_token(browser.get(SIGN_IN))
    fields = {"username": "ada", "password": "ada-password"}
    assert browser.post(SIGN_IN, fields).status_code == 400
    assert site.browser().post(SIGN_IN, {**fields, "csrf_token": token}).status_code == 400
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert browser.post(SIGN_IN, {**fields, "csrf_token": token}, headers=foreign).status_code == 400
    assert site.server.connections == 0
    assert browser.post(SIGN_IN, {**fields, "csrf_token": token}).status_code == 303


def test_a_connection_that_is_switched_off_asks_for_no_password(site: CorpSite) -> None:
    browser = site.browser()
    token = form_token(browser.get(SIGN_IN))
    site.world.connection(site.acme, "old", kind="ldap", config=site.corp.config, state="disabled")
    fields = {"username": "ada", "password": "ada-password", "csrf_token": token}
    assert browser.get("/t/acme/sign-in/old").status_code == 400
    assert browser.post("/t/acme/sign-in/old", fields).status_code == 400
    assert site.server.connections == 0


def test_a_sign_in_ends_at_a_page_of_this_tenant(site: CorpSite) -> None:
    for target in ("https://evil.example", "//evil.example", "/t/beta/me", "/t/acme/sign-out"):
        assert site.try_password(site.browser(), next=target).location == "/t/acme/me/agents"
    assert site.try_password(site.browser(), next="/t/acme/admin").location == "/t/acme/admin"


def test_a_password_is_neither_shown_nor_stored_nor_logged(
    site: CorpSite, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    site.server.tree.passwords[ADA] = CANARY
    with caplog.at_level(logging.DEBUG):
        pages = [
            site.try_password(site.browser(), "bob", CANARY),
            site.try_password(site.browser(), f"<b>{CANARY}x", CANARY),
            site.try_password(site.browser(), "ada", CANARY),
        ]
        site.server.on_connect = hang_up
        pages.append(site.try_password(site.browser(), "ada", CANARY))
    assert [page.status_code for page in pages] == [400, 400, 303, 400]
    assert CANARY not in pages[0].text + pages[2].text + pages[3].text
    assert "<b>" not in pages[1].text.replace("&lt;b&gt;", "")
    out, err = capfd.readouterr()
    assert CANARY not in out + err + caplog.text
    assert CANARY not in everything_stored(site)
    assert "no-store" in pages[0].headers["Cache-Control"]


def everything_stored(site: CorpSite) -> str:
    with site.rt.database.core_read() as core:
        tables = site.rt.database.engine.dialect.get_table_names(core)
        return "".join(str(row) for name in tables for row in core.execute(text(f'SELECT * FROM "{name}"')))


def test_counts_go_when_their_window_is_over(site: CorpSite) -> None:
    guess(site, "ada", 2)
    assert sweep(site.rt, EXPIRING, now=site.world.now)["password_attempts"] == 0
    assert sweep(site.rt, EXPIRING, now=site.world.now + WINDOW_SECONDS + 1)["password_attempts"] == 2

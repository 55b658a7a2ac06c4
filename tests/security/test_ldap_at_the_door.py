"""L01 to L12 once more where a stranger stands: at the password page, each beside the sign-in that works."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.federation.attempts import MAX_TRIES
from idp_connectors.ldap import wire
from tests.builders.corp_directory import CorpSite, open_corp
from tests.builders.ldap_server import DONE, REFERRAL, SEARCH, Request, authority, send_result
from tests.builders.ldap_trees import BASE, READER, add_group, add_person
from tests.builders.tls_certificates import Authority

ADA = f"uid=ada,ou=people,{BASE}"
WRONG = "The user name or the password is not right."
UNREACHED = "Your administrator can fix this"


@pytest.fixture
def site(sqlite_url: str, tmp_path: Path) -> Iterator[CorpSite]:
    with open_corp(sqlite_url, tmp_path) as opened:
        yield opened


def refused(site: CorpSite, username: str = "ada", password: str = "ada-password", ip: str = "") -> str:
    """The page of a refusal that left no session behind."""
    before = len(site.live_sessions())
    page = site.try_password(site.browser(), username, password, ip=ip or "127.0.0.1")
    assert page.status_code == 400
    assert len(site.live_sessions()) == before
    assert ADA not in page.text
    return page.text


def signed_in(site: CorpSite, username: str = "ada", password: str = "ada-password") -> bool:
    return site.try_password(site.browser(), username, password).status_code == 303


def test_l01_a_name_that_is_a_filter_is_nobodys_name(site: CorpSite) -> None:
    for number, typed in enumerate(("*", "a*", "ada)(uid=*", "*)(objectClass=*", "ad\\61", "*))(|(uid=*")):
        assert WRONG in refused(site, typed, ip=f"192.0.2.{number}")
    assert signed_in(site)


def test_l02_a_name_with_a_comma_is_one_person_and_not_a_path(site: CorpSite) -> None:
    add_person(site.server.tree, "smith", "unused")
    dn = f"cn=Smith\\, John,ou=people,{BASE}"
    site.server.tree.entries[dn] = site.server.tree.entries.pop(f"uid=smith,ou=people,{BASE}")
    site.server.tree.passwords[dn] = "smith-password"
    assert WRONG in refused(site, f"smith,ou=people,{BASE}", "smith-password")
    assert signed_in(site, "smith", "smith-password")


def test_l04_a_bind_account_that_lost_its_password_does_not_become_anonymous(site: CorpSite) -> None:
    site.server.tree.passwords[READER] = "changed"
    for _ in range(MAX_TRIES["account"] + 1):
        assert UNREACHED in refused(site)
    assert all(secret for _, secret in site.server.binds)
    site.server.tree.passwords[READER] = "reader-password"
    assert signed_in(site)


def test_l05_a_referral_is_not_followed_with_the_password(site: CorpSite) -> None:
    hits: list[Any] = []
    elsewhere = socket.create_server(("127.0.0.1", 0))

    def count() -> None:
        with contextlib.suppress(OSError):
            while True:
                hits.append(elsewhere.accept()[0].close())

    threading.Thread(target=count, daemon=True).start()
    url = f"ldap://127.0.0.1:{elsewhere.getsockname()[1]}/{BASE}"

    def refer(request: Request) -> bool:
        is_person = request.kind == SEARCH and bool(request.body[0].content)
        if is_person:
            send_result(request, DONE, REFERRAL, referral=url)
        return is_person

    site.server.on_request = refer
    assert UNREACHED in refused(site)
    site.server.on_request = lambda request: False
    site.server.referral = url
    assert signed_in(site)
    elsewhere.close()
    assert hits == []


@pytest.mark.parametrize("fault", ["unknown-authority", "other-host", "expired", "old-tls"])
def test_l06_a_server_that_does_not_prove_itself_gets_no_password(site: CorpSite, fault: str) -> None:
    issued = {
        "unknown-authority": Authority("somebody else's CA").issue("dc1.corp.example"),
        "other-host": authority().issue("dc2.corp.example"),
        "expired": authority().issue("dc1.corp.example", days=-30),
        "old-tls": site.server.issued,
    }
    good, site.server.issued = site.server.issued, issued[fault]
    if fault == "old-tls":
        site.server.tls_versions = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
    assert UNREACHED in refused(site)
    assert site.server.binds == []
    site.server.issued, site.server.tls_versions = good, None
    assert signed_in(site)


def test_l07_people_and_groups_outside_of_the_base_are_nobody_and_nothing(site: CorpSite) -> None:
    stray = "uid=ada,ou=people,dc=other,dc=example"
    site.server.bend = lambda found: [(stray if "uid=ada" in dn else dn, entry) for dn, entry in found]
    assert UNREACHED in refused(site)
    site.server.bend = lambda found: found
    assert signed_in(site)


def test_l08_groups_in_a_circle_and_pages_without_end_do_not_hold_the_sign_in(site: CorpSite) -> None:
    inner = add_group(site.server.tree, "inner", ADA)
    outer = add_group(site.server.tree, "outer", inner)
    site.server.tree.put(inner, member=[ADA, outer])
    assert signed_in(site)
    site.server.has_endless_pages = True
    assert signed_in(site)
    site.server.has_endless_pages = False
    assert signed_in(site)


def test_l09_a_name_that_two_accounts_share_signs_in_neither(site: CorpSite) -> None:
    twin = f"uid=ada,ou=contractors,{BASE}"
    site.server.tree.put(
        twin, objectClass="person", uid="ada", entryUUID="00000000-0000-4000-8000-00000000000a"
    )
    site.server.tree.passwords[twin] = "twin-password"
    for password in ("ada-password", "twin-password"):
        assert "more than one account" in refused(site, "ada", password)
    assert signed_in(site, "bob", "bob-password")


def test_l10_what_people_write_about_themselves_gives_them_no_role(site: CorpSite) -> None:
    add_group(site.server.tree, "admins", f"uid=bob,ou=people,{BASE}")
    site.server.tree.put(
        ADA, memberOf=f"cn=admins,ou=groups,{BASE}", departmentNumber="admins", title="admins", role="admins"
    )
    assert signed_in(site)
    with site.rt.database.core_read() as core:
        told = core.exec_driver_sql("SELECT groups FROM group_snapshots").scalars().all()
    assert told == ["[]"]


def drip(connected: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        while True:
            connected.sendall(b"\x16")
            threading.Event().wait(0.05)
    return True


@pytest.mark.parametrize("answer", [b"\x30\x84\x7f\xff\xff\xff" + b"\0" * 100, b"\xff" * 64, b"\x30\x80\0\0"])
def test_l12_a_malformed_or_endless_answer_ends_in_a_page(site: CorpSite, answer: bytes) -> None:
    def break_off(request: Request) -> bool:
        if request.kind == SEARCH:
            request.send(answer)
        return request.kind == SEARCH

    site.server.on_request = break_off
    assert UNREACHED in refused(site)
    site.server.on_request = lambda request: False
    assert signed_in(site)


def test_l12_a_directory_that_drips_does_not_keep_others_waiting(
    site: CorpSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "STEP_SECONDS", 1.0)
    behave: Callable[[socket.socket], bool] = drip
    site.server.on_connect = behave
    waiting = threading.Thread(target=lambda: refused(site))
    waiting.start()
    assert site.browser().get("/t/acme/sign-in").status_code == 200
    assert waiting.is_alive()
    waiting.join()
    site.server.on_connect = lambda connected: False
    assert signed_in(site)

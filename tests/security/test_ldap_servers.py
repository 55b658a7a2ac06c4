"""Directories that are hostile, taken over or badly kept: L05 to L08 and L10 to L12, beside valid twins."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from idp_connectors.base import ConnectorError, GroupAnswer, VerifiedIdentity
from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.ldap import LdapConnector, connector, groups, wire
from tests.builders.ber import OCTETS, SEQUENCE, integer, tlv
from tests.builders.connector_deps import make_deps
from tests.builders.ldap_server import (
    DONE,
    HOST,
    REFERRAL,
    SEARCH,
    LdapServer,
    Request,
    authority,
    ldap_deps,
    send_result,
    serving,
)
from tests.builders.ldap_trees import BASE, active_directory, add_group, openldap, sid
from tests.builders.tls_certificates import Authority

ADA = f"uid=ada,ou=people,{BASE}"


@pytest.fixture
def server() -> Iterator[LdapServer]:
    with serving(openldap(ada="ada-password")) as running:
        yield running


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every step end after half a second, so that a slow server is one within the test's time."""
    monkeypatch.setattr(wire, "STEP_SECONDS", 0.5)


def sign_in(server: LdapServer, dialled: list[str] | None = None, **settings: Any) -> VerifiedIdentity:
    login = LdapConnector().password_login(*server.settings(**settings))
    return login.verify("ada", "ada-password", ldap_deps(dialled=dialled))


def refusal(server: LdapServer, **settings: Any) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        sign_in(server, **settings)
    return caught.value


def lookup(server: LdapServer, **settings: Any) -> GroupAnswer:
    look = LdapConnector().group_lookup(*server.settings(**settings))
    return look.lookup("ada", ldap_deps(), by="username")


def names(answer: GroupAnswer | VerifiedIdentity) -> set[str]:
    return {group.value for group in answer.groups if group.kind == "name"}


class Listener:
    """Another server, which counts who comes."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.hits = 0
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.socket.accept()[0].close()
                self.hits += 1


@pytest.mark.parametrize("place", ["among-entries", "instead-of-an-answer"])
def test_l05_a_referral_is_never_followed(server: LdapServer, place: str):
    elsewhere = Listener()
    url = f"ldap://127.0.0.1:{elsewhere.port}/{BASE}"
    dialled: list[str] = []
    if place == "among-entries":
        server.referral = url
        assert sign_in(server, dialled).subject
    else:
        server.on_request = lambda request: (
            request.kind == SEARCH
            and bool(request.body[0].content)
            and send_result(request, DONE, REFERRAL, referral=url) is None
        )
        assert refusal(server).code == Code.UPSTREAM_UNREACHABLE
    assert elsewhere.hits == 0
    assert {place.rpartition(":")[2] for place in dialled} <= {str(server.port)}


@pytest.mark.parametrize("scheme", ["ldaps", "ldap"])
class TestL06:
    def test_a_good_certificate_is_taken(self, server: LdapServer, scheme: str):
        assert sign_in(server, scheme=scheme).subject

    def test_a_certificate_of_an_unknown_authority_is_refused(self, scheme: str):
        other = Authority("somebody else's CA")
        with serving(openldap(ada="ada-password"), other.issue(HOST)) as server:
            self.expect_no_password(server, scheme)
            assert sign_in(server, scheme=scheme, ca_certificates=other.certificate).subject

    def test_a_certificate_of_another_host_is_refused(self, scheme: str):
        with serving(openldap(ada="ada-password"), authority().issue("dc2.corp.example")) as server:
            self.expect_no_password(server, scheme)

    def test_an_expired_certificate_is_refused(self, scheme: str):
        with serving(openldap(ada="ada-password"), authority().issue(HOST, days=-30)) as server:
            self.expect_no_password(server, scheme)

    def test_a_certificate_by_our_authority_is_not_trusted_without_it(self, server: LdapServer, scheme: str):
        self.expect_no_password(server, scheme, ca_certificates="")

    @pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
    def test_an_old_version_of_tls_is_refused(self, server: LdapServer, scheme: str):
        server.tls_versions = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
        assert refusal(server, scheme=scheme).code == Code.UPSTREAM_UNREACHABLE
        assert server.binds == []
        server.tls_versions = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
        assert sign_in(server, scheme=scheme).subject

    def expect_no_password(self, server: LdapServer, scheme: str, **settings: Any) -> None:
        refused = refusal(server, scheme=scheme, **settings)
        assert (refused.code, refused.field) == (Code.UPSTREAM_UNREACHABLE, "ca_certificates")
        assert server.binds == []


@pytest.mark.parametrize("answer", ["refused", "closed", "injected"])
def test_l06_a_stripped_or_injected_start_tls_sends_no_password(server: LdapServer, answer: str):
    def strip(request: Request) -> bool:
        if request.kind != 0x77:
            return False
        if answer == "refused":
            send_result(request, 0x78, 52)
        elif answer == "closed":
            raise EOFError
        else:
            done = tlv(0x78, integer(0, 0x0A), tlv(OCTETS), tlv(OCTETS))
            bind = tlv(0x61, integer(0, 0x0A), tlv(OCTETS), tlv(OCTETS))
            request.send(
                tlv(SEQUENCE, integer(request.id), done) + tlv(SEQUENCE, integer(request.id + 1), bind)
            )
        return True

    server.on_request = strip
    assert refusal(server, scheme="ldap").code == Code.UPSTREAM_UNREACHABLE
    assert server.binds == []
    server.on_request = lambda request: False
    assert sign_in(server, scheme="ldap").subject


@pytest.mark.parametrize(
    "stray",
    [
        pytest.param(f"uid=ada,ou=contractors,{BASE}", id="L07-beside"),
        pytest.param("uid=ada,ou=people,dc=other,dc=example", id="L07-another-tree"),
        pytest.param(f"uid=ada\\,ou=people,{BASE}", id="L07-escaped-comma"),
        pytest.param(BASE, id="L07-above"),
        pytest.param("", id="L07-no-name"),
    ],
)
def test_l07_a_person_outside_the_base_is_refused(server: LdapServer, stray: str):
    assert sign_in(server, base_dn=f"OU=People,{BASE.upper()}").subject
    entry = server.tree.entries[ADA]
    server.tree.passwords[stray] = "ada-password"
    server.bend = lambda found: [(stray, entry)] if found else found
    assert "outside the search base" in refusal(server, base_dn=f"ou=people,{BASE}").public


def test_l07_a_group_outside_the_base_makes_the_answer_an_error(server: LdapServer):
    add_group(server.tree, "engineering", ADA)
    inside = lookup(server, group_base_dn=f"ou=groups,{BASE}")
    assert (inside.state, names(inside)) == ("complete", {"engineering"})
    outside = ("cn=admins,ou=elsewhere," + BASE, {"cn": [b"admins"], "objectClass": [b"groupOfNames"]})
    server.bend = lambda found: [*found, outside] if found and found[0][0].startswith("cn=") else found
    found = lookup(server, group_base_dn=f"ou=groups,{BASE}")
    assert (found.state, found.groups) == ("error", ())
    assert "outside the search base" in found.problem


def test_l07_a_group_base_that_does_not_exist_is_not_nobodys_groups(server: LdapServer):
    add_group(server.tree, "engineering", ADA)
    server.on_request = lambda request: (
        request.kind == SEARCH
        and request.body[0].content.startswith(b"ou=nowhere")
        and send_result(request, DONE, 32) is None
    )
    found = lookup(server, group_base_dn=f"ou=nowhere,{BASE}")
    assert (found.state, found.groups) == ("error", ())
    assert lookup(server).state == "complete"


def test_l08_groups_in_a_circle_end(server: LdapServer):
    first = add_group(server.tree, "first", ADA)
    second = add_group(server.tree, "second", first)
    server.tree.put(first, member=[ADA, second, first])
    assert names(lookup(server)) == {"first", "second"}
    assert lookup(server).state == "complete"


@pytest.mark.parametrize(
    ("steps", "state"),
    [(groups.MAX_DEPTH, "complete"), (groups.MAX_DEPTH + 1, "truncated"), (40, "truncated")],
)
def test_l08_a_chain_is_followed_ten_steps(server: LdapServer, steps: int, state: str):
    below = ADA
    for step in range(steps):
        below = add_group(server.tree, f"level-{step}", below)
    found = lookup(server)
    assert (found.state, len(names(found))) == (state, min(steps, groups.MAX_DEPTH))


def test_l08_more_groups_than_the_limit_are_told_as_cut(server: LdapServer, monkeypatch: pytest.MonkeyPatch):
    for number in range(30):
        add_group(server.tree, f"group-{number}", ADA)
    assert lookup(server).state == "complete"
    monkeypatch.setattr(groups, "MAX_GROUPS", 20)
    found = lookup(server)
    assert (found.state, len(names(found))) == ("truncated", 20)


def test_l08_pages_that_never_end_are_given_up(server: LdapServer):
    add_group(server.tree, "engineering", ADA)
    assert lookup(server).state == "complete"
    server.has_endless_pages = True
    found = lookup(server)
    assert found.state == "truncated"
    assert server.requests.count(SEARCH) < 60


def test_l08_a_task_ends_though_every_step_is_quick(server: LdapServer, monkeypatch: pytest.MonkeyPatch):
    add_group(server.tree, "engineering", ADA)
    monkeypatch.setattr(connector, "TASK_SECONDS", 0.0)
    assert lookup(server).state == "error"
    assert "too long" in lookup(server).problem
    assert "too long" in refusal(server).public


def test_l10_what_people_write_about_themselves_is_no_group(server: LdapServer):
    spoofed = f"cn=admins,ou=groups,{BASE}"
    add_group(server.tree, "admins", f"uid=bob,ou=people,{BASE}")
    add_group(server.tree, "engineering", ADA)
    server.tree.put(ADA, memberOf=spoofed, description=spoofed, title="admins", groups="admins", ou="admins")
    assert names(sign_in(server)) == {"engineering"}
    assert names(lookup(server)) == {"engineering"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"userAccountControl": 514}, "switched off", id="L11-disabled"),
        pytest.param({"accountExpires": 130_000_000_000_000_000}, "expired", id="L11-expired"),
        pytest.param({"msDS-User-Account-Control-Computed": 16}, "locked", id="L11-locked"),
        pytest.param({"msDS-User-Account-Control-Computed": 0x800000}, "expired", id="L11-old-password"),
        pytest.param({"pwdLastSet": 0}, "must be changed", id="L11-must-change"),
        pytest.param({"userAccountControl": []}, "does not tell", id="L11-unreadable"),
    ],
)
def test_l11_an_account_that_is_not_in_use_does_not_sign_in(changes: dict[str, Any], sentence: str):
    with serving(active_directory(ada="ada-password")) as server:
        assert sign_in(server).subject_kind == "objectGUID"
        assert lookup(server).person == "active"
        server.tree.put(ADA, **changes)
        refused = refusal(server)
        is_own_move = "password" in refused.public.lower()
        assert refused.code == (Code.UPSTREAM_REFUSED if is_own_move else Code.ACCOUNT_UNUSABLE)
        assert sentence in refused.public
        assert lookup(server).person == "inactive"


def test_l11_an_account_that_is_switched_off_during_the_sign_in_does_not_get_in():
    with serving(active_directory(ada="ada-password")) as server:

        def switch_off(request: Request) -> bool:
            if request.kind == 0x60 and request.body[1].text == ADA:
                server.tree.put(ADA, userAccountControl=514)
            return False

        server.on_request = switch_off
        assert "switched off" in refusal(server).public


def drip(connected: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        while True:
            connected.sendall(b"\x16")
            time.sleep(0.05)
    return True


def say_nothing(connected: socket.socket) -> bool:
    connected.recv(1)
    while connected.recv(4096):
        pass
    return True


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("behave", [drip, say_nothing], ids=["L12-drip", "L12-silent"])
@pytest.mark.parametrize("scheme", ["ldaps", "ldap"])
def test_l12_a_server_that_never_gets_ready_is_given_up(server: LdapServer, behave: Any, scheme: str):
    server.on_connect = behave
    began = time.monotonic()
    assert refusal(server, scheme=scheme).code == Code.UPSTREAM_UNREACHABLE
    assert time.monotonic() - began < 3
    server.on_connect = lambda connected: False
    assert sign_in(server, scheme=scheme).subject


HUGE = b"\x30\x84\x7f\xff\xff\xff"
DEEP = b"\x30\x82\x04\x00" * 200


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(HUGE + b"\0" * 100, id="L12-announces-two-gigabytes"),
        pytest.param(b"\x30\x84\x00\x10\x00\x01", id="L12-announces-just-over-1-MiB"),
        pytest.param(b"\x30\x88" + b"\xff" * 8, id="L12-length-of-eight-bytes"),
        pytest.param(b"\x30\x80\0\0", id="L12-no-length"),
        pytest.param(
            b"\x30\x0c\x02\x01\x02\x65\x07\x0a\x01\x00\x04\x00\x04\x00", id="L12-foreign-message-id"
        ),
        pytest.param(b"\x30\x05\x02\x01\x02\x65\x00", id="L12-empty-result"),
        pytest.param(b"\x30\x00", id="L12-empty-message"),
        pytest.param(b"\x30\x03\x02\x01", id="L12-cut-element"),
        pytest.param(b"\xff" * 64, id="L12-noise"),
        pytest.param(b"\x30\x82\x04\x00" + DEEP + b"\0" * 300, id="L12-deeply-nested"),
        pytest.param(b"", id="L12-nothing"),
    ],
)
def test_l12_a_malformed_or_oversized_answer_is_refused(server: LdapServer, octets: bytes):
    def answer(request: Request) -> bool:
        if request.kind == SEARCH:
            request.send(octets)
        return request.kind == SEARCH

    server.on_request = answer
    began = time.monotonic()
    assert refusal(server).code == Code.UPSTREAM_UNREACHABLE
    assert lookup(server).state == "error"
    assert time.monotonic() - began < 3
    server.on_request = lambda request: False
    assert sign_in(server).subject


def test_l12_an_answer_of_endless_entries_is_given_up(server: LdapServer):
    def flood(request: Request) -> bool:
        if request.kind != SEARCH:
            return False
        value = tlv(OCTETS, b"x" * 900_000)
        entry = tlv(
            0x64,
            tlv(OCTETS, ADA.encode()),
            tlv(SEQUENCE, tlv(SEQUENCE, tlv(OCTETS, b"cn"), tlv(0x31, value))),
        )
        with contextlib.suppress(OSError):
            while True:
                request.send(tlv(SEQUENCE, integer(request.id), entry))
        return True

    server.on_request = flood
    began = time.monotonic()
    assert refusal(server).code == Code.UPSTREAM_UNREACHABLE
    # It is the size that ends it, long before the time does.
    assert time.monotonic() - began < wire.STEP_SECONDS / 2
    server.on_request = lambda request: False
    assert sign_in(server).subject


def test_a_tenant_cannot_reach_further_than_the_installation_allows(server: LdapServer):
    login = LdapConnector().password_login(*server.settings())
    with pytest.raises(ConnectorError) as caught:
        login.verify("ada", "ada-password", make_deps())
    assert "does not connect to directories" in caught.value.public
    assert server.connections == 0
    assert login.verify("ada", "ada-password", ldap_deps()).subject


def test_a_directory_that_hides_the_groups_of_people_is_an_error_not_an_empty_list():
    tree = active_directory(ada="ada-password")
    with serving(tree) as server:
        assert names(lookup(server)) == {"Domain Users"}
        tree.put(ADA, tokenGroups=[])
        found = lookup(server)
        assert (found.state, found.groups) == ("error", ())
        tree.put(ADA, tokenGroups=[sid(513), sid(9999)])
        assert lookup(server).state == "complete"

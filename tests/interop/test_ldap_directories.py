"""Password sign-in and group lookup at real directories: slapd, and Samba as a domain controller."""

import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from idp_connectors.base import ConnectorError, Deps, GroupAnswer, VerifiedIdentity
from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.registry import CONNECTORS
from tests.builders.connector_deps import make_deps
from tests.interop.servers.ldif import as_replacement
from tests.interop.servers.samba_ad import SambaAd
from tests.interop.servers.slapd import Slapd

pytestmark = pytest.mark.interop

Server = Slapd | SambaAd
MODES = {"slapd": ["member", "member_of"], "samba_ad": ["token_groups", "in_chain", "member_of"]}
CROWD = 500


def real_deps(dialled: list[str] | None = None, address: str = "") -> Deps:
    def dial(host: str, port: int, timeout: float) -> socket.socket:
        if dialled is not None:
            dialled.append(host)
        return socket.create_connection((address or host, port), timeout)

    return replace(make_deps(now=int(time.time())), dial=dial)


@pytest.fixture(params=["slapd", "samba_ad"])
def server(request: pytest.FixtureRequest) -> Server:
    return request.getfixturevalue(f"{request.param}_process")


@pytest.fixture
def add(server: Server) -> Callable[..., str]:
    """Add a person of a new name to the directory; return the name."""
    taken = iter(range(100))

    def add_person(prefix: str) -> str:
        user = f"{prefix}{int(time.time() * 1000) % 10**8}{next(taken)}"
        server.load(server.add_person(user, PASSWORD))
        return user

    return add_person


PASSWORD = "Person-1-password"


def password_of(server: Server, user: str) -> str:
    return f"{user}-password" if server.name == "slapd" else f"{user.capitalize()}-1-password"


def sign_in(server: Server, user: str, password: str, deps: Deps | None = None, **settings: Any):
    login = CONNECTORS["ldap"].password_login({**server.config, **settings}, server.secrets)
    return login.verify(user, password, deps or real_deps())


def refusal(server: Server, user: str, password: str, deps: Deps | None = None, **settings) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        sign_in(server, user, password, deps, **settings)
    return caught.value


def lookup(server: Server, key: str, by: str = "username", **settings: Any) -> GroupAnswer:
    look = CONNECTORS["ldap"].group_lookup({**server.config, **settings}, server.secrets)
    return look.lookup(key, real_deps(), by=by)


def names(found: GroupAnswer | VerifiedIdentity) -> set[str]:
    return {group.value for group in found.groups if group.kind == "name"} - {"Domain Users", "Users"}


@pytest.mark.parametrize("address", ["url", "start_tls_url"])
def test_a_person_signs_in_with_nested_groups(server: Server, address: str):
    urls = [getattr(server, address)]
    identity = sign_in(server, "ada", password_of(server, "ada"), urls=urls)
    assert identity.issuer == "ldap:dc=corp,dc=example"
    assert identity.subject_kind == ("entryUUID" if server.name == "slapd" else "objectGUID")
    assert (identity.email, identity.email_verified_by) == ("ada@corp.example", "idp_verified_domain")
    assert (identity.display_name, identity.groups_state) == ("Ada", "complete")
    assert names(identity) == {"engineering", "agents"}
    assert {group.kind for group in identity.groups} == {"dn", "name", "id"}
    assert lookup(server, identity.subject, by="subject").groups == identity.groups
    assert names(sign_in(server, "bob", password_of(server, "bob"), urls=urls)) == {"sales"}


@pytest.mark.parametrize("user", ["ada", "nobody", "*", "ada)(uid=*", "ad*"])
def test_a_wrong_guess_is_refused_in_the_same_words(server: Server, user: str):
    refused = refusal(server, user, "guess")
    assert (refused.code, refused.public) == (
        Code.UPSTREAM_REFUSED,
        "The user name or the password is not right.",
    )
    assert refusal(server, "ada", " ").code == Code.CALLBACK_MALFORMED
    assert sign_in(server, "ada", password_of(server, "ada")).subject


def test_a_certificate_that_is_not_the_servers_is_refused(server: Server):
    foreign = server.foreign_authority.certificate
    assert refusal(server, "ada", "x", ca_certificates=foreign).field == "ca_certificates"
    port = server.url.rpartition(":")[2] if server.name == "slapd" else "636"
    address = "127.0.0.1" if server.name == "slapd" else server.address
    elsewhere = [f"ldaps://directory.other.example:{port}"]
    refused = refusal(server, "ada", "x", real_deps(address=address), urls=elsewhere)
    assert refused.field == "ca_certificates"
    assert sign_in(server, "ada", password_of(server, "ada")).subject


def test_a_wrong_bind_account_is_told_to_the_administrator(server: Server):
    login = CONNECTORS["ldap"].password_login(server.config, {"bind_password": "wrong"})
    with pytest.raises(ConnectorError) as caught:
        login.verify("ada", "x", real_deps())
    assert caught.value.field == "bind_password"


def test_no_server_but_the_configured_one_is_called(server: Server):
    # A search from the top of a domain answers with referrals to its other partitions (L05).
    dialled: list[str] = []
    settings = {"base_dn": server.base, "group_base_dn": server.base}
    assert sign_in(server, "ada", password_of(server, "ada"), real_deps(dialled), **settings).subject
    assert len(set(dialled)) == 1


def test_people_outside_the_search_base_are_nobody(server: Server):
    password = password_of(server, "ada")
    apart = "ou=groups,dc=corp,dc=example" if server.name == "slapd" else "CN=Builtin,DC=corp,DC=example"
    assert refusal(server, "ada", password, base_dn=apart).detail == "no such user"
    assert sign_in(server, "ada", password, base_dn=server.config["base_dn"]).subject


def test_a_group_that_was_removed_is_gone(server: Server, add: Callable[..., str]):
    user = add("leaver")
    group = server.group_dn(f"{user}-team")
    server.load(server.add_group(f"{user}-team", [server.person_dn(user), server.person_dn("bob")]))
    assert names(lookup(server, user)) == {f"{user}-team"}
    server.change(as_replacement(group, {"member": [server.person_dn("bob")]}))
    assert (names(lookup(server, user)), lookup(server, user).state) == (set(), "complete")


def test_a_person_who_was_removed_is_not_somebody_without_groups(server: Server, add: Callable[..., str]):
    user = add("gone")
    identity = sign_in(server, user, PASSWORD)
    server.change(f"dn: {server.person_dn(user)}\nchangetype: delete\n")
    found = lookup(server, identity.subject, by="subject")
    assert (found.person, found.state) == ("not_found", "absent")
    assert lookup(server, "ada").person == "active"


@pytest.fixture(scope="module")
def crowds() -> set[str]:
    """The directories that already hold the person with the many groups."""
    return set()


@pytest.mark.proof
def test_a_person_in_1500_nested_groups_has_all_of_them(server: Server, crowds: set[str]):
    if server.name not in crowds:
        crowds.add(server.name)
        server.load(*crowd(server))
        # And a circle: the outermost holds the person's own, which is in it.
        server.change(
            as_replacement(
                server.group_dn("inner0"), {"member": [server.person_dn("eve"), server.group_dn("outer0")]}
            )
        )
    expected = {f"{ring}{number}" for ring in ("inner", "middle", "outer") for number in range(CROWD)}
    for mode in MODES[server.name]:
        found = lookup(server, "eve", group_mode=mode)
        assert (found.state, found.problem) == ("complete", ""), mode
        assert names(found) == expected, mode


def crowd(server: Server, person: str = "eve", mark: str = "") -> list[Any]:
    """A person in 500 groups, each in another, each of those in another; their names begin with ``mark``."""
    records = [server.add_person(person, PASSWORD)]
    below = [server.person_dn(person)] * CROWD
    for ring in (f"{mark}inner", f"{mark}middle", f"{mark}outer"):
        records += [server.add_group(f"{ring}{at}", [below[at]]) for at in range(CROWD)]
        below = [server.group_dn(f"{ring}{at}") for at in range(CROWD)]
    return records


def test_slapd_does_not_follow_the_in_chain_rule_and_is_not_believed(slapd_process: Slapd):
    found = lookup(slapd_process, "ada", group_mode="in_chain")
    assert (found.state, found.groups) == ("error", ())
    assert "does not follow nested groups" in found.problem


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param({"userAccountControl": "514"}, id="L11-disabled"),
        pytest.param({"accountExpires": "130000000000000000"}, id="L11-expired"),
        pytest.param({"pwdLastSet": "0"}, id="L11-must-change"),
    ],
)
def test_samba_accounts_that_are_not_in_use(samba_ad_process: SambaAd, attributes: dict[str, str]):
    server = samba_ad_process
    user = f"flag{int(time.time() * 1000) % 10**9}"
    server.load(server.add_person(user, PASSWORD))
    assert sign_in(server, user, PASSWORD).subject
    assert lookup(server, user).person == "active"
    server.set_flags(user, **attributes)
    told = refusal(server, user, PASSWORD)
    assert told.code == (Code.UPSTREAM_REFUSED if "pwdLastSet" in attributes else Code.ACCOUNT_UNUSABLE)
    assert lookup(server, user).person == "inactive"


def test_samba_tells_the_reason_of_a_refused_bind(samba_ad_process: SambaAd):
    server = samba_ad_process
    user = f"code{int(time.time() * 1000) % 10**9}"
    server.load(server.add_person(user, PASSWORD))
    assert refusal(server, user, "guess").detail == "wrong password"
    server.set_flags(user, userAccountControl="514")
    assert refusal(server, user, PASSWORD).detail == "disabled"


def test_samba_counts_the_primary_group_and_what_it_is_in(samba_ad_process: SambaAd):
    server = samba_ad_process
    for mode in MODES["samba_ad"]:
        found = lookup(server, "ada", group_mode=mode)
        assert {group.value for group in found.groups if group.kind == "name"} >= {"Domain Users", "Users"}
    by_principal = sign_in(server, "ada@corp.example", password_of(server, "ada"))
    assert by_principal.subject == sign_in(server, "ada", password_of(server, "ada")).subject

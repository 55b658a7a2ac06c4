"""W10 for servers that do not speak HTTP: public addresses, and what the operator named, and nothing else."""

import socket
from typing import Any

import pytest

from broker.kernel.dialling import Dialler
from broker.kernel.settings import load_settings

PUBLIC, PRIVATE = "93.184.216.34", "10.0.0.5"


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The addresses that were connected to; names below ``example`` resolve as `resolve` says."""
    seen: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], _timeout: float) -> socket.socket:
        seen.append(address)
        return socket.socket()

    monkeypatch.setattr(socket, "create_connection", connect)
    return seen


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    asked: list[str] = []

    def answer(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


def test_a_public_server_is_reached_at_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch, connected: list[tuple[str, int]]
) -> None:
    asked = resolve(monkeypatch, PUBLIC)
    Dialler()("ldap.acme.example", 636, 5).close()
    assert (asked, connected) == (["ldap.acme.example"], [(PUBLIC, 636)])


@pytest.mark.parametrize(
    "addresses",
    [[PRIVATE], ["127.0.0.1"], ["169.254.169.254"], ["::1"], ["fd00::1"], ["100.64.0.1"], [PUBLIC, PRIVATE]],
    ids=" ".join,
)
def test_a_server_within_is_reached_only_where_the_operator_named_it(
    monkeypatch: pytest.MonkeyPatch, connected: list[tuple[str, int]], addresses: list[str]
) -> None:
    resolve(monkeypatch, *addresses)
    for hosts in ([], ["dc2.corp.example"], ["corp.example"], ["dc1.corp.example:389"], ["dc1"], [""]):
        with pytest.raises(OSError, match="not a public"):
            Dialler(hosts)("dc1.corp.example", 636, 5)
    assert connected == []
    for hosts in (["DC1.corp.example"], ["dc1.corp.example:636"], ["dc1.corp.example."]):
        Dialler(hosts)("dc1.corp.example", 636, 5).close()
    Dialler(["dc1.corp.example"])("DC1.CORP.example.", 636, 5).close()
    assert len(connected) == 4


def test_loopback_is_reached_in_development_only(
    monkeypatch: pytest.MonkeyPatch, connected: list[tuple[str, int]]
) -> None:
    resolve(monkeypatch, "127.0.0.1")
    Dialler(may_reach_loopback=True)("localhost", 389, 5).close()
    resolve(monkeypatch, PRIVATE)
    with pytest.raises(OSError, match="not a public"):
        Dialler(may_reach_loopback=True)("dc1.corp.example", 389, 5)


def test_the_next_address_is_tried_and_all_of_them_in_the_time_of_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve(monkeypatch, PUBLIC, "93.184.216.35")
    tried: list[tuple[str, float]] = []

    def fail(address: tuple[str, int], timeout: float) -> socket.socket:
        tried.append((address[0], timeout))
        raise TimeoutError("no answer")

    monkeypatch.setattr(socket, "create_connection", fail)
    with pytest.raises(TimeoutError):
        Dialler()("ldap.acme.example", 636, 2.0)
    assert [address for address, _ in tried] == [PUBLIC, "93.184.216.35"]
    assert all(timeout <= 2.0 for _, timeout in tried)


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "\udcff.example", ""])
def test_what_is_no_name_of_a_host_is_an_ordinary_failure(host: str) -> None:
    with pytest.raises(OSError):
        Dialler()(host, 636, 1)


def test_the_operator_names_hosts_in_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_DIRECTORY_HOSTS", '["dc1.corp.example", "10.0.0.5:636"]')
    assert load_settings().directory_hosts == ["dc1.corp.example", "10.0.0.5:636"]
    assert load_settings(directory_hosts=[]).directory_hosts == []

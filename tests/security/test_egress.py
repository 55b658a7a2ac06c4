"""W10: outbound calls reach public addresses over https and nothing else, and cannot be made to wait."""

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from broker.kernel import egress as egress_module
from broker.kernel.egress import Egress, is_public
from broker.kernel.errors import ErrorCode, Refusal

PUBLIC = "93.184.216.34"
OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"ok": "yes"}'


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The addresses that anything tried to connect to; every attempt fails."""
    seen: list[tuple[str, int]] = []

    def refuse(address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        seen.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    return seen


def resolve_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    """Have names resolve to each list of addresses in turn, the last one for ever."""
    left = list(answers)
    real = socket.getaddrinfo

    def answer(host: str, port: int, *args: Any, **more: Any) -> list[Any]:
        if not host.endswith(".example"):
            return real(host, port, *args, **more)
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def refuse(url: str, *, egress: Egress | None = None, **more: Any) -> Refusal:
    with pytest.raises(Refusal) as refused:
        (egress or Egress()).fetch(url, **more)
    assert refused.value.code == ErrorCode.EGRESS_REFUSED
    return refused.value


HOSTS = [
    "127.0.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "localhost",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "0.0.0.0",
    "0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "192.88.99.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:169.254.169.254]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[fe80::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[3fff::1]",
]


@pytest.mark.parametrize("host", HOSTS)
def test_w10_no_spelling_of_an_inner_address_is_connected_to(host: str, calls: list[Any]):
    refuse(f"https://{host}/keys")
    refuse(f"https://{host}:8443/keys")
    assert calls == []


def test_w10_the_twin_a_public_address_is_connected_to(calls: list[Any], monkeypatch: pytest.MonkeyPatch):
    resolve_to(monkeypatch, [PUBLIC])
    refuse("https://idp.example/keys")
    refuse(f"https://{PUBLIC}/keys")
    refuse("https://[2606:4700::1111]/keys")
    assert [address for address, _ in calls] == [PUBLIC, PUBLIC, "2606:4700::1111"]


def test_w10_one_inner_answer_among_public_ones_is_enough_to_refuse(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch
):
    resolve_to(monkeypatch, [PUBLIC, "10.0.0.1"])
    refuse("https://idp.example/keys")
    assert calls == []


def test_w10_a_name_that_changes_its_mind_is_connected_to_where_it_was_checked(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch
):
    """DNS rebinding: the second answer is loopback, but there is no second question."""
    resolve_to(monkeypatch, [PUBLIC], ["127.0.0.1"])
    refuse("https://idp.example/keys")
    assert calls == [(PUBLIC, 443)]
    refuse("https://idp.example/keys")
    assert calls == [(PUBLIC, 443)]


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(f"http://{PUBLIC}/keys", id="http"),
        pytest.param("file:///etc/passwd", id="file"),
        pytest.param(f"gopher://{PUBLIC}/_x", id="gopher"),
        pytest.param(f"ftp://{PUBLIC}/x", id="ftp"),
        pytest.param("data:application/json,{}", id="data"),
        pytest.param("unix:/var/run/docker.sock", id="unix"),
        pytest.param(f"https://user@{PUBLIC}/", id="user"),
        pytest.param(f"https://user:password@{PUBLIC}/", id="user-and-password"),
        pytest.param(f"https://{PUBLIC}@127.0.0.1/", id="userinfo-that-looks-like-a-host"),
        pytest.param(f"//{PUBLIC}/keys", id="no-scheme"),
        pytest.param("https://", id="no-host"),
        pytest.param("https:///keys", id="empty-host"),
        pytest.param("", id="empty"),
        pytest.param("https://a.example:99999/", id="port-out-of-range"),
        pytest.param("https://\u0000.example/", id="nul"),
        pytest.param("https://" + "a" * 70_000 + ".example/", id="very-long"),
        pytest.param("https://" + "a." * 200 + "example/", id="too-many-labels"),
        pytest.param("https://xn--a.example/", id="broken-punycode"),
    ],
)
def test_w10_other_schemes_and_odd_addresses_are_refused(url: str, calls: list[Any]):
    refuse(url)
    assert calls == []


def test_proxies_of_the_environment_are_not_used(calls: list[Any], monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:3128")
    refuse(f"https://{PUBLIC}/keys")
    assert calls == [(PUBLIC, 443)]


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("::ffff:127.0.0.1", False),
    ],
)
def test_development_opens_loopback_and_nothing_else(address: str, may: bool):
    assert is_public(address, may_reach_loopback=True) is may
    assert not is_public(address)


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "1.2.3.4/32", "::1%lo", "8.8.8.8 "])
def test_what_is_no_address_is_not_public(text: str):
    assert not is_public(text)
    assert is_public("8.8.8.8")


Talk = Callable[[socket.socket], None]


@contextmanager
def server(talk: Talk) -> Iterator[str]:
    """A server on loopback that reads a request and then does what ``talk`` does, for every connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    asked.append(connection.recv(65_536))
                    talk(connection)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/keys"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=5)


@pytest.fixture
def developer() -> Iterator[Egress]:
    egress = Egress(may_reach_loopback=True)
    yield egress
    egress.close()


def test_the_twin_of_all_bad_answers(developer: Egress):
    with server(lambda c: c.sendall(OK)) as url:
        assert developer.fetch_json(url) == {"ok": "yes"}
        assert developer.fetch(url, max_bytes=13) == b'{"ok": "yes"}'


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_w10_redirects_are_not_followed(developer: Egress, status: int):
    reached: list[str] = []

    def inner(connection: socket.socket) -> None:
        reached.append("inner")
        connection.sendall(OK)

    with server(inner) as inner_url:
        head = f"HTTP/1.1 {status} Moved\r\nLocation: {inner_url}\r\nContent-Length: 0\r\n\r\n".encode()
        with server(lambda c: c.sendall(head)) as url:
            assert str(status) in refuse(url, egress=developer).public
    assert reached == []


@pytest.mark.parametrize("status", [204, 206, 400, 401, 404, 500, 503])
def test_only_200_is_an_answer(developer: Egress, status: int):
    with server(lambda c: c.sendall(OK.replace(b"200", str(status).encode()))) as url:
        refuse(url, egress=developer)


def test_an_oversized_answer_is_given_up(developer: Egress):
    sent: list[int] = []

    def pour(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(2_000):
            connection.sendall(b"x" * 65_536)
            sent.append(65_536)

    with server(pour) as url:
        refuse(url, egress=developer, max_bytes=100_000)
    assert sum(sent) < 20_000_000


def test_one_byte_more_than_allowed_is_too_much(developer: Egress):
    with server(lambda c: c.sendall(OK)) as url:
        refuse(url, egress=developer, max_bytes=12)


def test_no_caller_is_handed_more_than_is_honest(developer: Egress, monkeypatch: pytest.MonkeyPatch):
    with server(lambda c: c.sendall(OK)) as url:
        assert developer.client().get(url).json() == {"ok": "yes"}
    monkeypatch.setattr(egress_module, "MOST_BYTES", 12)
    with (
        server(lambda c: c.sendall(OK)) as url,
        pytest.raises(httpx2.ReadError, match="larger than is honest"),
    ):
        developer.client().get(url)


def test_a_compressed_answer_is_not_unfolded(developer: Egress):
    bomb = gzip.compress(b"0" * 5_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    with server(lambda c: c.sendall(head + bomb)) as url:
        refuse(url, egress=developer)


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"", id="in-the-status-line"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Slow: ", id="in-the-headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", id="in-the-body"),
    ],
)
def test_a_dripping_answer_is_given_up(developer: Egress, start: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(egress_module, "TOTAL_SECONDS", 0.4)
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(start)
        while not over.wait(0.05):
            connection.sendall(b"a")

    with server(drip) as url:
        try:
            refuse(url, egress=developer)
        finally:
            over.set()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OK.replace(b'{"ok": "yes"}', b"[1, 2, 3, 4] "), id="a-list"),
        pytest.param(OK.replace(b'{"ok": "yes"}', b"<html></html>"), id="html"),
        pytest.param(OK.replace(b'{"ok": "yes"}', b'{"ok": "ye\xff"'), id="not-utf-8"),
        pytest.param(b"not http at all\r\n\r\n", id="not-http"),
        pytest.param(b"", id="nothing"),
        pytest.param(OK.replace(b"13", b"99"), id="cut-short"),
    ],
)
def test_what_is_no_json_object_is_refused(developer: Egress, answer: bytes):
    with server(lambda c: c.sendall(answer)) as url, pytest.raises(Refusal) as refused:
        developer.fetch_json(url)
    assert refused.value.code == ErrorCode.EGRESS_REFUSED


def test_a_cookie_of_one_answer_is_not_sent_with_the_next_request(developer: Egress):
    requests: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    answer = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: track=1\r\nConnection: close\r\n\r\n")

    def serve() -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                requests.append(connection.recv(65_536))
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    for _ in range(2):
        developer.fetch(f"http://127.0.0.1:{listener.getsockname()[1]}/")
    thread.join(timeout=5)
    listener.close()
    assert len(requests) == 2
    assert b"track" not in requests[1]


def test_the_reason_for_a_person_names_no_address(developer: Egress):
    refused = refuse("https://10.0.0.1/keys")
    assert "10.0.0.1" not in refused.public
    assert "10.0.0.1" in refused.detail

"""CIMD: what may be a client's address, what may stand there, and every attack beside its valid twin."""

import gzip
import json
import socket
from typing import Any

import pytest

from broker.agents.client_documents import (
    MAX_DOCUMENT_BYTES,
    ClientDocument,
    check_document_id,
    fetch_document,
    is_admitted,
    is_document_id,
)
from broker.agents.client_metadata import Offered
from broker.agents.client_names import shown_name
from broker.kernel.egress import Egress
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.ids import new_id
from broker.tenants.onboarding import OnboardingPolicy
from tests.builders.published_clients import CLIENT_ID, LOOPBACK_URI, Published, PublishedEgress, document

OFFERED = Offered(
    grant_types=frozenset({"authorization_code", "refresh_token", "client_credentials"}),
    id_token_algorithms=frozenset({"ES256"}),
)
KEY = {
    "kty": "EC",
    "crv": "P-256",
    "kid": "k1",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
}


def read(published: Published, client_id: str = CLIENT_ID, offered: Offered = OFFERED) -> ClientDocument:
    return fetch_document(PublishedEgress(published), client_id, offered)


def refused(body: Any = None, **answer: Any) -> Refusal:
    """The refusal of an answer; the honest document at the same address is read in the same breath."""
    published = Published()
    published.put(CLIENT_ID, body, **answer)
    with pytest.raises(Refusal) as caught:
        read(published)
    assert caught.value.code is ErrorCode.INVALID_CLIENT
    published.put()
    assert read(published).client_id == CLIENT_ID
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://app.example/client.json", id="plain-http"),
        pytest.param("https://app.example", id="no-path"),
        pytest.param("https://app.example/", id="bare-slash"),
        pytest.param("https://app.example/client.json#x", id="fragment"),
        pytest.param("https://app.example/client.json#", id="empty-fragment"),
        pytest.param("https://user@app.example/client.json", id="userinfo"),
        pytest.param("https://user:pw@app.example/client.json", id="password"),
        pytest.param("https://@app.example/client.json", id="empty-userinfo"),
        pytest.param("https://app.example/a/../client.json", id="dot-dot"),
        pytest.param("https://app.example/./client.json", id="dot"),
        pytest.param("https://app.example/%2e%2e/client.json", id="encoded-dots"),
        pytest.param("https://app.example/%252e%252e/client.json", id="twice-encoded-dots"),
        pytest.param("https://app.example/a/..;/client.json", id="dots-with-parameter"),
        pytest.param("https://app.example\\@evil.example/c.json", id="backslash"),
        pytest.param("https://APP.example/client.json", id="upper-case-host"),
        pytest.param("https://аpp.example/client.json", id="other-alphabet"),
        pytest.param("https://app.example/client .json", id="space"),
        pytest.param("https://app.example:port/client.json", id="not-a-port"),
        pytest.param("https:///client.json", id="no-host"),
        pytest.param("https://app.example/" + "a" * 200, id="too-long"),
        pytest.param("ftp://app.example/client.json", id="other-scheme"),
    ],
)
def test_cimd_01_an_address_has_one_spelling(url: str) -> None:
    with pytest.raises(Refusal) as caught:
        check_document_id(url)
    assert caught.value.reason == "cimd_id"
    check_document_id(CLIENT_ID)
    check_document_id("https://app.example:8443/client")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param({"status": 302, "headers": {"Location": CLIENT_ID + "2"}}, "unreachable", id="redirect"),
        pytest.param({"status": 308, "headers": {"Location": CLIENT_ID}}, "unreachable", id="own-redirect"),
        pytest.param({"status": 201}, "unreachable", id="201"),
        pytest.param({"status": 404}, "unreachable", id="404"),
        pytest.param({"status": 500}, "unreachable", id="500"),
        pytest.param({"headers": {"Content-Type": "text/html"}}, "content_type", id="html"),
        pytest.param({"headers": {"Content-Type": "text/plain"}}, "content_type", id="text"),
        pytest.param({"headers": {"Content-Type": "application/xjson"}}, "content_type", id="nearly-json"),
        pytest.param({"body": b"[]"}, "not_json", id="array"),
        pytest.param({"body": b"{"}, "not_json", id="broken"),
        pytest.param({"body": b"[" * 4000}, "not_json", id="deep"),
        pytest.param({"body": b'{"client_id": "a", "client_id": "b"}'}, "not_json", id="name-twice"),
        pytest.param({"body": b"\xff\xfe"}, "not_json", id="not-utf8"),
        pytest.param(
            {"body": json.dumps(document(client_name="x" * MAX_DOCUMENT_BYTES)).encode()},
            "unreachable",
            id="above-5-kilobytes",
        ),
        pytest.param(
            {"body": gzip.compress(b"0" * 1_000_000), "headers": {"Content-Encoding": "gzip"}},
            "unreachable",
            id="gzip-bomb",
        ),
    ],
)
def test_cimd_02_only_a_plain_small_json_answer_counts(answer: dict[str, Any], reason: str) -> None:
    assert refused(**answer).reason == f"cimd_{reason}"


def test_cimd_02_a_redirect_is_not_followed() -> None:
    published = Published()
    published.put(CLIENT_ID, b"", status=302, headers={"Location": "https://app.example/elsewhere"})
    with pytest.raises(Refusal):
        read(published)
    assert published.asked == [CLIENT_ID]


def test_cimd_02_profiles_of_json_are_json() -> None:
    published = Published()
    published.put(headers={"Content-Type": "application/cimd+json; charset=utf-8"})
    assert read(published).metadata.name == "Example Assistant"


@pytest.mark.parametrize(
    "told",
    [
        "https://app.example/oauth/client.json/",
        "https://evil.example/oauth/client.json",
        "https://APP.example/oauth/client.json",
        "https://app.example:443/oauth/client.json",
        "",
        None,
        7,
    ],
)
def test_cimd_03_the_document_names_its_own_address(told: Any) -> None:
    assert refused(document() | {"client_id": told}).reason == "cimd_other_id"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"client_secret": "s" * 40}, "secret", id="secret"),
        pytest.param({"client_secret_expires_at": 0}, "secret", id="secret-by-its-end"),
        pytest.param({"token_endpoint_auth_method": "client_secret_basic"}, "secret", id="basic"),
        pytest.param({"token_endpoint_auth_method": "client_secret_post"}, "secret", id="post"),
        pytest.param({"token_endpoint_auth_method": "client_secret_jwt"}, "secret", id="secret-jwt"),
        pytest.param(
            {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [{**KEY, "d": "AA"}]}},
            "jwks",
            id="private-key",
        ),
        pytest.param(
            {"jwks": {"keys": [{"kty": "oct", "k": "AAAA", "kid": "s"}]}}, "jwks", id="symmetric-key"
        ),
        pytest.param({"token_endpoint_auth_method": "private_key_jwt"}, "jwks", id="no-keys"),
        pytest.param(
            {"jwks": {"keys": [KEY]}, "jwks_uri": "https://app.example/k"}, "jwks", id="two-key-places"
        ),
    ],
)
def test_cimd_04_a_document_holds_no_secret(changes: dict[str, Any], reason: str) -> None:
    assert refused(document(**changes)).reason == f"cimd_{reason}"


def test_cimd_04_a_public_key_beside_it_is_fine() -> None:
    published = Published()
    published.put(CLIENT_ID, document(token_endpoint_auth_method="private_key_jwt", jwks={"keys": [KEY]}))
    assert read(published).metadata.jwks == {"keys": [KEY]}


INSIDE = [
    "https://127.0.0.1/x",
    "https://localhost/x",
    "https://a.localhost/x",
    "https://10.0.0.1/x",
    "https://169.254.169.254/latest/meta-data",
    "https://[::1]/x",
    "https://[::ffff:127.0.0.1]/x",
    "https://[fd00:ec2::254]/x",
    "https://0x7f000001/x",
    "https://2130706433/x",
    "https://127.1/x",
    "https://printer.local/x",
    "https://metadata.google.internal/x",
    "https://intranet/x",
    "http://app.example/x",
    "file:///etc/passwd",
    "gopher://app.example/x",
    "javascript:alert(1)",
    "https://user@app.example/x",
]


@pytest.mark.parametrize("url", INSIDE)
@pytest.mark.parametrize("field", ["jwks_uri", "client_uri", "logo_uri", "policy_uri", "tos_uri"])
def test_cimd_05_no_address_inside_leads_to_a_machine_of_ours(field: str, url: str) -> None:
    assert refused(document(**{field: url})).reason == f"cimd_{field}"


@pytest.mark.parametrize("url", [one for one in INSIDE if one.startswith("https://")])
def test_cimd_05_no_client_is_a_machine_of_ours(url: str) -> None:
    published = Published()
    published.put(url)
    with pytest.raises(Refusal):
        read(published, url)
    assert published.asked == []


def test_cimd_05_a_name_that_leads_inside_is_never_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rebinding: the first look-up is public, the second is ours; what was checked is what is called."""
    connected: list[str] = []
    answers = [["93.184.216.34", "127.0.0.1"], ["10.1.2.3"], ["93.184.216.34"]]

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        found = answers.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    def connect(address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    for _ in range(3):
        with pytest.raises(Refusal) as caught:
            fetch_document(Egress(), CLIENT_ID, OFFERED)
        assert caught.value.reason == "cimd_unreachable"
    assert connected == ["93.184.216.34"]


def test_cimd_05_loopback_is_for_development_only() -> None:
    url = "http://127.0.0.1:9000/client.json"
    published = Published()
    published.put(url, document(url, client_uri=None, jwks_uri=None))
    with pytest.raises(Refusal):
        read(published, url)
    assert not is_document_id(url)
    developing = Offered(OFFERED.grant_types, OFFERED.id_token_algorithms, may_use_loopback=True)
    assert read(published, url, developing).client_id == url


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("max-age=600", 600),
        ("public, max-age=900", 900),
        ("max-age=5", 300),
        ("max-age=999999999", 86_400),
        ("no-store", 300),
        ("no-cache, max-age=7200", 300),
        ("max-age=-1", 300),
        ("max-age=99999999999999999999", 300),
        ("", 300),
    ],
)
def test_cimd_06_it_holds_as_its_headers_say_within_our_bounds(header: str, seconds: int) -> None:
    published = Published()
    published.put(headers={"Cache-Control": header})
    assert read(published).holds_seconds == seconds


def test_cimd_10_an_id_that_we_give_is_never_an_address() -> None:
    assert not any(is_document_id(new_id("dcr"), may_use_loopback=True) for _ in range(200))
    assert is_document_id(CLIENT_ID)


@pytest.mark.parametrize(
    ("changes", "is_in"),
    [
        ({}, False),
        ({"cimd": "any"}, True),
        ({"cimd": "listed"}, False),
        ({"cimd": "listed", "cimd_listed": ("app.example",)}, True),
        ({"cimd": "listed", "cimd_listed": (CLIENT_ID,)}, True),
        ({"cimd": "listed", "cimd_listed": ("example", "pp.example", CLIENT_ID + "x")}, False),
        ({"cimd": "off", "cimd_listed": ("app.example",)}, False),
    ],
)
def test_the_policy_says_which_addresses_come_in(changes: dict[str, Any], is_in: bool) -> None:
    assert is_admitted(OnboardingPolicy(**changes), CLIENT_ID) is is_in


@pytest.mark.parametrize("name", ["Example Assistant", "Übersicht für alle", "Помощник", "GPT-5 (beta)"])
def test_o51_a_plain_name_is_shown(name: str) -> None:
    assert shown_name(name, "app.example") == name


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("https://accounts.example", id="address"),
        pytest.param("accounts.google.com", id="host"),
        pytest.param("Sign in at accounts.google.com now", id="host-inside"),
        pytest.param("it@acme.example", id="mail-address"),
        pytest.param("Micr\u043esoft", id="letter-of-another-alphabet"),
        pytest.param("pay\u202epal", id="turned-around"),
        pytest.param("zero\u200bwidth", id="invisible"),
        pytest.param("x" * 61, id="too-long"),
        pytest.param("   ", id="blank"),
        pytest.param("\ufb01le", id="compatibility-form"),
    ],
)
def test_o51_another_name_gives_way_to_the_host(name: str) -> None:
    assert shown_name(name, "app.example") == "app.example"


def test_what_we_do_not_know_is_ignored_and_what_we_cannot_do_is_refused() -> None:
    published = Published()
    published.put(CLIENT_ID, document(favourite_colour="blue", tls_client_auth_subject_dn="CN=x"))
    assert "favourite_colour" not in read(published).metadata.as_said()
    for name, value in {
        "require_signed_request_object": True,
        "id_token_encrypted_response_alg": "RSA-OAEP",
        "tls_client_certificate_bound_access_tokens": True,
        "token_endpoint_auth_signing_alg": "HS256",
        "subject_type": "pairwise",
        "response_types": ["token"],
        "id_token_signed_response_alg": "none",
    }.items():
        assert refused(document(**{name: value})).reason == f"cimd_{name}"


def test_an_app_on_the_persons_computer_is_native_without_saying_so() -> None:
    published = Published()
    published.put(CLIENT_ID, document(redirect_uris=[LOOPBACK_URI, "http://localhost/callback"]))
    assert read(published).metadata.application_type == "native"
    assert refused(document(redirect_uris=[LOOPBACK_URI], application_type="web")).reason.startswith("cimd_")

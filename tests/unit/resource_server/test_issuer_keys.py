"""Finding and keeping the issuer's keys: caching, rotation, single flight, static stability."""

import threading
import time

import httpx2
import pytest
from joserfc.jwk import ECKey

from broker.resource_server.issuer_client import IssuerClient, IssuerUnavailable
from broker.resource_server.issuer_keys import LONGEST_OUTAGE_SECONDS, IssuerKeys
from tests.builders.token_issuer import ManualClock, TokenIssuer


@pytest.fixture
def issuer() -> TokenIssuer:
    return TokenIssuer()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def keys(issuer: TokenIssuer, clock: ManualClock) -> IssuerKeys:
    return IssuerKeys(IssuerClient(issuer.issuer, issuer.http()), clock)


def fetches(issuer: TokenIssuer) -> int:
    return issuer.requests.count("/t/acme/jwks")


def test_keys_are_fetched_once_within_max_age(
    issuer: TokenIssuer, clock: ManualClock, keys: IssuerKeys
) -> None:
    for _ in range(5):
        assert keys.find("k1") is not None
    clock.at += issuer.max_age - 1
    assert keys.find("k1") is not None
    assert fetches(issuer) == 1
    clock.at += 1
    assert keys.find("k1") is not None
    assert fetches(issuer) == 2


def test_a_new_key_is_found_when_its_first_token_arrives(
    issuer: TokenIssuer, clock: ManualClock, keys: IssuerKeys
) -> None:
    keys.find("k1")
    issuer.add_key("k2", "ES256")
    clock.at += 29
    assert keys.find("k2") is None
    clock.at += 1
    assert keys.find("k2") is not None
    assert fetches(issuer) == 2


def test_a_withdrawn_key_is_forgotten_at_the_next_refresh(
    issuer: TokenIssuer, clock: ManualClock, keys: IssuerKeys
) -> None:
    keys.find("k1")
    issuer.keys = {"k2": ECKey.generate_key("P-256")}
    clock.at += issuer.max_age
    assert keys.find("k1") is None
    assert keys.find("k2") is not None


def test_the_last_good_keys_survive_an_outage_for_a_day(
    issuer: TokenIssuer, clock: ManualClock, keys: IssuerKeys
) -> None:
    keys.find("k1")
    issuer.is_up = False
    clock.at += LONGEST_OUTAGE_SECONDS
    assert keys.find("k1") is not None
    clock.at += 1
    with pytest.raises(IssuerUnavailable):
        keys.find("k1")
    issuer.is_up = True
    clock.at += 30
    assert keys.find("k1") is not None


def test_an_issuer_that_is_down_is_asked_every_30_seconds_only(
    issuer: TokenIssuer, clock: ManualClock, keys: IssuerKeys
) -> None:
    keys.find("k1")
    issuer.is_up = False
    clock.at += issuer.max_age
    asked = len(issuer.requests)
    for _ in range(50):
        assert keys.find("k1") is not None
    assert len(issuer.requests) == asked + 1
    clock.at += 30
    keys.find("k1")
    assert len(issuer.requests) == asked + 2


def test_an_empty_key_set_does_not_replace_good_keys(
    issuer: TokenIssuer, clock: ManualClock, keys: IssuerKeys
) -> None:
    keys.find("k1")
    issuer.published = []
    clock.at += issuer.max_age
    assert keys.find("k1") is not None


def test_an_issuer_that_starts_late_is_found(
    issuer: TokenIssuer, clock: ManualClock, keys: IssuerKeys
) -> None:
    issuer.is_up = False
    with pytest.raises(IssuerUnavailable):
        keys.find("k1")
    issuer.is_up = True
    clock.at += 1
    assert keys.find("k1") is not None


def test_threads_that_need_keys_at_once_make_one_request(issuer: TokenIssuer) -> None:
    entered, release = threading.Event(), threading.Event()
    plain = issuer.http()

    def slow(request: httpx2.Request) -> httpx2.Response:
        entered.set()
        release.wait(5)
        return plain.get(str(request.url))

    client = IssuerClient(issuer.issuer, httpx2.Client(transport=httpx2.MockTransport(slow)))
    keys = IssuerKeys(client, time.time)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(keys.find("k1"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert entered.wait(5)
    release.set()
    for thread in threads:
        thread.join(5)
    assert len(found) == 8
    assert None not in found
    assert fetches(issuer) == 1


def test_an_answer_that_is_too_large_or_redirects_is_not_used(issuer: TokenIssuer) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.startswith("/.well-known"):
            return httpx2.Response(302, headers={"Location": "https://evil.example/"})
        return httpx2.Response(200, content=b'{"keys": "' + b"x" * 300_000 + b'"}')

    client = IssuerClient(issuer.issuer, httpx2.Client(transport=httpx2.MockTransport(answer)))
    with pytest.raises(IssuerUnavailable, match="302"):
        client.get_metadata()
    with pytest.raises(IssuerUnavailable, match="too large"):
        client.get_key_set(f"{issuer.issuer}/jwks")


@pytest.mark.parametrize(
    "url", ["http://broker.example/jwks", "file:///etc/passwd", "https://u:p@h/jwks", "", None]
)
def test_endpoints_of_the_metadata_must_be_safe(issuer: TokenIssuer, url: str) -> None:
    with pytest.raises(IssuerUnavailable):
        IssuerClient(issuer.issuer, issuer.http()).get_key_set(url)
    assert issuer.requests == []

"""What connectors find out about themselves: each failure beside the connection that has none."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from idp_connectors.base import ChecksItself, Finding
from idp_connectors.oidc import OidcConnector
from idp_connectors.saml import SamlConnector
from tests.builders.connector_deps import NOW, make_deps
from tests.builders.oidc_op import CLIENT_ID, CLIENT_SECRET, ISSUER, OpenIdProvider, rsa_key
from tests.builders.saml_idp import SamlIdentityProvider

Answer = Callable[[httpx2.Request], httpx2.Response]
GOOD = ["settings", "address", "tls", "metadata", "keys"]


class Scripted(OpenIdProvider):
    """A provider whose first answer comes from a script; later ones are its own."""

    def __init__(self, first: Answer) -> None:
        super().__init__()
        self._first = [first]

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        return self._first.pop()(request) if self._first else super()._answer(request)


def check(provider: OpenIdProvider, **changes: Any) -> tuple[Finding, ...]:
    config = {"issuer": ISSUER, "client_id": CLIENT_ID, **changes}
    return OidcConnector().check_itself(config, {"client_secret": CLIENT_SECRET}, make_deps(provider))


def failing(error: Exception) -> Answer:
    def answer(_request: httpx2.Request) -> httpx2.Response:
        raise error

    return answer


def answering(status: int = 200, **content: Any) -> Answer:
    return lambda _request: httpx2.Response(status, **content)


def test_twin_a_good_provider_passes_every_look() -> None:
    found = check(OpenIdProvider())
    assert [(one.check, one.state) for one in found] == [(name, "passed") for name in GOOD]
    assert all(one.expected and one.received for one in found)


def test_both_kinds_can_be_checked() -> None:
    assert isinstance(OidcConnector(), ChecksItself)
    assert isinstance(SamlConnector(), ChecksItself)


@pytest.mark.parametrize(
    ("first", "name", "problem"),
    [
        (failing(httpx2.ConnectError("op.example does not resolve")), "address", "name"),
        (failing(httpx2.ConnectError("op.example is not a public address")), "address", "blocked"),
        (failing(httpx2.ConnectError("Connection refused")), "address", "closed"),
        (failing(httpx2.ReadTimeout("too long")), "address", "silent"),
        (answering(429), "address", "busy"),
        (
            failing(httpx2.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate has expired")),
            "tls",
            "untrusted",
        ),
        (answering(404), "metadata", "status"),
        (answering(302, headers={"Location": "https://elsewhere.example"}), "metadata", "status"),
        (answering(text="<html>"), "metadata", "garbled"),
        (answering(text="[1]"), "metadata", "garbled"),
        (answering(text="x" * 200_000), "metadata", "large"),
        (answering(headers={"Content-Encoding": "gzip"}, content=b"\x1f\x8b"), "metadata", "packed"),
        (answering(json={"issuer": "https://elsewhere.example"}), "metadata", ""),
    ],
)
def test_the_first_failure_ends_the_look_and_is_named(first: Answer, name: str, problem: str) -> None:
    *before, last = check(Scripted(first))
    assert (last.check, last.state, last.problem) == (name, "failed", problem)
    assert {one.state for one in before} <= {"passed"}
    assert [one.check for one in before] == GOOD[: GOOD.index(name)]


@pytest.mark.parametrize(
    "published",
    [[], [{"kty": "oct", "k": "c2VjcmV0"}], [rsa_key().as_dict(private=True)]],
    ids=["none", "symmetric", "private"],
)
def test_unusable_keys_are_found(published: list[dict[str, Any]]) -> None:
    provider = OpenIdProvider()
    provider.published = published
    last = check(provider)[-1]
    assert (last.check, last.state, last.code) == ("keys", "failed", "keys_invalid")


def test_settings_that_contradict_each_other_are_found_without_a_request() -> None:
    provider = OpenIdProvider()
    found = check(provider, scopes=["profile"])
    assert [(one.check, one.state) for one in found] == [("settings", "failed")]
    assert CLIENT_SECRET not in str(found)
    assert provider.requests == []


def test_nothing_is_taken_from_memory_or_left_there() -> None:
    provider, deps = OpenIdProvider(), make_deps()
    again = make_deps(provider, cache=deps.cache)
    config = {"issuer": ISSUER, "client_id": CLIENT_ID}
    for _ in range(2):
        OidcConnector().check_itself(config, {"client_secret": CLIENT_SECRET}, again)
    assert len(provider.requests) == 4


# --- SAML -------------------------------------------------------------------------------------------


def check_saml(now: int, first: Answer) -> tuple[Finding, ...]:
    config = SamlIdentityProvider().config()
    return SamlConnector().check_itself(config, {}, make_deps(Scripted(first), now=now))


def test_twin_a_good_saml_provider_passes() -> None:
    found = check_saml(NOW, answering(text="<html>sign in"))
    assert [(one.check, one.state) for one in found] == [
        (name, "passed") for name in ("settings", "certificate", "address", "tls")
    ]


@pytest.mark.parametrize(
    ("days", "state"),
    [(-1, "warning"), (1, "passed"), (3630, "warning"), (3651, "warning")],
    ids=["not-yet", "good", "ends-soon", "ended"],
)
def test_certificates_are_compared_with_the_clock(days: int, state: str) -> None:
    made_at = datetime(2026, 1, 1, tzinfo=UTC)
    now = int((made_at + timedelta(days=days)).timestamp())
    found = {one.check: one for one in check_saml(now, answering())}
    assert found["certificate"].state == state
    assert "2026-01-01 to 2035-12-30" in found["certificate"].received


def test_an_address_that_only_people_reach_is_no_failure() -> None:
    found = check_saml(NOW, failing(httpx2.ConnectError("Connection refused")))
    assert [(one.check, one.state) for one in found][-1] == ("address", "warning")


def test_the_reason_of_openssl_counts_as_a_reason_of_trust() -> None:
    reason = str(ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] hostname mismatch"))
    assert check(Scripted(failing(httpx2.ConnectError(reason))))[-1].problem == "untrusted"

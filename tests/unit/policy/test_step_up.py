"""What counts as proof, and what does not: a provider's silence, an old sign-in, another strength."""

import pytest

from broker.policy.step_up import SKEW_SECONDS, ShownProof, WantedProof, find_unproven

NOW = 1_800_000_000
STRONG = frozenset({"phr", "phrh"})


@pytest.mark.parametrize(
    ("wanted", "shown", "unproven"),
    [
        pytest.param({}, (None, "", False), None, id="nothing-wanted"),
        pytest.param({"login": True}, (NOW, "", True), None, id="twin-login"),
        pytest.param({"login": True}, (NOW, "", False), "login", id="login-of-the-session-before"),
        pytest.param({"login": True}, (None, "", True), "login", id="login-that-nobody-tells-of"),
        pytest.param({"login": True}, (NOW - SKEW_SECONDS, "", True), None, id="twin-S56-clock-behind"),
        pytest.param({"login": True}, (NOW - SKEW_SECONDS - 1, "", True), "login", id="S56-stale"),
        pytest.param({"max_age": 300}, (NOW - 300, "", False), None, id="twin-max-age"),
        pytest.param({"max_age": 300}, (NOW - 301, "", False), "max_age", id="older-than-max-age"),
        pytest.param({"max_age": 300}, (None, "", False), "max_age", id="age-unknown"),
        pytest.param({"max_age": 0}, (NOW - 1, "", False), "max_age", id="max-age-0-before"),
        pytest.param({"max_age": 0}, (NOW + 5, "", True), None, id="twin-max-age-0-after"),
        pytest.param({"max_age": 300}, (NOW - 361, "", True), "max_age", id="S56-new-session-old-sign-in"),
        pytest.param({"acr_values": STRONG}, (NOW, "phrh", False), None, id="twin-acr"),
        pytest.param({"acr_values": STRONG}, (NOW, "pwd", True), "acr_values", id="S55-downgrade"),
        pytest.param({"acr_values": STRONG}, (NOW, "", True), "acr_values", id="S55-no-acr"),
        pytest.param({"acr_values": STRONG}, (NOW, "PHR", True), "acr_values", id="S55-other-spelling"),
        pytest.param({"acr_values": STRONG, "max_age": 60}, (NOW - 61, "phr", False), "max_age", id="both"),
    ],
)
def test_what_counts_as_proof(wanted: dict, shown: tuple, unproven: str | None) -> None:
    assert find_unproven(WantedProof(NOW, **wanted), ShownProof(*shown)) == unproven

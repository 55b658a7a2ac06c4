"""The bench runs and its books balance; what it measures is no test's business."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import comparison
from tests.bench.report import faults
from tests.bench.saml import KINDS
from tests.bench.slopes import GATES, missed, slope
from tests.bench.suite import WORKLOADS

pytestmark = pytest.mark.proof


def test_a_quick_run_hands_out_what_it_writes_down(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    command = [sys.executable, "-m", "tests.bench", "--quick", "--out", str(out)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads(out.read_text())
    assert set(found["workloads"]) == {*WORKLOADS, "bare Flask"}
    assert found["successful_issuances"] > 0
    assert faults(found) == []
    assert all(found["saml"][kind]["session"]["ours_ms"]["median"] > 0 for kind in KINDS)
    for name in WORKLOADS:
        assert name in ran.stdout


def test_a_quick_run_of_the_slopes_exchanges_at_every_size(tmp_path: Path) -> None:
    out = tmp_path / "slopes.json"
    command = [sys.executable, "-m", "tests.bench", "--slopes", "--quick", "--out", str(out)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads(out.read_text())
    assert set(found) == set(GATES)
    assert all(cost > 0 for one in found.values() for cost in one["seconds"].values())


def test_a_slope_is_that_of_the_line_through_the_logarithms() -> None:
    assert slope({10: 5.0, 100: 5.0, 1000: 5.0}) == pytest.approx(0)
    assert slope({10: 1.0, 100: 10.0, 1000: 100.0}) == pytest.approx(1)
    assert missed({"tenants": {"seconds": {}, "slope": 0.11}})
    assert not missed({"tenants": {"seconds": {}, "slope": 0.09}})


def test_what_is_behind_the_peer_is_named() -> None:
    even = {"per_cpu_second": {"median": 4.0}, "p99": {"median": 0.5}}
    behind = {"per_cpu_second": {"median": 1.4}, "p99": {"median": 1.2}}
    found = {"ratios": {"SQLite": {**dict.fromkeys(comparison.WORKLOADS, even), comparison.NEW: behind}}}
    assert len(comparison.missed(found)) == 2
    assert comparison.missed({"absent": "npm is not installed"}) == []


def test_books_that_do_not_balance_are_a_fault() -> None:
    balanced = {"failures": {}, "successful_issuances": 5, "issued_token_rows": 5, "audit_rows": 5}
    assert faults(balanced) == []
    assert len(faults({**balanced, "audit_rows": 4})) == 1
    assert len(faults({**balanced, "issued_token_rows": 6, "failures": {"JWKS: 503": 2}})) == 2

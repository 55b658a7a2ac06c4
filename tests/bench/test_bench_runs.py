"""The bench runs and its books balance; what it measures is no test's business."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.report import faults
from tests.bench.saml import KINDS
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
    assert all(found["saml"][kind]["session_ms"]["median"] > 0 for kind in KINDS)
    for name in WORKLOADS:
        assert name in ran.stdout


def test_books_that_do_not_balance_are_a_fault() -> None:
    balanced = {"failures": {}, "successful_issuances": 5, "issued_token_rows": 5, "audit_rows": 5}
    assert faults(balanced) == []
    assert len(faults({**balanced, "audit_rows": 4})) == 1
    assert len(faults({**balanced, "issued_token_rows": 6, "failures": {"JWKS: 503": 2}})) == 2

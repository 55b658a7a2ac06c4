"""Combine the coverage of the tests and of the servers that they started, and hold it to the thresholds.

Usage: coverage_gate.py DIRECTORY. Leaves ``coverage.json`` and ``coverage.txt`` in the directory.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# Branches count as much as lines. The pure decisions have no excuse for an untested path.
THRESHOLDS = {"broker/policy/": 100.0, "": 90.0}


@dataclass(slots=True)
class Tally:
    """Lines and branches that exist and that were reached."""

    reachable: int = 0
    reached: int = 0

    def add(self, summary: dict[str, int]) -> None:
        """Count one file's summary in."""
        self.reachable += summary["num_statements"] + summary["num_branches"]
        self.reached += summary["covered_lines"] + summary["covered_branches"]

    @property
    def percent(self) -> float:
        """Reached of reachable, in percent; zero when nothing was measured."""
        return 100.0 * self.reached / self.reachable if self.reachable else 0.0


def coverage(*arguments: str) -> None:
    """Run one command of coverage.py; raises CalledProcessError when it fails."""
    subprocess.run([sys.executable, "-m", "coverage", *arguments], check=True)


def combine() -> None:
    """Add the data of servers that ended after the test run; none is left when all ended before."""
    subprocess.run([sys.executable, "-m", "coverage", "combine", "--append", "--quiet"], check=False)


def measure(report: dict[str, dict[str, dict[str, dict[str, int]]]]) -> dict[str, Tally]:
    """Return the tally of every prefix that has a threshold."""
    tallies = {prefix: Tally() for prefix in THRESHOLDS}
    for path, entry in report["files"].items():
        for prefix, tally in tallies.items():
            if path.startswith(prefix):
                tally.add(entry["summary"])
    return tallies


def main() -> int:
    """Print each prefix with its number; return 1 when one is below its threshold."""
    output = Path(sys.argv[1])
    combine()
    coverage("json", "--quiet", "-o", str(output / "coverage.json"))
    with (output / "coverage.txt").open("w") as file:
        subprocess.run([sys.executable, "-m", "coverage", "report"], check=True, stdout=file)
    tallies = measure(json.loads((output / "coverage.json").read_text()))
    failed = False
    for prefix, wanted in THRESHOLDS.items():
        tally = tallies[prefix]
        is_low = tally.percent < wanted
        failed = failed or is_low
        print(
            f"{prefix or 'everything':<16} {tally.percent:6.2f} % of {tally.reachable} lines and branches "
            f"(at least {wanted:g} %){'  TOO LOW' if is_low else ''}"
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

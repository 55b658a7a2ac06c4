"""``python -m tests.bench``: the token paths beside a bare Flask response, raw signing and a peer.

The server and the load have a core each. Rounds are interleaved, so that what else the machine does meets
all workloads alike; only ratios within a run mean anything on another day.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from tests.bench import comparison, machine, report, saml, slopes
from tests.bench.suite import WORKLOADS, open_bench

PEER_SECONDS = 1.5
"""Of each workload in each round beside the peer: three servers take their turns."""


def main() -> int:
    """Run the bench; 0 when rows match replies and every gate is passed."""
    options = _options()
    if options.slopes:
        return _run_slopes(options)
    cores = os.sched_getaffinity(0)
    rounds, seconds = (1, 0.5) if options.quick else (options.rounds, options.seconds)
    workloads = tuple(options.workloads)
    found = machine.describe()
    with tempfile.TemporaryDirectory(prefix="broker-bench-") as name:
        folder = Path(name)
        url = options.database or f"sqlite:///{folder / 'broker.db'}"
        with open_bench(url, folder, workloads, (rounds + 1) * seconds) as bench:
            bench.run(workloads, rounds, seconds, _tell)
        result = report.as_dict(bench.figures, {**found, "database": url.partition(":")[0]})
        result["saml"] = saml.run_saml(folder, rounds, 5 if options.quick else 100, _tell)
        os.sched_setaffinity(0, cores)
        result["peer"] = comparison.compare(folder, rounds, min(seconds, PEER_SECONDS), _tell)
    told = (report.table(result), *saml.lines(result["saml"]), *comparison.lines(result["peer"]))
    print("\n".join(told))
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    problems = report.faults(result) + comparison.faults(result["peer"])
    if not options.quick:
        problems += report.missed_gates(result) + saml.missed(result["saml"])
        problems += comparison.missed(result["peer"])
    for problem in problems:
        print(f"FAIL: {problem}")
    return 1 if problems else 0


def _run_slopes(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="broker-bench-") as name:
        found = slopes.measure(Path(name), _tell, is_quick=options.quick)
    print("\n".join(slopes.lines(found)))
    if options.out:
        options.out.write_text(json.dumps(found, indent=2) + "\n")
    problems = [] if options.quick else slopes.missed(found)
    for problem in problems:
        print(f"FAIL: {problem}")
    return 1 if problems else 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _workloads(text: str) -> tuple[str, ...]:
    named = text.split(",")
    if unknown := set(named) - set(WORKLOADS):
        raise argparse.ArgumentTypeError(f"there is no workload {', '.join(sorted(unknown))}")
    return tuple(name for name in WORKLOADS if name in named)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of each workload in each round")
    parser.add_argument("--workloads", type=_workloads, default=WORKLOADS, help=", ".join(WORKLOADS))
    parser.add_argument("--database", default="", help="URL of an empty database instead of SQLite")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--slopes", action="store_true", help="how cost grows with tenants and live tokens")
    parser.add_argument("--quick", action="store_true", help="see that it runs: one short round, no gates")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

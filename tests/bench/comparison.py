"""Ours beside node oidc-provider: same core, same run, same client authentication and algorithm.

Ours writes every token and its event durably before it answers, on SQLite and on PostgreSQL, whose CPU
counts; the peer keeps everything in memory. Rounds are interleaved; only ratios within a round are judged.
"""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from broker.kernel.database import Database
from tests.bench import machine, node_peer
from tests.bench.prepared import open_prepared
from tests.bench.starting import Service
from tests.bench.suite import ENV, INSTALLED, ISSUING, THREADS, Generator, Sample
from tests.builders.server import Server, await_answer, broker_env, children_of, free_port

REUSED, NEW = "token exchange", "token exchange, new subjects"
WORKLOADS = (REUSED, NEW, "client credentials", "introspection", "JWKS", "discovery")
GATES = {REUSED: 2.0, NEW: 1.5, "introspection": 2.0, "JWKS": 4.0, "discovery": 4.0}
"""How many times the peer's requests per CPU-second each of ours must answer."""

EXCHANGES = (REUSED, NEW)
NEW_A_SECOND = 2_500
REQUESTS_A_SECOND = {REUSED: 5_000, NEW: NEW_A_SECOND, "client credentials": 5_000}
POSTGRES = Path(__file__).parents[2] / "deploy" / "ci" / "postgres.sh"


class Asked(Protocol):
    """What prepares requests of a workload."""

    def requests(self, workload: str, count: int) -> list[str]:
        """The requests in the order in which they are to be sent."""
        ...


class Side:
    """One server of the comparison, with every process whose CPU is its own."""

    def __init__(self, name: str, asked: Asked, server: Server, others: Callable[[], list[int]]) -> None:
        self.name = name
        self.asked = asked
        self.server = server
        self.samples: dict[str, list[Sample]] = {}
        self.successes = 0
        self.failures: dict[str, int] = {}
        self._others = others

    def measure(self, generator: Generator, workload: str, seconds: float) -> Sample:
        """Run one workload for that long, or until there are no more new subject tokens."""
        count = int(seconds * REQUESTS_A_SECOND.get(workload, 25_000))
        requests = self.asked.requests(workload, count)
        before = self._cpu_seconds()
        report = generator.run(self.server.port, seconds, requests)
        used = self._cpu_seconds() - before
        if workload in ISSUING or workload in EXCHANGES:
            self.successes += report["ok"]
        for status, number in report["others"].items():
            key = f"{self.name}, {workload}: {status}"
            self.failures[key] = self.failures.get(key, 0) + number
        answered = report["ok"] + sum(report["others"].values())
        return Sample(answered / max(used, 0.01), report["p99"], answered / report["seconds"])

    def _cpu_seconds(self) -> float:
        return machine.cpu_seconds(self.server.process.pid) + sum(map(machine.cpu_seconds, self._others()))


def compare(folder: Path, rounds: int, seconds: float, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure all that this machine has; what is absent is named and not judged."""
    place, why = node_peer.install()
    node = node_peer.find_node(place) if place else None
    if place is None or node is None:
        return {"absent": why or "Node.js is not installed"}
    fresh = int((rounds + 0.5) * seconds * NEW_A_SECOND)
    subjects = fresh + int((rounds + 0.5) * seconds * REQUESTS_A_SECOND[REUSED] / 20) + 20 * 64
    server_cores, load_cores = machine.two_cores()
    os.sched_setaffinity(0, load_cores)
    with ExitStack() as stack:
        tell("the peer and our subject tokens")
        peer = stack.enter_context(node_peer.running_peer(node, place, folder, subjects, server_cores))
        sides = [Side("oidc-provider", peer, peer.server, list)]
        sides.append(stack.enter_context(_ours("SQLite", f"sqlite:///{folder / 'own.db'}", folder, subjects)))
        for url in stack.enter_context(_postgres(tell)):
            sides.append(stack.enter_context(_ours("PostgreSQL", url, folder, subjects)))
        generator = Generator(load_cores)
        stack.callback(generator.close)
        _run(sides, generator, rounds, seconds, tell)
    return {
        "peer": f"oidc-provider on Node.js {node_peer.node_version(node)}, in memory",
        "sides": {side.name: {name: _spreads(side, name) for name in WORKLOADS} for side in sides},
        "ratios": {side.name: _ratios(side, sides[0]) for side in sides[1:]},
        "failures": {key: number for side in sides for key, number in side.failures.items()},
    }


def _run(
    sides: list[Side], generator: Generator, rounds: int, seconds: float, tell: Callable[[str], None]
) -> None:
    for workload in WORKLOADS:
        for side in sides:
            side.measure(generator, workload, seconds / 2)
    for number in range(rounds):
        tell(f"beside the peer, round {number + 1} of {rounds}")
        for workload in WORKLOADS:
            for side in sides if number % 2 == 0 else sides[::-1]:
                sample = side.measure(generator, workload, seconds)
                side.samples.setdefault(workload, []).append(sample)


@contextmanager
def _ours(name: str, url: str, folder: Path, subjects: int) -> Iterator[Side]:
    place = folder / name
    place.mkdir()
    with open_prepared(url, place, free_port(), subjects) as prepared:
        env = {**broker_env(url, place / "data", prepared.port, threads=THREADS), **ENV}
        cores, _ = machine.two_cores()
        broker = Service(INSTALLED, prepared.port, place / "server.log", env, cores)
        with broker.running() as server:
            await_answer(server, "/t/acme/jwks")
            database = _database_pids(url, cores)
            yield Side(name, prepared, server, database)


def _database_pids(url: str, cores: frozenset[int]) -> Callable[[], list[int]]:
    """Say which processes serve the database, having put them on the core of the servers."""
    database = Database(url)
    try:
        if database.is_sqlite:
            return list
        with database.core_read() as connection:
            backend = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            # While it is connected: its process ends with the connection.
            postmaster = int(Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1])
    finally:
        database.close()
    for pid in (postmaster, *children_of(postmaster)):
        os.sched_setaffinity(pid, cores)
    return lambda: [postmaster]


@contextmanager
def _postgres(tell: Callable[[str], None]) -> Iterator[list[str]]:
    """Yield the address of a PostgreSQL server of our own, or nothing where none is installed."""
    with tempfile.TemporaryDirectory(prefix="broker-bench-pg-") as name:
        Path(name).chmod(0o711)
        place = f"{name}/server"
        started = subprocess.run([POSTGRES, "start", place], capture_output=True, text=True, check=False)
        if started.returncode != 0:
            tell(f"PostgreSQL is left out: {started.stderr.strip()[-200:]}")
            yield []
            return
        try:
            yield [started.stdout.strip()]
        finally:
            subprocess.run([POSTGRES, "stop", place], capture_output=True, check=False)


def _spreads(side: Side, workload: str) -> dict[str, Any]:
    samples = side.samples[workload]
    return {
        "per_cpu_second": _spread([one.per_cpu_second for one in samples]),
        "p99": _spread([one.p99 for one in samples], is_better_low=True),
    }


def _ratios(side: Side, peer: Side) -> dict[str, Any]:
    """Each round against the peer's same round."""
    found = {}
    for workload in WORKLOADS:
        pairs = list(zip(side.samples[workload], peer.samples[workload], strict=True))
        found[workload] = {
            "per_cpu_second": _spread([ours.per_cpu_second / base.per_cpu_second for ours, base in pairs]),
            "p99": _spread([ours.p99 / base.p99 for ours, base in pairs], is_better_low=True),
        }
    return found


def _spread(values: list[float], *, is_better_low: bool = False) -> dict[str, float]:
    ordered = sorted(values, reverse=not is_better_low)
    return {"best": ordered[0], "median": median(ordered), "worst": ordered[-1]}


def lines(found: dict[str, Any]) -> list[str]:
    """The comparison for people."""
    if "absent" in found:
        return ["", f"Not compared with oidc-provider: {found['absent']}"]
    shown = [
        "",
        f"Beside {found['peer']}: requests per CPU-second, ratio best / median / worst, p99 of its p99",
    ]
    for workload in WORKLOADS:
        base = found["sides"]["oidc-provider"][workload]["per_cpu_second"]["median"]
        shown.append(f"  {workload}: the peer {base:,.0f}")
        for name, ratios in found["ratios"].items():
            rate = found["sides"][name][workload]["per_cpu_second"]["median"]
            ratio, p99 = ratios[workload]["per_cpu_second"], ratios[workload]["p99"]["median"]
            three = " / ".join(f"{ratio[which]:.2f}" for which in ("best", "median", "worst"))
            shown.append(f"    {name:<10} {rate:>7,.0f}  {three}  p99 x {p99:.2f}")
    return shown


def faults(found: dict[str, Any]) -> list[str]:
    """Replies that were no success."""
    return [f"{number} replies of {key}" for key, number in found.get("failures", {}).items()]


def missed(found: dict[str, Any]) -> list[str]:
    """Which of the promised ratios the median of the rounds did not reach."""
    problems = []
    for name, ratios in found.get("ratios", {}).items():
        for workload, least in GATES.items():
            ratio = ratios[workload]["per_cpu_second"]["median"]
            if ratio < least:
                problems.append(f"{workload} on {name} is {ratio:.2f} x oidc-provider, below {least:g} x")
        for workload in EXCHANGES:
            p99 = ratios[workload]["p99"]["median"]
            if p99 > 1:
                problems.append(f"the p99 of {workload} on {name} is {p99:.2f} x that of oidc-provider")
    return problems

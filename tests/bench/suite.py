"""One run: servers and load on cores of their own, rounds interleaved, rows reconciled with replies."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from tests.bench import machine
from tests.bench.prepared import USES, WINDOW, Prepared, open_prepared
from tests.bench.starting import Service, start_times
from tests.builders.server import BROKER_SERVE, Server, await_answer, broker_env, free_port

THREADS = 16
CONNECTIONS = 32
MOST_A_SECOND = 5_000
"""More exchanges a second than this are not prepared for."""

STARTS = 5
SIGN_SECONDS = 0.5
YARDSTICK = "bare Flask"
WORKLOADS = ("token exchange", "hand-over", "client credentials", "introspection", "JWKS", "discovery")
ISSUING = frozenset(WORKLOADS[:3])
# Python must keep what it compiled, as it does where the broker is installed.
ENV = {"PYTHONDONTWRITEBYTECODE": ""}
# A tool of the tests brings rich, and structlog loads it where it is; no installed broker has it.
INSTALLED = (sys.executable, "-c", f"import sys; sys.modules['rich'] = None; {BROKER_SERVE[2]}", "serve")
GRANIAN = (
    *(sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--workers", "1"),
    *("--blocking-threads", str(THREADS), "--backpressure", str(THREADS * 4), "--backlog", "1024"),
    *("--http", "1", "--no-ws", "--http1-header-read-timeout", "10000"),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one workload; ``per_cpu_second`` counts the whole process tree of the server."""

    per_cpu_second: float
    p99: float
    wall_rate: float


@dataclass
class Figures:
    """What a run measured; seconds, megabytes, and counts."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    signatures: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    resident: dict[str, float] = field(default_factory=dict)
    successes: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    token_rows: int = 0
    audit_rows: int = 0


class Generator:
    """The load generator's process."""

    def __init__(self, cores: frozenset[int]) -> None:
        self._process = machine.start_generator((sys.executable, "-m", "tests.bench.load"), cores)

    def run(self, port: int, seconds: float, requests: list[str]) -> dict[str, Any]:
        """Send requests and return the report."""
        order = {"port": port, "seconds": seconds, "connections": CONNECTIONS, "requests": requests}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load generator ended")
        report: dict[str, Any] = json.loads(line)
        return report

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=30)


class Bench:
    """A prepared database, its broker, the yardstick's server and the generator."""

    def __init__(
        self, prepared: Prepared, broker: Server, bare: Server, generator: Generator, figures: Figures
    ) -> None:
        self.prepared = prepared
        self.broker = broker
        self.bare = bare
        self.generator = generator
        self.figures = figures

    def measure(self, workload: str, seconds: float) -> Sample:
        """Run one workload for that long."""
        server = self.bare if workload == YARDSTICK else self.broker
        if workload == YARDSTICK:
            requests = [f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n"] * _most(seconds, 5)
        else:
            requests = self.prepared.requests(workload, _most(seconds, 1 if workload in ISSUING else 5))
        before = machine.cpu_seconds(server.process.pid)
        report = self.generator.run(server.port, seconds, requests)
        used = machine.cpu_seconds(server.process.pid) - before
        if workload in ISSUING:
            self.figures.successes += report["ok"]
        for status, count in report["others"].items():
            name = f"{workload}: {status}"
            self.figures.failures[name] = self.figures.failures.get(name, 0) + count
        answered = report["ok"] + sum(report["others"].values())
        return Sample(answered / max(used, 0.01), report["p99"], answered / report["seconds"])

    def run(
        self, workloads: tuple[str, ...], rounds: int, seconds: float, tell: Callable[[str], None]
    ) -> None:
        """Warm up, then measure every workload in every round; every second round goes the other way."""
        tokens, events = self.prepared.rows()
        order = (YARDSTICK, *workloads)
        for workload in order:
            self.measure(workload, seconds / 2)
        for number in range(rounds):
            tell(f"round {number + 1} of {rounds}")
            for workload in order if number % 2 == 0 else order[::-1]:
                self.figures.samples.setdefault(workload, []).append(self.measure(workload, seconds))
            self.figures.signatures.append(signatures_per_cpu_second())
        master, *workers = (self.broker.process.pid, *self.broker.workers)
        self.figures.resident = {
            "worker": max(map(machine.resident_megabytes, workers)),
            "parent": machine.resident_megabytes(master),
        }
        after = self.prepared.rows()
        self.figures.token_rows, self.figures.audit_rows = after[0] - tokens, after[1] - events


def _most(seconds: float, times: int) -> int:
    return int(seconds * MOST_A_SECOND) * times


def signatures_per_cpu_second() -> float:
    """How often this machine can sign with ES256 in a second of one core: no token service can do more."""
    key, algorithm = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(SHA256())
    message, count = b"x" * 600, 0
    started = time.process_time()
    while (used := time.process_time() - started) < SIGN_SECONDS:
        key.sign(message, algorithm)
        count += 1
    return count / used


@contextmanager
def open_bench(
    database_url: str, folder: Path, workloads: tuple[str, ...], seconds: float
) -> Iterator[Bench]:
    """Yield a bench whose servers answer; every workload will run for ``seconds`` in all."""
    exchanging = len({"token exchange", "hand-over"} & set(workloads))
    subjects = int(exchanging * seconds * MOST_A_SECOND / USES) + 20 * WINDOW
    server_cores, load_cores = machine.two_cores()
    os.sched_setaffinity(0, load_cores)
    with ExitStack() as stack:
        prepared = stack.enter_context(open_prepared(database_url, folder, free_port(), subjects))
        env = {**broker_env(database_url, folder / "data", prepared.port, threads=THREADS), **ENV}
        first = Service(INSTALLED, prepared.port, folder / "start.log", env, server_cores)
        starts = start_times(first, prepared.first_token(), STARTS)
        broker = stack.enter_context(first.running())
        port = free_port()
        command = (*GRANIAN, "--port", str(port), "tests.bench.bare_flask:app")
        bare = stack.enter_context(Service(command, port, folder / "bare.log", ENV, server_cores).running())
        await_answer(broker, "/t/acme/jwks")
        await_answer(bare, "/")
        generator = Generator(load_cores)
        stack.callback(generator.close)
        yield Bench(prepared, broker, bare, generator, Figures(starts=starts))

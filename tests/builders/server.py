"""The real broker as granian processes on loopback: started, waited for, and ended by its process id."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 60
END_SECONDS = 15
# `-c` rather than the installed script, so that the tests serve the code that they stand beside.
BROKER_SERVE = (sys.executable, "-c", "from broker.cli import main; main()", "serve")


@dataclass(frozen=True, slots=True)
class Server:
    """A server on ``port`` that writes to ``log``; ``process`` is the parent of its workers."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        """Its address without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def workers(self) -> list[int]:
        """The process ids of its workers."""
        return children_of(self.process.pid)

    def get(self, path: str, timeout: float = 10) -> int:
        """The status of one GET request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()


def broker_env(database_url: str, data_dir: Path, port: int, **settings: object) -> dict[str, str]:
    """The environment of a broker in the development profile; keyword arguments are further settings."""
    given = {
        "profile": "development",
        "public_url": f"http://127.0.0.1:{port}",
        "host": "127.0.0.1",
        "port": port,
        "database_url": database_url,
        "data_dir": data_dir,
        "log_level": "warning",
        **settings,
    }
    return {f"BROKER_{name.upper()}": str(value) for name, value in given.items()}


@contextlib.contextmanager
def running_broker(
    database_url: str, data_dir: Path, *, port: int, workers: int = 1, cores: Iterable[int] = ()
) -> Iterator[Server]:
    """Serve the broker on an existing database until the block ends; enters when all workers answer."""
    env = broker_env(database_url, data_dir, port, workers=workers)
    with running(BROKER_SERVE, port=port, log=data_dir / "server.log", env=env, cores=cores) as server:
        await_workers(server, workers)
        yield server


@contextlib.contextmanager
def running(
    command: Iterable[str], *, port: int, log: Path, env: Mapping[str, str], cores: Iterable[int] = ()
) -> Iterator[Server]:
    """Run ``command`` until the block ends; enters at once. ``cores`` are the only ones it may use."""
    pinned = frozenset(cores)
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(command),
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=(lambda: os.sched_setaffinity(0, pinned)) if pinned else None,
        )
    try:
        yield Server(port, process, log)
    finally:
        _end(process)


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def children_of(pid: int) -> list[int]:
    """The process ids of the direct children of ``pid``."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found += [int(one) for one in (task / "children").read_text().split()]
    return found


def await_answer(server: Server, path: str) -> None:
    """Return when ``path`` answers 200; raises ``RuntimeError`` with the log when that takes too long."""

    def answers() -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return server.get(path) == 200
        return False

    _await(server, answers, f"to answer {path}")


def await_workers(server: Server, count: int) -> None:
    """Return when granian says that all workers run: the first one alone would answer for the others."""

    def are_started() -> bool:
        return server.log.read_text(errors="replace").count("Started worker-") == count

    _await(server, are_started, f"to start {count} workers")


def _await(server: Server, is_done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while server.process.poll() is None and time.monotonic() < deadline:
        if is_done():
            return
        time.sleep(0.02)
    raise RuntimeError(f"waited in vain for {what}: {server.log.read_text(errors='replace')[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the parent to stop, as a service manager would; end the whole process group if it does not."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(END_SECONDS)

"""Starting servers on their core, and the time from the start of a process to the first token."""

import socket
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.builders.server import Server, running

PAUSE_SECONDS = 0.002
MAX_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Service:
    """A command that serves on ``port``, on ``cores`` only."""

    command: tuple[str, ...]
    port: int
    log: Path
    env: Mapping[str, str]
    cores: frozenset[int]

    def running(self) -> AbstractContextManager[Server]:
        """Run it until the block ends; enters at once."""
        return running(self.command, port=self.port, log=self.log, env=self.env, cores=self.cores)


def start_times(service: Service, request: str, times: int) -> list[float]:
    """Start the service so many times and return the seconds until ``request`` was first answered 200.

    One start before them is not counted: it may still compile modules.
    """
    return [_start_seconds(service, request.encode("latin-1")) for _ in range(times + 1)][1:]


def _start_seconds(service: Service, request: bytes) -> float:
    started = time.perf_counter()
    with service.running() as server:
        while not _is_answered(service.port, request):
            if server.process.poll() is not None or time.perf_counter() - started > MAX_SECONDS:
                raise RuntimeError(f"no first token: {server.log.read_text(errors='replace')[-2000:]}")
            time.sleep(PAUSE_SECONDS)
        return time.perf_counter() - started


def _is_answered(port: int, request: bytes) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(request)
            return connection.recv(65_536).startswith(b"HTTP/1.1 200")
    except OSError:
        return False

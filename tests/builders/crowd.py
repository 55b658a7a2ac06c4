"""Many callers at one moment: each opens its connection first, then all send at once."""

import http.client
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import Message
from urllib.parse import urlencode

from tests.builders.server import Server

TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Reply:
    """What one caller was told."""

    status: int
    headers: Message
    body: bytes


def send(
    server: Server,
    method: str,
    path: str,
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    together: threading.Barrier | None = None,
) -> Reply:
    """Send one request on a connection of its own, when everybody at the barrier is ready."""
    sent = {"Content-Type": "application/x-www-form-urlencoded"} if form is not None else {}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.connect()
        if together is not None:
            together.wait(TIMEOUT_SECONDS)
        connection.request(method, path, urlencode(form) if form else None, {**sent, **(headers or {})})
        answer = connection.getresponse()
        return Reply(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def send_together(
    server: Server,
    count: int,
    method: str,
    path: str,
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> list[Reply]:
    """Send the same request ``count`` times in parallel and return every answer."""
    together = threading.Barrier(count)
    with ThreadPoolExecutor(count) as callers:
        calls = [
            callers.submit(send, server, method, path, form=form, headers=headers, together=together)
            for _ in range(count)
        ]
        return [call.result() for call in calls]

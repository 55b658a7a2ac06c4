"""The load generator: a process of its own that keeps connections busy and counts what it is told.

Reads one order a line from standard input (JSON: ``port``, ``seconds``, ``connections``, ``requests``) and
writes one report a line. Requests are sent in their order, the next one on whichever connection is free; the
run ends after ``seconds`` or with the last request, and every request that was sent is waited for.
"""

import json
import select
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Any

ANSWER_SECONDS = 10


@dataclass(slots=True)
class Talk:
    """One kept-alive connection; ``sent_at`` is when the request that waits for its answer left."""

    socket: socket.socket
    sent_at: float = 0.0
    received: bytes = b""

    def send(self, request: bytes) -> None:
        """Send the next request."""
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def take_status(self) -> bytes | None:
        """Read what has come; the status of a whole answer, else None."""
        chunk = self.socket.recv(65_536)
        if not chunk:
            raise ConnectionError("the server closed a connection")
        self.received += chunk
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end:
            return None
        _, _, rest = head.lower().partition(b"content-length:")
        if len(body) < int(rest.split(b"\r\n", 1)[0]):
            return None
        status, self.received = head[9:12], b""
        return status


@dataclass(slots=True)
class Report:
    """What came of one order; latencies in seconds."""

    ok: int = 0
    others: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def count(self, status: bytes, latency: float) -> None:
        """Count one answer."""
        self.latencies.append(latency)
        if status == b"200":
            self.ok += 1
        else:
            name = status.decode()
            self.others[name] = self.others.get(name, 0) + 1

    def as_dict(self) -> dict[str, Any]:
        """The report without the single latencies."""
        ordered = sorted(self.latencies) or [0.0]
        return {
            "ok": self.ok,
            "others": self.others,
            "seconds": self.seconds,
            "p50": ordered[len(ordered) // 2],
            "p99": ordered[len(ordered) * 99 // 100],
        }


def run(port: int, seconds: float, connections: int, requests: list[str]) -> Report:
    """Send requests for ``seconds`` over that many connections; raises when answers stop coming."""
    report, waiting = Report(), select.epoll()
    talks: dict[int, Talk] = {}
    to_send = iter([request.encode("latin-1") for request in requests])
    for _ in range(connections):
        talk = Talk(socket.create_connection(("127.0.0.1", port)))
        talk.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        talks[talk.socket.fileno()] = talk
        waiting.register(talk.socket, select.EPOLLIN)
    started = time.perf_counter()
    busy = 0
    for talk in talks.values():
        request = next(to_send, None)
        if request is not None:
            talk.send(request)
            busy += 1
    while busy:
        ready = waiting.poll(ANSWER_SECONDS)
        if not ready:
            raise TimeoutError(f"no answer within {ANSWER_SECONDS} s")
        for descriptor, _ in ready:
            talk = talks[descriptor]
            status = talk.take_status()
            if status is None:
                continue
            now = time.perf_counter()
            report.count(status, now - talk.sent_at)
            request = next(to_send, None) if now - started < seconds else None
            if request is None:
                busy -= 1
            else:
                talk.send(request)
    report.seconds = time.perf_counter() - started
    for talk in talks.values():
        talk.socket.close()
    return report


def main() -> None:
    """Serve orders until standard input ends."""
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line)).as_dict()), flush=True)


if __name__ == "__main__":
    main()

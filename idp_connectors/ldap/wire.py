"""One encrypted conversation with one server over ldap3, bounded in time and in size.

ldap3 left to itself follows referrals with the password, accepts any certificate, waits anew for every byte
and stores whatever length the far side announces; here it only encodes requests and decodes answers.
"""

import math
import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ldap3 import BASE, DEREF_NEVER, NONE, SAFE_SYNC, SIMPLE, SUBTREE, Connection, Server
from ldap3.core.exceptions import LDAPExceptionError
from ldap3.strategy.safeSync import SafeSyncStrategy

from idp_connectors.base import Dial
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.ldap.names import is_within

STEP_SECONDS = 5.0
MAX_MESSAGE_BYTES = 1_048_576
MAX_ANSWER_BYTES = 8 * MAX_MESSAGE_BYTES
MAX_WALK_BYTES = 24 * MAX_MESSAGE_BYTES
"""For sessions that read groups with all members: a hundred thousand names in a message are honest there."""

START_TLS = "1.3.6.1.4.1.1466.20037"
PAGED_RESULTS = "1.2.840.113556.1.4.319"

SUCCESS = 0
SIZE_LIMIT = 4
NO_SUCH_OBJECT = 32
INVALID_CREDENTIALS = 49
_CUT = frozenset({3, SIZE_LIMIT, 11})  # time, size and administrative limit: part of the answer is missing

Value = TypeVar("Value")


class OutOfTime(Exception):
    """The whole task, not only one step, has used up its time."""


class Deadline:
    """The moment at which a whole task ends, however many steps it takes."""

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds

    def step(self, at_most: float) -> float:
        """Return when the step that begins now must end (monotonic seconds); raises OutOfTime."""
        now = time.monotonic()
        if now >= self._ends:
            raise OutOfTime
        return min(self._ends, now + at_most)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as the server sent it: its name, and values by attribute in lower case."""

    dn: str
    values: dict[str, tuple[bytes, ...]]

    def all(self, attribute: str) -> tuple[bytes, ...]:
        """Return every value of `attribute`."""
        return self.values.get(attribute.lower(), ())

    def first(self, attribute: str) -> bytes:
        """Return the first value of `attribute`, or nothing."""
        return next(iter(self.all(attribute)), b"")

    def text(self, attribute: str) -> str:
        """Return the first value of `attribute` as text; "" if there is none that is text."""
        try:
            return self.first(attribute).decode()
        except UnicodeDecodeError:
            return ""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to a search; `cookie` asks for the next page, `is_cut` says that entries are missing."""

    entries: tuple[Entry, ...]
    cookie: bytes
    is_cut: bool


@dataclass(frozen=True, slots=True)
class BindAnswer:
    """What the server said to a name and a password."""

    code: int
    message: str


class Session:
    """One connection to one server; used by one thread at a time."""

    def __init__(self, url: str, context: ssl.SSLContext, dial: Dial, deadline: Deadline) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or ""
        is_ldaps = parts.scheme == "ldaps"
        port = parts.port or (636 if is_ldaps else 389)
        self.opened_at = self.used_at = time.monotonic()
        self._connection = Connection(
            Server(self.host, port=port, get_info=NONE),
            authentication=SIMPLE,
            user="-",
            password="-",  # noqa: S106 - exchanged in `bind`; ldap3 wants one from the start
            client_strategy=SAFE_SYNC,
            auto_referrals=False,
            auto_range=False,
            check_names=False,
            auto_escape=False,
            auto_encode=False,
            read_only=True,
            return_empty_attributes=False,
        )
        self._wire = _BoundedStrategy(self._connection)
        _take_over(self._connection, self._wire)
        self._step(deadline, lambda: self._open(dial, port, context, is_ldaps=is_ldaps))

    def _open(self, dial: Dial, port: int, context: ssl.SSLContext, *, is_ldaps: bool) -> None:
        self._wire.connect(dial(self.host, port, self._wire.remaining()))
        if not is_ldaps:
            self._connection.extended(START_TLS)
            # Without this: somebody in between strips the encryption, and passwords travel in plain (L06).
            if self._connection.result["result"] != SUCCESS:
                raise ssl.SSLError(f"StartTLS was answered {self._connection.result['result']}")
        self._wire.encrypt(context, self.host)

    def bind(self, dn: str, password: str, deadline: Deadline) -> BindAnswer:
        """Return the server's answer to this name and password; raises ConnectorError, OutOfTime."""
        # Without this: a server takes a name without password, or nothing at all, as a wish to stay
        # anonymous and answers "success" to everybody (RFC 4513 section 5.1.2; L03, L04).
        if not dn.strip() or not password.strip("\0 ") or "\0" in password:
            raise ConnectorError(ConnectorErrorCode.CALLBACK_MALFORMED, "The password is missing.")
        self._connection.user, self._connection.password = dn, password
        try:
            self._step(deadline, lambda: self._connection.bind(read_server_info=False))
            found = self._connection.result
            return BindAnswer(int(found["result"]), str(found.get("message") or ""))
        finally:
            self._connection.password = "-"  # noqa: S105 - forgets the real one
            self._connection.request = None

    def search(
        self,
        base: str,
        filter_text: str,
        attributes: Sequence[str],
        deadline: Deadline,
        *,
        is_base_only: bool = False,
        size_limit: int = 0,
        page_size: int | None = None,
        cookie: bytes = b"",
    ) -> Page:
        """Return one answer, every entry of which lies within `base`; raises ConnectorError, OutOfTime.

        With `is_base_only`, an entry that does not exist is an empty answer.
        """
        step = self._step(
            deadline,
            lambda: self._connection.search(
                base,
                filter_text,
                search_scope=BASE if is_base_only else SUBTREE,
                dereference_aliases=DEREF_NEVER,
                attributes=list(attributes),
                size_limit=size_limit,
                time_limit=math.ceil(STEP_SECONDS),
                paged_size=page_size,
                paged_cookie=cookie or None,
            ),
        )
        _, result, response, _ = step
        code = int(result["result"])
        is_missing_entry = is_base_only and code == NO_SUCH_OBJECT
        if code != SUCCESS and code not in _CUT and not is_missing_entry:
            raise _failed(
                "The directory did not answer a search. Check the bind account's rights and the search base.",
                f"{self.host}: search below {base!r} answered {code} {result.get('message', '')!r:.200}",
            )
        # Referrals that arrive among the entries are left where they are (L05).
        entries = tuple(_entry(item) for item in response or () if item["type"] == "searchResEntry")
        # Without this: a server, or an alias in it, slips in people and groups that this connection was
        # told to leave alone (L07).
        stray = [entry.dn for entry in entries if not is_within(entry.dn, base)]
        if stray:
            raise _failed(
                "The directory answered with an entry from outside the search base.",
                f"{self.host}: {stray[0]!r:.200} is not within {base!r}",
            )
        paged = (result.get("controls") or {}).get(PAGED_RESULTS)
        return Page(entries, bytes(paged["value"]["cookie"]) if paged else b"", code in _CUT)

    def expect_long_answers(self) -> None:
        """Take single messages, and answers, of up to `MAX_WALK_BYTES` from now on."""
        self._wire.max_message_bytes = self._wire.max_answer_bytes = MAX_WALK_BYTES

    def is_quiet(self) -> bool:
        """Return whether the connection is still open and the server has nothing to say unasked."""
        found: socket.socket | None = self._connection.socket
        return found is not None and not select.select([found], [], [], 0)[0]

    def close(self) -> None:
        """End the connection without a word; there is nothing to say to a server that may hang."""
        self._wire.close()

    def _step(self, deadline: Deadline, act: Callable[[], Value]) -> Value:
        """Run one exchange; whatever goes wrong in it ends the connection and is a ConnectorError."""
        self._wire.begin(deadline.step(STEP_SECONDS))
        try:
            answer = act()
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise _failed(
                "The directory's certificate is not trusted, or names another server.",
                f"{self.host}: {error.verify_message}",
                field="ca_certificates",
            ) from None
        # The decoder answers a malformed message with almost any exception (L12).
        except (
            *(LDAPExceptionError, OSError, EOFError, ValueError, TypeError),
            *(LookupError, AttributeError, ArithmeticError, RecursionError),
        ) as error:
            self.close()
            raise _failed(
                "The directory could not be reached, or gave no readable answer.",
                f"{self.host}: {type(error).__name__}: {error!s:.300}",
                field="urls",
            ) from None
        self.used_at = time.monotonic()
        return answer


class _BoundedStrategy(SafeSyncStrategy):  # type: ignore[misc]
    """Reads whole messages only, within a deadline and a size that do not depend on the far side."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._unread = bytearray()
        self.max_message_bytes = MAX_MESSAGE_BYTES
        self.max_answer_bytes = MAX_ANSWER_BYTES
        self._ends = 0.0
        self._bytes_left = 0

    def begin(self, ends: float) -> None:
        """Start an exchange that ends at `ends` (monotonic seconds)."""
        self._ends = ends
        self._bytes_left = self.max_answer_bytes
        if self.connection.socket is not None:
            self.connection.socket.settimeout(self.remaining())

    def remaining(self) -> float:
        """Return the seconds left; raises TimeoutError."""
        left = self._ends - time.monotonic()
        # Without this: a server that sends a byte now and then holds a worker for hours (L12).
        if left <= 0:
            raise TimeoutError("the directory was too slow")
        return left

    def open(self, reset_usage: bool = True, read_server_info: bool = True) -> None:
        """Refuse: ldap3 reopens a closed connection on its own, in plain, and sends the password (L06)."""
        raise OSError("a connection that was closed stays closed")

    def connect(self, connected: socket.socket) -> None:
        """Talk over this socket from now on."""
        self._outstanding: dict[int, Any] = {}
        self.connection.socket = connected
        self.connection.closed = False
        connected.settimeout(self.remaining())
        self._start_listen()

    def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """Continue encrypted with a server that proves to be `host`."""
        # Without this: answers injected before the encryption would be read as if they came through it.
        if self._unread:
            raise ssl.SSLError("plain data followed the answer to StartTLS")
        plain = self.connection.socket
        plain.settimeout(self.remaining())
        self.connection.socket = context.wrap_socket(plain, server_hostname=host)
        self.connection.tls_started = True

    def receiving(self) -> list[bytes]:
        """Return the next message; an empty list when the server has closed the connection."""
        header = 2
        if not self._fill(header):
            return []
        announced = self._unread[1]
        if announced == 0x80 or announced > 0x84:
            raise ValueError("a message announces no sensible length")
        if announced > 0x80:
            header += announced - 0x80
            if not self._fill(header):
                return []
            announced = int.from_bytes(self._unread[2:header], "big")
        size = header + announced
        # Without this: a few bytes announce gigabytes, and the broker collects them (L12).
        if size > self.max_message_bytes:
            raise ValueError("a message is larger than any honest one")
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise ValueError("an answer is larger than any honest one")
        if not self._fill(size):
            return []
        message = bytes(self._unread[:size])
        del self._unread[:size]
        return [message]

    def _fill(self, size: int) -> bool:
        """Read until `size` bytes are there; return False at the end of the stream."""
        self.remaining()
        while len(self._unread) < size:
            self.connection.socket.settimeout(self.remaining())
            chunk = self.connection.socket.recv(65_536)
            if not chunk:
                return False
            self._unread += chunk
        return True


def _take_over(connection: Connection, strategy: _BoundedStrategy) -> None:
    """Make `connection` use `strategy`; ldap3 offers only strategies of its own."""
    connection.strategy = strategy
    for name in ("send", "open", "get_response", "post_send_single_response", "post_send_search"):
        setattr(connection, name, getattr(strategy, name))


def _entry(item: dict[str, Any]) -> Entry:
    """Return an entry with strict names; a name that is not UTF-8 raises, as nothing can be done with it."""
    values = {
        name.lower(): tuple(bytes(value) for value in found or ())
        for name, found in item["raw_attributes"].items()
    }
    return Entry(bytes(item["raw_dn"]).decode(), values)


def _failed(public: str, detail: str, field: str = "") -> ConnectorError:
    return ConnectorError(ConnectorErrorCode.UPSTREAM_UNREACHABLE, public, detail=detail, field=field)

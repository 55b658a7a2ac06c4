"""One lookup's conversation with a source: to its hosts only, bounded in time, calls and bytes, patient once.

Whatever goes wrong is a `LookupFailed`; the caller turns it into a state, never into an empty list.
"""

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from idp_connectors.base import Deps
from idp_connectors.groups.gathering import LookupFailed

if TYPE_CHECKING:
    import httpx2

BUDGET_SECONDS = 8.0
REQUEST_SECONDS = 5.0
MAX_CALLS = 100
MAX_ATTEMPTS = 4
MAX_REPLY_BYTES = 2 * 1024 * 1024
MAX_TOTAL_BYTES = 16 * 1024 * 1024
MAX_PAUSE_SECONDS = 300
MAX_TOKEN_SECONDS = 3600
TOKEN_MARGIN_SECONDS = 60
MAX_TOKEN_CHARS = 16 * 1024

BUSY = frozenset({429, 503, 504})


@dataclass(frozen=True, slots=True)
class Pace:
    """How time passes for a lookup: seconds that only go up, and a way to wait."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Reply:
    """A source's answer: status, headers under lower-case names, and the JSON value of the body."""

    status: int
    headers: Mapping[str, str]
    body: Any

    def member(self, name: str) -> Any:
        """Return a member of the body; None if it is absent or the body is no object."""
        return self.body.get(name) if isinstance(self.body, dict) else None


class Calls:
    """Sends the requests of one lookup; `who` names source and credential in the shared cache."""

    def __init__(self, deps: Deps, hosts: Collection[str], who: str, pace: Pace) -> None:
        self._deps = deps
        self._hosts = frozenset(hosts)
        self._who = who
        self._pace = pace
        self._ends = pace.monotonic() + BUDGET_SECONDS
        self._calls_left = MAX_CALLS
        self._bytes_left = MAX_TOTAL_BYTES
        # Without this: while a provider asks for patience, every further sign-in adds to the storm.
        if deps.cache.get(f"group-lookup-pause:{who}", deps.now):
            raise LookupFailed("The source has asked to wait. Groups are looked up again shortly.")

    def get(self, url: str, token: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Return the answer to a GET with a bearer token; raises LookupFailed."""
        sent = {"Authorization": f"Bearer {token}", **(headers or {})}
        reply = self._send("GET", url, sent)
        if reply.status == 401:
            self._deps.cache.put(self._token_key(), None, self._deps.now)
        return reply

    def get_token(self, url: str, form: Callable[[], Mapping[str, str]]) -> str:
        """Return an access token for this credential, remembered while it lives; raises LookupFailed."""
        held = self._deps.cache.get(self._token_key(), self._deps.now)
        if isinstance(held, str):
            return held
        reply = self._send("POST", url, {}, form())
        token, lifetime = reply.member("access_token"), reply.member("expires_in")
        if reply.status != 200:
            reason = reply.member("error")
            raise LookupFailed(f"The source gave no access token: {reply.status} {reason!r:.80}.")
        if not isinstance(token, str) or not 0 < len(token) <= MAX_TOKEN_CHARS or not _is_token(token):
            raise LookupFailed("The source gave an unusable access token.")
        if isinstance(lifetime, int) and not isinstance(lifetime, bool):
            kept = min(lifetime, MAX_TOKEN_SECONDS) - TOKEN_MARGIN_SECONDS
            self._deps.cache.put(self._token_key(), token, self._deps.now + max(kept, 0))
        return token

    def _token_key(self) -> str:
        return f"group-lookup-token:{self._who}"

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> Reply:
        """Send until the source has time for it, as long as we have."""
        if not self._is_allowed(url):
            raise LookupFailed("The source pointed to an address that is not its own.")
        for attempt in range(MAX_ATTEMPTS):
            reply = self._send_once(method, url, headers, form)
            if reply.status not in BUSY:
                return reply
            self._wait(reply, attempt)
        raise self._throttled(MAX_PAUSE_SECONDS // 10)

    def _send_once(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> Reply:
        left = self._time_left()
        if self._calls_left <= 0:
            raise LookupFailed(f"The groups do not fit into {MAX_CALLS} requests.", is_cut=True)
        self._calls_left -= 1
        sent = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
        try:
            with self._deps.http.client().stream(
                method,
                url,
                headers=sent,
                data=dict(form) if form is not None else None,
                timeout=min(left, REQUEST_SECONDS),
                follow_redirects=False,
            ) as response:
                body = self._read(response)
                return Reply(response.status_code, dict(response.headers), body)
        except LookupFailed:
            raise
        except Exception as error:
            # The way out is injected and has its own kinds of failure; for a lookup they are all one.
            raise LookupFailed(f"The source could not be reached: {type(error).__name__}.") from error

    def _read(self, response: "httpx2.Response") -> Any:
        """Return the JSON value of an answer, or None for an error that explains itself otherwise."""
        if response.headers.get("content-encoding", "identity") != "identity":
            raise LookupFailed("The source answered in a compressed form.")
        held = bytearray()
        for chunk in response.iter_raw():
            held += chunk
            self._bytes_left -= len(chunk)
            # Without this: one endless page fills the memory, or many large ones do.
            if len(held) > MAX_REPLY_BYTES or self._bytes_left < 0:
                raise LookupFailed("The source's answer is too large.", is_cut=True)
            # Without this: a source that sends a byte now and then holds the sign-in for hours.
            self._time_left()
        try:
            return json.loads(held)
        except (ValueError, RecursionError):
            if response.status_code == 200:
                raise LookupFailed("The source sent something unreadable.") from None
            return None

    def _is_allowed(self, url: str) -> bool:
        # Without this: a page that names the next one elsewhere is sent the access token (SSRF).
        try:
            parts = urlsplit(url)
            is_plain = parts.username is None and parts.port is None and "\\" not in url and "#" not in url
        except ValueError:
            return False
        return is_plain and parts.scheme == "https" and parts.netloc in self._hosts

    def _time_left(self) -> float:
        left = self._ends - self._pace.monotonic()
        if left <= 0:
            raise LookupFailed("The source took too long.", is_cut=True)
        return left

    def _wait(self, reply: Reply, attempt: int) -> None:
        """Wait as long as the source asks, or give up at once if that is longer than we have."""
        asked = _seconds_asked(reply.headers, self._deps.now)
        seconds = float(2**attempt) if asked is None else float(asked)
        if seconds >= self._ends - self._pace.monotonic():
            raise self._throttled(int(seconds))
        self._pace.sleep(seconds)

    def _throttled(self, seconds: int) -> LookupFailed:
        until = self._deps.now + min(max(seconds, 1), MAX_PAUSE_SECONDS)
        self._deps.cache.put(f"group-lookup-pause:{self._who}", True, until)
        return LookupFailed("The source is busy and asked to wait longer than a sign-in can.")


def name_credential(*parts: str) -> str:
    """Return a name for a source and credential under which its tokens are remembered.

    It covers the secret. Without this: a connection that knows only another's client id is lent its token.
    """
    return hashlib.sha256("\0".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()


def _is_token(text: str) -> bool:
    """Return whether `text` may stand in an Authorization header (RFC 6750 section 2.1)."""
    return text.isascii() and all(character.isalnum() or character in "-._~+/=" for character in text)


def _seconds_asked(headers: Mapping[str, str], now: int) -> int | None:
    """Return how long a busy source asks to wait, in seconds; None if it does not say so in numbers."""
    asked, reset = headers.get("retry-after", ""), headers.get("x-rate-limit-reset", "")
    if asked.isascii() and asked.isdigit() and len(asked) < 10:
        return int(asked)
    if reset.isascii() and reset.isdigit() and len(reset) < 12:
        return max(int(reset) - now, 1)
    return None

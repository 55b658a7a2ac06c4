"""Keys that a trusted issuer publishes: fetched once for all, and kept through its outages."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.runtime import Runtime
from broker.kernel.versions import Caches
from broker.tokens.foreign_keys import AdmittedKey, admit_keys

MAX_BYTES = 256 * 1024
FRESH_SECONDS = 600
"""How long a key set counts without being asked for again."""
STALE_SECONDS = 86_400
"""How long the last good set counts while its issuer cannot be reached (O41)."""
RETRY_SECONDS = 30
"""An issuer is asked at most this often, whatever key ids strangers make up (O39)."""
MAX_ISSUERS = 1_000


@dataclass(slots=True)
class _Published:
    """What is known of one address; ``lock`` is held by the one thread that asks."""

    keys: Mapping[str, AdmittedKey] = field(default_factory=dict)
    good_at: int | None = None
    asked_at: int | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def is_enough(self, kid: str | None, now: int) -> bool:
        """Say whether nobody needs to be asked for the key ``kid``."""
        if self.asked_at is not None and self.asked_at > now - RETRY_SECONDS:
            return True
        is_fresh = self.good_at is not None and self.good_at > now - FRESH_SECONDS
        return is_fresh and (kid is None or kid in self.keys)


class _Shelf:
    """The key sets of one process; bounded, the least recently added leave first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[str, _Published] = OrderedDict()

    def at(self, url: str) -> _Published:
        with self._lock:
            found = self._found.setdefault(url, _Published())
            while len(self._found) > MAX_ISSUERS:
                self._found.popitem(last=False)
            return found


_shelves: WeakKeyDictionary[Caches, _Shelf] = WeakKeyDictionary()


def published_keys(rt: Runtime, url: str, *, kid: str | None, now: int) -> Mapping[str, AdmittedKey]:
    """Return by key id the admitted keys at ``url``; only an address that an administrator entered.

    To be called outside of a transaction: it may wait for another server. However many ask at once, one
    request leaves (O38). Raises ``Refusal(invalid_grant)`` if no good set is known.
    """
    found = _shelves.setdefault(rt.caches, _Shelf()).at(url)
    if not found.is_enough(kid, now):
        with found.lock:
            if not found.is_enough(kid, now):
                _ask(rt, url, found, now)
    if found.good_at is None or found.good_at <= now - STALE_SECONDS:
        raise Refusal(
            ErrorCode.INVALID_GRANT,
            "The presented token is not valid for this client.",
            reason="keys_unreadable",
        )
    return found.keys


def _ask(rt: Runtime, url: str, found: _Published, now: int) -> None:
    found.asked_at = now
    try:
        found.keys = admit_keys(rt.egress.fetch_json(url, max_bytes=MAX_BYTES))
    except Refusal:
        # The last good set stays: an issuer that is down must not stop what it vouched for before.
        return
    found.good_at = now

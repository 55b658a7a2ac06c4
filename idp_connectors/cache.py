"""A bounded memory for what providers publish (discovery documents, key sets), safe across threads."""

import threading
from collections import OrderedDict
from contextlib import AbstractContextManager
from typing import Any, Protocol
from weakref import WeakValueDictionary


class Cache(Protocol):
    """Keeps values until a moment that the caller names, and hands out one lock per key."""

    def get(self, key: str, now: int) -> Any | None:
        """Return the value stored under `key` if it is still valid at `now` (epoch seconds), else None."""

    def put(self, key: str, value: Any, expires_at: int) -> None:
        """Store `value` until `expires_at` (epoch seconds)."""

    def lock(self, key: str) -> AbstractContextManager[Any]:
        """Return the lock that makes work on `key` happen once at a time in this process."""


class MemoryCache:
    """A `Cache` in this process's memory that forgets its least recently used entry when full."""

    def __init__(self, max_entries: int = 1000) -> None:
        self._entries: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._max_entries = max_entries
        self._guard = threading.Lock()
        # A lock lives as long as somebody holds or awaits it, so that one slow provider delays only its
        # own key and a flood of keys leaves nothing behind.
        self._locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()

    def get(self, key: str, now: int) -> Any | None:
        """Return the value stored under `key` if it is still valid at `now` (epoch seconds), else None."""
        with self._guard:
            entry = self._entries.get(key)
            if entry is None or entry[1] <= now:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: str, value: Any, expires_at: int) -> None:
        """Store `value` until `expires_at` (epoch seconds)."""
        with self._guard:
            self._entries[key] = (value, expires_at)
            self._entries.move_to_end(key)
            while len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)

    def lock(self, key: str) -> AbstractContextManager[Any]:
        """Return the lock that makes work on `key` happen once at a time in this process."""
        with self._guard:
            lock = self._locks.get(key)
            if lock is None:
                lock = self._locks[key] = threading.Lock()
            return lock

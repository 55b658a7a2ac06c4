"""How often something may happen in this process: a bounded count per key and stretch of time."""

import threading


class Pace:
    """Allows ``limit`` events per key within ``seconds``; forgets all keys when there are too many.

    One process counts for itself: what must hold across processes is counted in the database.
    """

    def __init__(self, limit: int, seconds: int, *, max_keys: int = 10_000) -> None:
        self._limit = limit
        self._seconds = seconds
        self._max_keys = max_keys
        self._lock = threading.Lock()
        self._stretch = 0
        self._counts: dict[str, int] = {}

    def may_go_on(self, key: str, now: int) -> bool:
        """Count one event of ``key`` at ``now`` (epoch seconds) and say whether it is within the pace."""
        stretch = now // self._seconds
        with self._lock:
            if stretch != self._stretch or len(self._counts) >= self._max_keys:
                self._stretch, self._counts = stretch, {}
            count = self._counts[key] = self._counts.get(key, 0) + 1
        return count <= self._limit

"""Time as an argument: functions take ``now``; only the edge asks a clock."""

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time in whole epoch seconds."""

    def now(self) -> int:
        """Return the current time in epoch seconds (UTC)."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Return the current time in epoch seconds (UTC)."""
        return int(time.time())


class FixedClock:
    """A clock that moves only when told to; for tests and rehearsals."""

    def __init__(self, at: int) -> None:
        self._at = at

    def now(self) -> int:
        """Return the set time in epoch seconds."""
        return self._at

    def advance(self, seconds: int) -> None:
        """Move the clock by ``seconds``, which may be negative."""
        self._at += seconds

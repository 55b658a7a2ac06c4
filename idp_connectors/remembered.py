"""Remembers what a provider publishes: fetched once at a time, refreshed rarely, kept through an outage."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from idp_connectors.base import Deps
from idp_connectors.errors import ConnectorError, ConnectorErrorCode

Value = TypeVar("Value")

FRESH_SECONDS = 3600
KEEP_SECONDS = 86_400
REFRESH_PAUSE_SECONDS = 30
FAILURE_PAUSE_SECONDS = 5


@dataclass(frozen=True, slots=True)
class _Held(Generic[Value]):
    value: Value | None
    fetched_at: int
    attempted_at: int

    def is_sufficient(self, now: int, is_enough: Callable[[Value], bool]) -> bool:
        fresh = now < self.fetched_at + FRESH_SECONDS
        return self.value is not None and fresh and is_enough(self.value)

    def may_refresh(self, now: int) -> bool:
        pause = FAILURE_PAUSE_SECONDS if self.value is None else REFRESH_PAUSE_SECONDS
        return now >= self.attempted_at + pause


def get_remembered(
    key: str,
    deps: Deps,
    load: Callable[[], Value],
    is_enough: Callable[[Value], bool] = lambda value: True,
) -> Value:
    """Return the value under `key`, loading it when it is absent, an hour old, or not enough.

    At most one load at a time and one in 30 seconds; the last good value serves for 24 hours while loads
    fail. The value may still not be enough; the caller decides. Raises what `load` raises if nothing is
    held.
    """
    held = _recall(key, deps, load)
    if held is not None and held.value is not None and held.is_sufficient(deps.now, is_enough):
        return held.value
    with deps.cache.lock(key):
        # Somebody else may have loaded it while this call waited for the lock.
        held = _recall(key, deps, load)
        # Without the pause: anybody can make the broker hammer a provider with invented key ids.
        if held and (held.is_sufficient(deps.now, is_enough) or not held.may_refresh(deps.now)):
            return _value_of(held)
        try:
            value = load()
        except ConnectorError:
            last_good = held.value if held else None
            _remember(key, deps, _Held(last_good, held.fetched_at if held else 0, deps.now))
            if last_good is None:
                raise
            return last_good
        _remember(key, deps, _Held(value, deps.now, deps.now))
        return value


def _recall(key: str, deps: Deps, load: Callable[[], Value]) -> _Held[Value] | None:
    """Return what is held under `key`; `load` only says which type that is."""
    return cast(_Held[Value] | None, deps.cache.get(key, deps.now))


def _remember(key: str, deps: Deps, held: _Held[Value]) -> None:
    kept_from = held.fetched_at if held.value is not None else deps.now
    deps.cache.put(key, held, kept_from + KEEP_SECONDS)


def _value_of(held: _Held[Value]) -> Value:
    if held.value is None:
        raise ConnectorError(
            ConnectorErrorCode.UPSTREAM_UNREACHABLE,
            "The identity provider could not be reached a moment ago. Try again shortly.",
            detail=f"the last attempt at {held.attempted_at} failed and nothing is held",
        )
    return held.value

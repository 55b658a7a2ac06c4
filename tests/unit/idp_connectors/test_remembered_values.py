"""The cache and what is remembered in it: bounded, expiring, one load at a time."""

import threading

import pytest

from idp_connectors.base import ConnectorError, MemoryCache
from idp_connectors.errors import ConnectorErrorCode
from idp_connectors.remembered import get_remembered
from tests.builders.connector_deps import NOW, make_deps


def failing() -> str:
    raise ConnectorError(ConnectorErrorCode.UPSTREAM_UNREACHABLE, "down")


def test_a_value_ends_at_its_moment():
    cache = MemoryCache()
    cache.put("k", "v", NOW)
    assert cache.get("k", NOW - 1) == "v"
    assert cache.get("k", NOW) is None
    assert cache.get("other", NOW) is None


def test_the_least_recently_used_value_makes_room():
    cache = MemoryCache(max_entries=2)
    for key in ("a", "b"):
        cache.put(key, key, NOW + 1)
    cache.get("a", NOW)
    cache.put("c", "c", NOW + 1)
    assert [cache.get(key, NOW) for key in ("a", "b", "c")] == ["a", None, "c"]


def test_a_lock_belongs_to_its_key_and_leaves_nothing_behind():
    cache = MemoryCache()
    with cache.lock("a"), cache.lock("b"):
        entered = threading.Event()

        def wait() -> None:
            with cache.lock("a"):
                entered.set()

        thread = threading.Thread(target=wait)
        thread.start()
        assert not entered.wait(0.05)
    thread.join(5)
    assert entered.is_set()
    assert len(cache._locks) == 0


def test_a_value_is_loaded_once_an_hour():
    cache, loads = MemoryCache(), []

    def load() -> int:
        loads.append(1)
        return len(loads)

    found = [
        get_remembered("k", make_deps(cache=cache, now=NOW + offset), load)
        for offset in (0, 1, 3599, 3600, 3601)
    ]
    assert found == [1, 1, 1, 2, 2]


def test_a_failed_refresh_keeps_the_last_good_value_and_waits():
    cache = MemoryCache()
    assert get_remembered("k", make_deps(cache=cache), lambda: "good") == "good"
    assert get_remembered("k", make_deps(cache=cache, now=NOW + 3600), failing) == "good"
    # For half a minute nobody is asked again, not even one who would answer.
    assert get_remembered("k", make_deps(cache=cache, now=NOW + 3629), lambda: "new") == "good"
    assert get_remembered("k", make_deps(cache=cache, now=NOW + 3630), lambda: "new") == "new"


def test_without_any_value_the_failure_is_told_and_repeated_for_five_seconds():
    cache = MemoryCache()
    with pytest.raises(ConnectorError, match="down"):
        get_remembered("k", make_deps(cache=cache), failing)
    with pytest.raises(ConnectorError) as caught:
        get_remembered("k", make_deps(cache=cache, now=NOW + 4), lambda: "new")
    assert caught.value.code == ConnectorErrorCode.UPSTREAM_UNREACHABLE
    assert get_remembered("k", make_deps(cache=cache, now=NOW + 5), lambda: "new") == "new"

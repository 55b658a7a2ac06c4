"""Copies of a tenant's state are trusted only while its version stands."""

from collections.abc import Iterator

import pytest

from broker.kernel import versions
from broker.kernel.database import Base, Database
from broker.kernel.models import StateVersion
from broker.kernel.versions import Caches, bump


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    Base.metadata.create_all(database.engine, tables=[StateVersion.__table__])  # type: ignore[list-item]
    yield database
    database.close()


class Loader:
    """Counts how often a tenant's state was loaded."""

    def __init__(self) -> None:
        self.loads: list[str] = []

    def __call__(self, tenant_id: str) -> int:
        self.loads.append(tenant_id)
        return len(self.loads)


def change(database: Database, tenant_id: str) -> None:
    with database.core_write() as connection:
        bump(connection, tenant_id)


def test_a_copy_is_loaded_once_until_the_tenant_changes(database: Database):
    caches, load = Caches(database), Loader()
    assert [caches.get("a", "keys", load) for _ in range(3)] == [1, 1, 1]
    change(database, "a")
    assert [caches.get("a", "keys", load) for _ in range(3)] == [2, 2, 2]


def test_a_change_drops_every_kind_of_the_tenant_and_nothing_of_others(database: Database):
    caches, load = Caches(database), Loader()
    for kind in ("keys", "agents"):
        caches.get("a", kind, load)
        caches.get("b", kind, load)
    change(database, "a")
    for kind in ("keys", "agents"):
        caches.get("a", kind, load)
        caches.get("b", kind, load)
    assert load.loads == ["a", "b", "a", "b", "a", "a"]


def test_tenants_never_share_a_copy(database: Database):
    """T03: the same kind in two tenants is two copies."""
    caches = Caches(database)
    assert caches.get("a", "keys", lambda tenant: tenant) == "a"
    assert caches.get("b", "keys", lambda tenant: tenant) == "b"


def test_a_change_that_was_undone_changes_nothing(database: Database):
    caches, load = Caches(database), Loader()
    caches.get("a", "keys", load)

    def change_and_fail() -> None:
        with database.core_write() as connection:
            bump(connection, "a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change_and_fail()
    assert caches.get("a", "keys", load) == 1


def test_a_change_of_this_process_is_seen_at_the_next_look(database: Database):
    """However fresh the copy is: no waiting for the bound that holds between processes."""
    caches, load = Caches(database), Loader()
    for expected in range(1, 6):
        assert caches.get("a", "keys", load) == expected
        change(database, "a")


def test_a_change_of_another_process_is_seen_once_the_copy_is_no_longer_fresh(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    now = 1_000.0
    monkeypatch.setattr(versions.time, "monotonic", lambda: now)
    caches, load = Caches(database), Loader()
    assert caches.get("a", "keys", load) == 1
    other = Database(database_url)
    change(other, "a")
    other.close()
    now += versions.FRESH_SECONDS * 0.9
    assert caches.get("a", "keys", load) == 1
    now += versions.FRESH_SECONDS * 0.2
    assert caches.get("a", "keys", load) == 2


def test_a_change_during_a_load_costs_one_more_load_and_is_not_lost(database: Database):
    caches = Caches(database)
    state = {"value": "old"}

    def load(_tenant_id: str) -> str:
        found = state["value"]
        if found == "old":
            state["value"] = "new"
            change(database, "a")
        return found

    caches.get("a", "keys", load)
    assert caches.get("a", "keys", load) == "new"


def test_the_number_of_tenants_in_memory_is_bounded(database: Database):
    caches, load = Caches(database, max_tenants=2), Loader()
    for tenant_id in ("a", "b", "c"):
        caches.get(tenant_id, "keys", load)
    assert caches.get("c", "keys", load) == 3
    assert caches.get("a", "keys", load) == 4


def test_a_load_that_fails_is_tried_again(database: Database):
    caches, load = Caches(database), Loader()

    def fail(_tenant_id: str) -> int:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        caches.get("a", "keys", fail)
    assert caches.get("a", "keys", load) == 1

"""Groups are asked for again between sign-ins: when due, for whom agents act, by one process at a time."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import update

from broker.directory.group_facts import RETRY_SECONDS
from broker.federation import group_refresh
from broker.kernel.versions import bump
from broker.tenants.models import Connection
from tests.builders.graph import group_id
from tests.builders.lookup_source import busy
from tests.builders.refreshing import HOUR, Refreshing, object_id
from tests.builders.world import NOW, open_world


@pytest.fixture
def scene(sqlite_url: str, tmp_path: Path) -> Iterator[Refreshing]:
    with open_world(sqlite_url, tmp_path) as world:
        yield Refreshing(world)


def broken(request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(500, json={})


def change_connection(scene: Refreshing, **values: Any) -> None:
    with scene.rt.database.core_write() as core:
        core.execute(update(Connection).where(Connection.id == scene.entra.id).values(**values))
        bump(core, scene.tenant.id)


def test_who_left_a_group_loses_its_roles_without_a_sign_in(scene: Refreshing):
    maya = scene.person(groups=(1, 2))
    scene.cloud.graph.members[object_id(1)] = [2, 3]
    scene.world.clock.advance(HOUR - 1)
    assert (scene.run(), scene.asked()) == ({}, 0)
    scene.world.clock.advance(1)
    assert scene.run() == {"refreshed": 1}
    live = scene.roles(maya)
    assert (live.roles, live.groups_state, live.source, live.fetched_at) == (
        frozenset(),
        "complete",
        "graph",
        NOW + HOUR,
    )
    assert scene.events() == [
        {"state": "complete", "state_before": "complete", "source": "graph", "came": 1, "went": 1}
    ]
    assert (scene.run(), scene.asked()) == ({}, 1)
    assert scene.stored(maya).refresh_at == NOW + 2 * HOUR


def test_who_joined_a_group_gets_its_roles_and_what_stays_is_not_written_down(scene: Refreshing):
    maya = scene.person(groups=())
    assert scene.roles(maya).roles == frozenset()
    scene.cloud.graph.members[object_id(1)] = [1]
    for _ in range(2):
        scene.world.clock.advance(HOUR)
        scene.run()
    assert scene.roles(maya).roles == {"support"}
    assert [one["came"] for one in scene.events()] == [1]


def test_nobody_is_asked_about_for_whom_no_agent_acts(scene: Refreshing):
    idle = scene.person(is_acted_for=False)
    scene.world.clock.advance(HOUR)
    assert (scene.run(), scene.asked()) == ({}, 0)
    assert scene.stored(idle).refresh_at == NOW + 2 * HOUR


def test_one_process_at_a_time(database_url: str, tmp_path: Path):
    with open_world(database_url, tmp_path) as world:
        scene = Refreshing(world)
        scene.person()
        world.clock.advance(HOUR)
        other = replace(scene.rt, writer_id="wrt_other")
        seen: list[dict[str, int]] = []

        def meanwhile(request: httpx2.Request) -> httpx2.Response:
            seen.append(scene.run(rt=other))
            return scene.cloud.graph.answer(request)

        scene.cloud.graph.faults = [meanwhile]
        assert (scene.run(), seen, scene.asked()) == ({"refreshed": 1}, [{}], 1)
        world.clock.advance(HOUR)
        assert scene.run(rt=other) == {"refreshed": 1}, "the lease of a process that is gone runs out"


def test_a_failure_is_kept_as_state_and_tried_again_soon(scene: Refreshing):
    maya = scene.person()
    scene.cloud.graph.members[object_id(1)] = []
    scene.cloud.graph.faults = [busy("600")]
    scene.world.clock.advance(HOUR)
    assert scene.run() == {"failed": 1}
    stored, live = scene.stored(maya), scene.roles(maya)
    assert (stored.state, stored.refresh_at) == ("error", NOW + HOUR + RETRY_SECONDS)
    assert "busy" in stored.problem
    assert (live.roles, live.groups_state, live.fetched_at) == ({"support"}, "error", NOW)
    assert [one["state"] for one in scene.events()] == ["error"]
    scene.world.clock.advance(RETRY_SECONDS)
    assert scene.run() == {"refreshed": 1}
    assert (scene.roles(maya).roles, scene.stored(maya).problem) == (frozenset(), "")


def test_a_broken_source_takes_two_requests_a_run_and_touches_nobody_elses(scene: Refreshing):
    people = [scene.person(number) for number in range(1, 6)]
    scene.cloud.graph.faults = [broken] * 9
    scene.world.clock.advance(HOUR)
    assert (scene.run(), scene.asked()) == ({"failed": 5}, 2)
    assert {scene.stored(one).state for one in people} == {"error"}
    assert [one["value"] for one in scene.stored(people[4]).groups] == [group_id(1)]
    scene.cloud.graph.faults = []
    scene.world.clock.advance(RETRY_SECONDS)
    assert scene.run() == {"refreshed": 5}


def test_a_sign_in_that_came_meanwhile_stands(scene: Refreshing):
    maya = scene.person(groups=(1, 2))
    scene.world.clock.advance(HOUR)

    def meanwhile(request: httpx2.Request) -> httpx2.Response:
        outdated = scene.cloud.graph.answer(request)
        scene.person(groups=(2,))
        return outdated

    scene.cloud.graph.faults = [meanwhile]
    assert scene.run() == {}
    assert [one["value"] for one in scene.stored(maya).groups] == [group_id(2)]
    assert scene.roles(maya).roles == frozenset()


def test_somebody_whom_the_source_does_not_know_any_more_is_in_no_group(scene: Refreshing):
    maya = scene.person()
    del scene.cloud.graph.members[object_id(1)]
    scene.world.clock.advance(HOUR)
    scene.run()
    assert (scene.stored(maya).groups, scene.stored(maya).state) == ([], "absent")
    assert scene.roles(maya).roles == frozenset()


def test_a_run_is_bounded_and_the_next_one_goes_on(scene: Refreshing, monkeypatch: pytest.MonkeyPatch):
    for number in range(1, 6):
        scene.person(number)
    scene.world.clock.advance(HOUR)
    monkeypatch.setattr(group_refresh, "MAX_PEOPLE", 2)
    assert [scene.run() for _ in range(3)] == [{"refreshed": 2}, {"refreshed": 2}, {"refreshed": 1}]
    scene.world.clock.advance(HOUR)
    times = iter([0.0, 1.0, group_refresh.RUN_SECONDS])
    assert scene.run(monotonic=lambda: next(times)) == {"refreshed": 1}


def test_what_was_switched_off_is_not_asked(scene: Refreshing):
    maya = scene.person()
    change_connection(scene, state="disabled")
    scene.world.clock.advance(HOUR)
    assert (scene.run(), scene.asked()) == ({}, 0)
    assert scene.stored(maya).refresh_at == NOW + 2 * HOUR
    change_connection(scene, state="active", config={**scene.entra.config, "group_refresh_minutes": 0})
    scene.world.clock.advance(HOUR)
    assert (scene.run(), scene.asked(), scene.stored(maya).refresh_at) == ({}, 0, None)


def test_a_secret_that_no_longer_opens_is_a_failure_of_that_connection_only(scene: Refreshing):
    maya = scene.person()
    change_connection(scene, sealed_secrets=b"not what was sealed")
    scene.world.clock.advance(HOUR)
    assert scene.run() == {"failed": 1}
    assert scene.stored(maya).problem == "The secrets of 'entra' cannot be opened."

"""A large directory is pushed, the server is killed in the midst, the provider goes on: none is lost."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import func, select

from broker.directory.models import ProvisionedPerson
from broker.scim.models import ScimGroup, ScimMember, ScimUser
from tests.builders.directory_push import DirectoryPush
from tests.builders.oauth import Scene
from tests.builders.provisioning import Provider
from tests.builders.served_world import open_served_world
from tests.builders.server import Server, free_port, running_broker

pytestmark = [pytest.mark.proof, pytest.mark.large]

PEOPLE, GROUPS, MEMBERS = 2_000, 100, 20
"""What two minutes hold on two busy cores. A directory of 100,000 people and 5,000 groups takes as much
longer as it is larger: a request costs the same whatever is there already."""

KILLS = 2
MAX_SECONDS = 90
"""How long a started server may take to be ready."""


class Restarting:
    """A broker that is killed without a warning and started again on the same database and port."""

    def __init__(self, database_url: str, folder: Path, port: int) -> None:
        self._arguments = (database_url, folder, port)
        self._stack = ExitStack()
        self.server = self._start()

    def _start(self) -> Server:
        database_url, folder, port = self._arguments
        return self._stack.enter_context(running_broker(database_url, folder, port=port))

    def kill(self) -> None:
        """End all of its processes by SIGKILL, and start it again."""
        os.killpg(self.server.process.pid, signal.SIGKILL)
        self.server.process.wait(10)
        self.server = self._start()

    def close(self) -> None:
        """End it for good."""
        self._stack.close()


@pytest.fixture
def scene(database_url: str, tmp_path: Path) -> Iterator[tuple[Scene, Restarting, int]]:
    port = free_port()
    with open_served_world(database_url, tmp_path, port) as world:
        scene = Scene(world)
        broker = Restarting(database_url, tmp_path / "data", port)
        try:
            yield scene, broker, port
        finally:
            broker.close()


def test_a_large_directory_survives_the_servers_death(scene: tuple[Scene, Restarting, int]):
    world, broker, port = scene
    okta = Provider(world.world, world.tenant, world.okta)
    push = DirectoryPush(port, world.slug, okta.secret)
    people = [f"person-{number}" for number in range(PEOPLE)]
    groups = [f"group-{number}" for number in range(GROUPS)]

    def members(group: str) -> list[str]:
        first = int(group.partition("-")[2]) * MEMBERS
        return [people[(first + number) % PEOPLE] for number in range(MEMBERS)]

    started = time.monotonic()
    killing = threading.Thread(target=kill_in_the_midst, args=(broker, push), daemon=True)
    killing.start()
    push.people(people)
    push.groups(groups, members)
    killing.join(MAX_SECONDS)
    seconds = time.monotonic() - started

    assert push.retried >= KILLS, "nobody noticed that the server was killed"
    assert (push.count("Users"), push.count("Groups")) == (PEOPLE, GROUPS)
    with world.world.rt.database.read(world.tenant.id) as session:
        stored = dict(session.execute(select(ScimUser.external_id, ScimUser.id)).all())
        stored |= dict(session.execute(select(ScimGroup.external_id, ScimGroup.id)).all())
        assert stored == push.ids, "what was acknowledged is what is there"
        assert session.scalar(select(func.count()).select_from(ScimUser)) == PEOPLE
        assert session.scalar(select(func.count()).select_from(ScimGroup)) == GROUPS
        assert session.scalar(select(func.count()).select_from(ScimMember)) == GROUPS * MEMBERS
        assert session.scalar(select(func.count()).select_from(ProvisionedPerson)) == PEOPLE
        told = (
            select(func.count()).select_from(ProvisionedPerson).where(ProvisionedPerson.groups.is_not(None))
        )
        assert session.scalar(told) == PEOPLE
    print(
        f"{PEOPLE} people and {GROUPS} groups in {seconds:.0f} s, "
        f"{push.retried} broken requests, {push.found_again} of them had been done"
    )


def kill_in_the_midst(broker: Restarting, push: DirectoryPush) -> None:
    """Kill the server when a third of all are there, and again when it is at the groups."""
    for reached in (PEOPLE // 3, PEOPLE + GROUPS // 3):
        while len(push.ids) < reached:
            time.sleep(0.01)
        broker.kill()

"""A large directory is pushed, the server is killed in the midst, the provider goes on: none is lost."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import func, select

from broker.directory.models import ProvisionedPerson
from broker.scim.models import ScimGroup, ScimMember, ScimUser
from tests.builders.directory_push import DirectoryPush
from tests.builders.oauth import Scene
from tests.builders.provisioning import Provider
from tests.builders.served_world import open_served_world
from tests.builders.server import Server, children_of, free_port, running_broker

pytestmark = pytest.mark.proof

WORKERS = 2
MAX_MEMORY_KB = 300 * 1024
MAX_SECONDS = 90
"""How long a started server may take to be ready."""

TOLD_EVERY = 5.0
EVERYBODY = "everybody"


@dataclass(frozen=True)
class Directory:
    """A directory by numbers: each group but one has its own few people, and one has them all."""

    people: int
    groups: int
    members: int
    at_once: int = 1_000

    def names(self) -> list[str]:
        """Everybody."""
        return [f"person-{number}" for number in range(self.people)]

    def group_names(self) -> list[str]:
        """The groups, the one with everybody last."""
        return [*(f"group-{number}" for number in range(self.groups - 1)), EVERYBODY]

    def members_of(self, group: str) -> list[str]:
        """Who is in a group."""
        if group == EVERYBODY:
            return self.names()
        first = int(group.partition("-")[2]) * self.members
        return [f"person-{(first + number) % self.people}" for number in range(self.members)]

    def groups_of(self, person: int) -> set[str]:
        """The groups that a person is in."""
        return {EVERYBODY} | {
            f"group-{number}"
            for number in range(self.groups - 1)
            if (person - number * self.members) % self.people < self.members
        }

    @property
    def memberships(self) -> int:
        """How many rows say who is in which group."""
        return (self.groups - 1) * self.members + self.people

    @property
    def requests(self) -> int:
        """How many requests it takes at the least."""
        return self.people + 2 * self.groups - 1 + -(-self.people // self.at_once)


class Restarting:
    """A broker that is killed without a warning and started again on the same database and port."""

    def __init__(self, database_url: str, folder: Path, port: int) -> None:
        self._arguments = (database_url, folder, port)
        self._stack = ExitStack()
        self.server = self._start()

    def _start(self) -> Server:
        database_url, folder, port = self._arguments
        return self._stack.enter_context(running_broker(database_url, folder, port=port, workers=WORKERS))

    def kill(self) -> None:
        """End all of its processes by SIGKILL, and start it again."""
        os.killpg(self.server.process.pid, signal.SIGKILL)
        self.server.process.wait(10)
        self.server = self._start()

    def memory_kb(self) -> int:
        """What all of its processes hold together, what they share counted once; 0 while there is none."""
        parent = self.server.process.pid
        try:
            return sum(_proportional_kb(one) for one in (parent, *children_of(parent)))
        except OSError:
            return 0

    def close(self) -> None:
        """End it for good."""
        self._stack.close()


def _proportional_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


class Company:
    """A tenant whose provider pushes to a broker that dies now and then."""

    def __init__(self, scene: Scene, broker: Restarting, port: int) -> None:
        self.scene = scene
        self.broker = broker
        self.push = DirectoryPush(port, scene.slug, Provider(scene.world, scene.tenant, scene.okta).secret)
        self.peak_kb = 0
        self.deaths: list[int] = []
        self._started = time.monotonic()
        self._is_over = threading.Event()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._started

    def tell(self) -> None:
        """Print how far it is."""
        done = self.push.done
        print(
            f"{self.seconds:5.0f} s: {done} requests done, {done / self.seconds:.0f} a second, "
            f"{self.peak_kb // 1024} MB at most, killed {len(self.deaths)} times",
            flush=True,
        )

    @contextmanager
    def dying_at(self, moments: Sequence[int]) -> Iterator[None]:
        """Kill the server when so many requests are done, measure its memory, and tell."""

        def watch() -> None:
            told = self.seconds
            while not self._is_over.wait(0.02):
                if len(self.deaths) < len(moments) and self.push.done >= moments[len(self.deaths)]:
                    self.deaths.append(self.push.done)
                    self.broker.kill()
                if self.seconds - told >= TOLD_EVERY:
                    told = self.seconds
                    self.peak_kb = max(self.peak_kb, self.broker.memory_kb())
                    self.tell()

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield
        finally:
            self._is_over.set()
            watching.join(MAX_SECONDS)
            self.peak_kb = max(self.peak_kb, self.broker.memory_kb())
            self.tell()


@contextmanager
def serving(database_url: str, folder: Path) -> Iterator[Company]:
    port = free_port()
    with open_served_world(database_url, folder, port) as world:
        scene = Scene(world)
        broker = Restarting(database_url, folder / "data", port)
        try:
            yield Company(scene, broker, port)
        finally:
            broker.close()


def push_all(company: Company, directory: Directory, deaths: int) -> None:
    """Push a directory as Entra does, people and groups first, with so many deaths at random moments."""
    seed = random.randrange(1_000_000)
    moments = sorted(random.Random(seed).sample(range(100, directory.requests - 100), deaths))
    print(f"seed {seed}: the server dies after {moments} of {directory.requests} requests", flush=True)
    with company.dying_at(moments):
        company.push.people(directory.names())
        company.push.groups(directory.group_names())
        changes = [(group, directory.members_of(group)) for group in directory.group_names()]
        company.push.members(changes, directory.at_once)


def check_all(company: Company, directory: Directory, deaths: int) -> None:
    """Everything that was acknowledged is there, once, and nothing else."""
    push = company.push
    assert (len(company.deaths), push.retried >= deaths) == (deaths, True), "nobody noticed the deaths"
    assert (push.count("Users"), push.count("Groups")) == (directory.people, directory.groups)
    with company.scene.world.rt.database.read(company.scene.tenant.id) as session:

        def count(model: type, *conditions: object) -> int:
            return int(session.scalar(select(func.count()).select_from(model).where(*conditions)) or 0)

        stored = dict(session.execute(select(ScimUser.external_id, ScimUser.id)).all())
        stored |= dict(session.execute(select(ScimGroup.external_id, ScimGroup.id)).all())
        assert stored == push.ids, "what was acknowledged is what is there"
        assert (count(ScimUser), count(ScimGroup)) == (directory.people, directory.groups)
        assert count(ScimMember) == directory.memberships
        assert count(ProvisionedPerson) == directory.people
        assert count(ProvisionedPerson, ProvisionedPerson.groups.is_not(None)) == directory.people
        for person in (0, 1, directory.people // 2, directory.people - 1):
            told = session.scalar(
                select(ProvisionedPerson.groups).where(ProvisionedPerson.id == push.ids[f"person-{person}"])
            )
            names = [one["value"] for one in told or () if one["kind"] == "name"]
            assert sorted(names) == sorted(directory.groups_of(person))
    assert company.peak_kb <= MAX_MEMORY_KB
    print(
        f"{directory.people} people, {directory.groups} groups and {directory.memberships} memberships in "
        f"{company.seconds:.0f} s; killed {deaths} times, {push.retried} requests sent again, "
        f"{push.found_again} of them had been done; {company.peak_kb // 1024} MB at most"
    )


def test_a_directory_survives_the_servers_death(empty_database_url: str, tmp_path: Path):
    directory = Directory(people=1_000, groups=60, members=20, at_once=250)
    with serving(empty_database_url, tmp_path) as company:
        push_all(company, directory, deaths=2)
        check_all(company, directory, deaths=2)


@pytest.mark.large
def test_a_large_directory_survives_the_servers_death(sqlite_url: str, tmp_path: Path):
    directory = Directory(people=100_000, groups=5_000, members=40)
    with serving(sqlite_url, tmp_path) as company:
        push_all(company, directory, deaths=4)
        check_all(company, directory, deaths=4)

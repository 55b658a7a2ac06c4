"""A hundred thousand people and five thousand groups: walked by a process that is killed and resumed."""

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, update

from broker.app import import_models
from broker.directory.models import GroupSnapshot, IdentityLink, User
from broker.federation.directory_sync import SyncStatus, sync_status
from broker.federation.models import DirectoryGroup, DirectoryPerson
from broker.kernel import schema
from broker.kernel.models import Lease
from broker.tenants.snapshot import ConnectionView, TenantSnapshot
from tests.builders.large_directory import HOST, LargeDirectory, serving_large, uid_of, uuid_of
from tests.builders.world import World, open_world

pytestmark = [pytest.mark.proof, pytest.mark.large]

PEOPLE, GROUPS = 100_000, 5_000
SIGNED_IN, LEFT = 20_000, 1_200
FIRST = PEOPLE + LEFT - SIGNED_IN  # of those who have signed in; the last of them are not there any more
MAX_MEMORY_KB = 300 * 1024
PROGRAM = (
    "import resource, sys; from broker.cli import main; code = main(standalone_mode=False); "
    "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
)


class Company:
    """A tenant with a large directory, and the command that walks it."""

    def __init__(self, world: World, server: LargeDirectory, data_dir: Path, url: str) -> None:
        self.world = world
        self.server = server
        self.tenant: TenantSnapshot = world.tenant("acme")
        config, secrets = server.settings(urls=[f"ldaps://{HOST}:{server.port}"])
        self.corp: ConnectionView = world.connection(
            self.tenant, "corp", kind="ldap", config=config, secrets=secrets
        )
        self.environ = {
            **os.environ,
            "BROKER_PROFILE": "development",
            "BROKER_DATABASE_URL": url,
            "BROKER_DATA_DIR": str(data_dir / "data"),
        }
        self.peaks: list[int] = []

    def sign_everybody_in(self) -> None:
        """Write what is there after the first people have signed in, without the signing in."""
        ids = {"tenant_id": self.tenant.id}
        at = {**ids, "connection_id": self.corp.id}
        told = {"groups": [], "state": "complete", "source": "ldap:member", "complete_groups": []}
        numbers = range(FIRST, FIRST + SIGNED_IN)
        with self.world.rt.database.core_write() as core:
            people = [{"id": f"usr_{one}", "display_name": uid_of(one), "created_at": 1} for one in numbers]
            core.execute(insert(User), [{**ids, **one} for one in people])
            links = [
                {"id": f"idl_{one}", "user_id": f"usr_{one}", "subject": uuid_of(one)} for one in numbers
            ]
            kind = {"issuer": "ldap:x", "subject_kind": "entryUUID", "created_at": 1}
            core.execute(insert(IdentityLink), [{**at, **kind, **one} for one in links])
            core.execute(
                insert(GroupSnapshot),
                [{**at, **told, "user_id": f"usr_{one}", "fetched_at": 1} for one in numbers],
            )

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command in a process of its own."""
        # What died a moment ago still has the lease, for a minute that the test does not wait.
        with self.world.rt.database.core_write() as core:
            core.execute(update(Lease).values(expires_at=0))
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "directory", *command, "acme", "corp"],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self) -> SyncStatus:
        """Walk until the walk ends or waits; a machine that is too slow for a step costs a repetition."""
        for _ in range(20):
            out, _ = self.start("sync").communicate()
            self.peaks += [int(line.split()[1]) for line in out.splitlines() if line.startswith("peak")]
            found = self.status
            if found.state != "running":
                return found
        raise AssertionError(self.status)

    def kill_when(self, phase: str, count: int) -> SyncStatus:
        """Start a walk and kill its process in the middle of a phase."""
        process = self.start("sync")
        assert process.stderr is not None
        for line in process.stderr:
            told = re.fullmatch(r"(\w+): (\d+) people, (\d+) groups, .*\n", line)
            if told and told[1] == phase and int(told[2 if phase == "people" else 3]) >= count:
                break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return self.status

    @property
    def status(self) -> SyncStatus:
        """How far the walk is."""
        found = sync_status(self.world.rt, self.tenant.id, self.corp.id)
        assert found is not None
        return found

    def count(self, model: type, *conditions: object) -> int:
        """How many rows there are."""
        with self.world.rt.database.core_read() as core:
            query = select(func.count()).select_from(model).where(*conditions)
            return int(core.execute(query).scalar_one())


@pytest.fixture
def company(sqlite_url: str, tmp_path: Path) -> Iterator[Company]:
    with ExitStack() as stack:
        import_models()
        world = stack.enter_context(
            open_world(sqlite_url, tmp_path, make=lambda rt: schema.upgrade(rt.database))
        )
        server = stack.enter_context(serving_large(PEOPLE, GROUPS))
        company = Company(world, server, tmp_path, sqlite_url)
        company.sign_everybody_in()
        yield company


def teams_of(person: int) -> set[str]:
    """The groups of a person by what `serving_large` says of them."""
    direct = {number for number in range(GROUPS - 1) if (person - number * 20) % PEOPLE < 40}
    found = set(direct)
    for number in direct:
        while (number + 1) % 3 and number + 1 < GROUPS - 1:
            number += 1
            found.add(number)
    return {"everybody", *(f"team{number:04}" for number in found)}


def test_a_large_directory_is_walked_though_its_process_is_killed(company: Company) -> None:
    killed = company.kill_when("people", 30_000)
    assert 30_000 <= killed.people < PEOPLE
    again = company.kill_when("groups", 1_000)
    assert (again.people, again.state) == (PEOPLE, "running")
    assert 1_000 <= again.groups < GROUPS
    waiting = company.run()
    assert (waiting.state, waiting.people, waiting.groups) == ("waiting", PEOPLE, GROUPS)
    assert (waiting.leaving, waiting.known) == (LEFT, SIGNED_IN)
    assert company.count(User, User.state == "active") == SIGNED_IN
    assert company.start("confirm").wait() == 0
    assert company.run().state == "done"
    assert company.count(User, User.state == "disabled") == LEFT
    assert company.count(DirectoryPerson, DirectoryPerson.state == "active") == PEOPLE
    assert company.count(DirectoryGroup) == GROUPS
    assert company.count(GroupSnapshot, GroupSnapshot.source == "ldap:walk") == SIGNED_IN - LEFT
    with company.world.rt.database.read(company.tenant.id) as rows:
        for person in (FIRST, FIRST + 7, PEOPLE - 10_000, PEOPLE - 1):
            told = rows.scalars(
                select(GroupSnapshot.groups).where(GroupSnapshot.user_id == f"usr_{person}")
            ).one()
            assert {one["value"] for one in told if one["kind"] == "name"} == teams_of(person)
    assert max(company.peaks) <= MAX_MEMORY_KB, company.peaks
    # Of those that were killed as well.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= MAX_MEMORY_KB

"""Every table that expires is swept, and a process signs the part of the event log that it wrote."""

import importlib
from pathlib import Path

from broker.app import MODEL_MODULES
from broker.audit.checkpoint import HmacSigner
from broker.audit.checkpointing import Checkpointer
from broker.audit.events import AuditEvent
from broker.audit.log import record
from broker.audit.verify import verify
from broker.housekeeping import EXPIRING, housekeeping
from broker.kernel.database import Base
from broker.kernel.jobs import sweep
from broker.tokens.models import IssuedToken
from idp_connectors.registry import CONNECTORS
from tests.builders.oauth import Scene
from tests.builders.world import open_world

KEPT_FOR_GOOD = {
    "agents": "an administrator's record; it expires and stays visible",
    "client_registrations": "whoever looks after clients ends it together with its client",
    "consents": "what a person agreed to is kept after its end",
    "leases": "one row a job",
    "service_keys": "the end is the certificate's; the key opens messages until somebody drops it",
}


def test_every_table_with_an_end_is_swept_or_kept_for_a_reason() -> None:
    for name in MODEL_MODULES:
        importlib.import_module(name)
    ending = {table.name for table in Base.metadata.tables.values() if "expires_at" in table.c}
    assert ending == {one.table.name for one in EXPIRING} | set(KEPT_FOR_GOOD)
    assert all(any(one.column in index.columns for index in one.table.indexes) for one in EXPIRING)


def test_a_sweep_takes_what_is_over_and_leaves_the_rest(sqlite_url: str, tmp_path: Path) -> None:
    with open_world(sqlite_url, tmp_path) as world:
        scene = Scene(world)
        old = scene.person_token()
        world.clock.advance(32 * 86_400)
        fresh = scene.person_token()
        counts = sweep(world.rt, EXPIRING, now=world.now)
        assert counts["issued_tokens"] == 1
        assert counts["grants"] == 1
        assert counts["authorization_codes"] == 1
        assert scene.introspect(fresh)["active"] is True
        assert scene.introspect(old) == {"active": False}
        with world.rt.database.read(scene.tenant.id) as session:
            assert session.query(IssuedToken).count() == 1


def test_checkpoints_follow_what_was_written(sqlite_url: str, tmp_path: Path) -> None:
    with open_world(sqlite_url, tmp_path) as world:
        scene = Scene(world)
        idle = Scene(world, slug="idle")
        checkpointer = Checkpointer(world.rt)
        scene.person_token()
        assert checkpointer.run(world.now) == 1
        assert checkpointer.run(world.now) == 0
        scene.person_token()
        with world.rt.database.core_write() as connection:
            record(
                connection,
                world.ctx,
                tenant_id=idle.tenant.id,
                event=AuditEvent.TENANT_CHANGED,
                writer_id=world.rt.writer_id,
            )
        assert checkpointer.run(world.now) == 2
        with world.rt.database.core_read() as connection:
            report = verify(connection, scene.tenant.id, signer=HmacSigner(world.rt.sealer))
        assert report.ok
        assert report.checkpoints == 2


def test_the_jobs_of_a_process_start_and_stop(sqlite_url: str, tmp_path: Path) -> None:
    with open_world(sqlite_url, tmp_path) as world:
        jobs = housekeeping(world.rt, CONNECTORS)
        for job in jobs:
            job.start()
        for job in jobs:
            job.stop()

"""A world in a migrated database at the machine's time, for brokers that run as processes of their own."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from broker.app import import_models
from broker.kernel import schema
from broker.kernel.runtime import Runtime
from tests.builders.world import NOW, World, open_world


@contextmanager
def open_served_world(database_url: str, data_dir: Path, port: int) -> Iterator[World]:
    """Yield a world whose issuers are on ``port``; serve it with ``data_dir / "data"`` as the data folder."""
    import_models()
    public_url = f"http://127.0.0.1:{port}"
    with open_world(database_url, data_dir, make=_migrate, public_url=public_url) as world:
        world.clock.advance(int(time.time()) - NOW)
        yield world


def _migrate(rt: Runtime) -> None:
    schema.upgrade(rt.database)

"""A tenant whose provider pushes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.provisioning import Provider
from tests.builders.world import open_world


@pytest.fixture
def pusher(database_url: str, tmp_path: Path) -> Iterator[Provider]:
    """The provider of connection ``okta`` of tenant ``acme``, on every database under test."""
    with open_world(database_url, tmp_path) as world:
        acme = world.tenant()
        yield Provider(world, acme, world.connection(acme, "okta"))

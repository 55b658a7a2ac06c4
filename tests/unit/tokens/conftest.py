"""The scene that tokens are tried in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.minting import Mint
from tests.builders.world import open_world


@pytest.fixture
def mint(database_url: str, tmp_path: Path) -> Iterator[Mint]:
    """A tenant in which tokens can be minted, on every database under test."""
    with open_world(database_url, tmp_path) as world:
        yield Mint(world)

"""The scene that journeys play in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.oauth import Scene
from tests.builders.office import Office, open_office
from tests.builders.onboarding import OnboardingDesk
from tests.builders.published_clients import ProviderAndClients
from tests.builders.site import Site, open_site
from tests.builders.world import open_world


@pytest.fixture
def scene(database_url: str, tmp_path: Path) -> Iterator[Scene]:
    """A tenant that is ready to issue tokens, on every database under test."""
    with open_world(database_url, tmp_path) as world:
        yield Scene(world)


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    """The broker's pages over HTTP, on every database under test."""
    with open_site(database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def office(database_url: str, tmp_path: Path) -> Iterator[Office]:
    """The pages of administrators and employees, on every database under test."""
    with open_office(database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[OnboardingDesk]:
    """A tenant whose clients introduce themselves, on every database under test."""
    op = ProviderAndClients()
    with open_site(database_url, tmp_path, op=op) as opened:
        yield OnboardingDesk(opened, op)

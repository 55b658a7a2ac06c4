"""Debian's Chromium without a window, driven by playwright against the demo world on loopback."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from broker.demo.world import World, running_world
from tests.browser.gallery import Gallery
from tests.browser.visitor import Visitor, visiting
from tests.builders.requirements import require_chosen, require_program

# Without the network flags, Chromium calls its maker at every start.
LAUNCH_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The system's Chromium with a new, empty profile.

    One a module: while playwright runs, no other test of the process can start an event loop.
    """
    require_chosen("chromium")
    program = require_program("chromium", "chromium", "chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, headless=True, args=list(LAUNCH_OPTIONS), timeout=60_000
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def world(chromium: Browser) -> Iterator[World]:
    """One demo world for a module's tests."""
    with running_world() as running:
        yield running


@pytest.fixture
def new_world(chromium: Browser) -> Iterator[World]:
    """A demo world of the test's own, where nothing has happened yet."""
    with running_world() as running:
        yield running


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[Visitor]:
    """A person's browser; leaving it without an error means that it met no fault."""
    with visiting(chromium) as one:
        yield one


@pytest.fixture
def gallery(visitor: Visitor) -> Iterator[Gallery]:
    """The pictures of the visitor's pages; nothing may be wrong with any."""
    pictures = Gallery(visitor)
    yield pictures
    assert not pictures.problems, "\n".join(pictures.problems)

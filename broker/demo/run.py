"""What `broker demo` does: serve the world until interrupted, or walk through it without a person."""

import os
import sys
import threading
import webbrowser
from collections.abc import Callable

from broker.demo.journey import run_journey
from broker.demo.world import ANY_PORTS, FIXED_PORTS, Ports, World, running_world
from broker.kernel.logs import configure_logs

_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


def run(*, headless: bool, ports: Ports | None = None, tell: Callable[[str], None] = print) -> int:
    """Run the demo and return the exit code: 0 when all went as it must, 1 when a headless step did not.

    Headless, every server takes a free port, so that several runs do not disturb each other.
    """
    configure_logs("error")
    with running_world(ports or (ANY_PORTS if headless else FIXED_PORTS)) as world:
        if headless:
            return 0 if run_journey(world, tell) else 1
        for line in _welcome(world):
            tell(line)
        if _has_desktop():
            webbrowser.open_new_tab(world.console_url)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            tell("The demo ends; its keys and its database are gone.")
        return 0


def _has_desktop() -> bool:
    """Whether a browser would open a window; without one, a text browser would take over the terminal."""
    return sys.platform in {"darwin", "win32"} or any(os.environ.get(name) for name in _DISPLAYS)


def _welcome(world: World) -> list[str]:
    return [
        "The demo runs on this machine only, with throw-away keys. Stop it with Ctrl-C.",
        "",
        f"  Start here       {world.console_url}/",
        f"  Administration   {world.setup_link}",
        "                   (works once; or sign in as Inês Carvalho)",
        f"  MCP server       {world.story.planner.resource}",
        "",
    ]

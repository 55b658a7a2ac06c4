"""What `broker demo` does: serve the world until interrupted, or walk through it without a person."""

import threading
from collections.abc import Callable

from broker.demo.journey import run_journey
from broker.demo.world import ANY_PORTS, FIXED_PORTS, Ports, World, running_world
from broker.kernel.logs import configure_logs


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
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            tell("The demo ends; its keys and its database are gone.")
        return 0


def _welcome(world: World) -> list[str]:
    return [
        "The demo runs on this machine only, with throw-away keys. Stop it with Ctrl-C.",
        "",
        f"  Start here       {world.console_url}/",
        f"  Administration   {world.setup_link}",
        "                   (works once; or sign in as Inês Carvalho)",
        f"  MCP server       {world.story.planner.mcp_url}",
        "",
    ]

"""`broker demo`: the demo world, imported only when it is asked for."""

import click

from broker.cli.faults import Fault


@click.command()
@click.option(
    "--headless", is_flag=True, help="Walk through the whole journey without a person and print it."
)
def demo(headless: bool) -> None:
    """Run three identity providers, an MCP server, two agents and the broker, on this machine only.

    \b
    Examples:
      broker demo
      broker demo --headless
    """
    try:
        from broker.demo.run import run
    except ModuleNotFoundError as fault:
        raise Fault(f"the demo needs {fault.name}: pip install 'agent-sso-broker[demo]'") from None
    raise SystemExit(run(headless=headless))

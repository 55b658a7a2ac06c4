"""`broker doctor mcp`: what keeps clients from getting into an MCP server, and whose move it is."""

import click

SIGNS = {"good": ("ok", "green"), "bad": ("no", "red"), "note": ("--", "yellow"), "skipped": ("..", None)}
TIMEOUT_SECONDS = 10


@click.group()
def doctor() -> None:
    """Look at a deployment from the outside and say what is wrong."""


@doctor.command()
@click.argument("url")
def mcp(url: str) -> None:
    """Go through what a client does at the MCP server or API at URL, and say where it would get stuck.

    Exits with 1 when a client cannot get in.

    \b
    Example:
      broker doctor mcp https://tickets.example/mcp
    """
    import httpx2

    from broker.agent_client.doctor import examine
    from broker.cli.faults import Fault

    if not url.startswith(("https://", "http://")):
        raise Fault(f"{url} is no web address")
    bad = 0
    with httpx2.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False) as http:
        for finding in examine(http, url):
            sign, colour = SIGNS[finding.state]
            click.echo(f"{click.style(sign, fg=colour)}  {finding.check}: {finding.seen}")
            if finding.advice:
                click.echo(f"    {finding.advice}")
            bad += finding.state == "bad"
    if bad:
        raise Fault(f"{bad} of the checks failed")

"""The `broker` command itself: its sub-commands are imported when they are run, so that help is quick."""

import gc
import importlib
from typing import Any

import click

COMMANDS = {
    "serve": ("broker.cli.serve:serve", "Serve the broker; brings the database up to date first."),
    "demo": ("broker.cli.demo:demo", "Run the demo world on this machine, with throw-away keys."),
    "apply": ("broker.cli.apply:apply", "Bring tenants and everything in them to a declared state."),
    "admin-link": (
        "broker.cli.admin_link:admin_link",
        "Print a one-time link into a tenant's administration.",
    ),
    "audit": ("broker.cli.audit:audit", "Verify the event log."),
    "config": ("broker.cli.config:config", "Look at the settings in effect."),
    "db": ("broker.cli.db:db", "Bring the database schema up to date, or look at it."),
    "client": (
        "broker.cli.client:client",
        "Make or end the tokens with which clients register themselves.",
    ),
    "directory": (
        "broker.cli.directory:directory",
        "Read an LDAP directory from end to end: who is gone, who is in which group.",
    ),
    "doctor": ("broker.cli.doctor:doctor", "Look at an MCP server as a client would; say what is wrong."),
    "key": ("broker.cli.key:key", "Rotate a tenant's signing keys."),
    "scim": (
        "broker.cli.scim:scim",
        "Make or end the tokens with which a provider pushes people and groups.",
    ),
}
"""Every sub-command: where it is, and what its one line of help says."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        gc.enable()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of ``args``; a misspelt one is answered with the likely one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            from broker.tenants.spelling import did_you_mean

            hint = did_you_mean(args[0], COMMANDS)
            raise click.UsageError(f"there is no command {args[0]!r}{hint}", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a refusal becomes one line on standard error and an exit code."""
        # What imports make stays; looking for garbage among it is an eighth of a start.
        gc.disable()
        from broker.cli.faults import told_plainly

        with told_plainly():
            return super().invoke(ctx)


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="agent-sso-broker", prog_name="broker")
def main() -> None:
    """One corporate sign-in becomes a short-lived, narrowed, revocable token for the agent that acts.

    Settings come from BROKER_* environment variables and from the YAML file that BROKER_CONFIG names.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 denied.
    """

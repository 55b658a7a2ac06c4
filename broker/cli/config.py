"""`broker config check`: the settings in effect, secrets masked."""

import json
from typing import Any

import click

from broker.kernel.settings import Settings, load_settings

MASK = "********"


@click.group()
def config() -> None:
    """Look at the settings in effect."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print the settings as JSON.")
def check(as_json: bool) -> None:
    """Check the settings and print them with their defaults; secrets are masked.

    \b
    Example:
      BROKER_CONFIG=broker.yaml broker config check
    """
    values = effective(load_settings())
    if as_json:
        click.echo(json.dumps(values, indent=2))
        return
    width = max(map(len, values))
    for name, value in values.items():
        click.echo(f"{name:<{width}}  {'' if value is None else value}".rstrip())


def effective(settings: Settings) -> dict[str, Any]:
    """Return the settings as plain values; whatever could hold a secret is masked."""
    from sqlalchemy.engine import make_url

    values: dict[str, Any] = json.loads(settings.model_dump_json())
    # A database's address may hold its password; SQLAlchemy shows it as three stars.
    values["database_url"] = make_url(settings.resolved_database_url).render_as_string(hide_password=True)
    return {name: MASK if value and _is_secret(name) else value for name, value in values.items()}


def _is_secret(name: str) -> bool:
    return "SecretStr" in str(Settings.model_fields[name].annotation)

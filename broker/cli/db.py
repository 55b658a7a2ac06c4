"""`broker db`: the schema brought up to date, compared with the code, or named."""

import json

import click

from broker.cli.faults import FAILED


@click.group()
def db() -> None:
    """Bring the database schema up to date, or look at it."""


@db.command()
def upgrade() -> None:
    """Bring the schema to what this broker needs. Safe to repeat and to run on several machines at once."""
    from broker.cli.opening import opened_runtime
    from broker.kernel import schema

    with opened_runtime(needs_schema=False) as rt:
        changed = schema.upgrade(rt.database)
    click.echo(f"{'brought to' if changed else 'already at'} revision {schema.HEAD}")


@db.command()
def current() -> None:
    """Print the revision of the database. Exits with 1 when it is not the one that this broker needs."""
    from broker.cli.opening import opened_runtime
    from broker.kernel import schema

    with opened_runtime(needs_schema=False) as rt:
        revision = schema.current_revision(rt.database)
    click.echo(revision or "empty")
    if revision != schema.HEAD:
        click.echo(f"this broker needs revision {schema.HEAD}: broker db upgrade", err=True)
        raise SystemExit(FAILED)


@db.command()
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
def check(as_json: bool) -> None:
    """Compare the database with what the code expects. Exits with 1 when they differ."""
    from broker.app import import_models
    from broker.cli.opening import opened_runtime
    from broker.kernel import schema

    import_models()
    with opened_runtime() as rt:
        differences = [str(one) for one in schema.check(rt.database)]
    if as_json:
        click.echo(json.dumps(differences, indent=2))
    else:
        click.echo("\n".join(differences) or f"as expected, revision {schema.HEAD}")
    if differences:
        raise SystemExit(FAILED)

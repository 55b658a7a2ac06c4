"""`broker apply FILE`: a declaration is checked whole, then written in one transaction."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from broker.cli.faults import Fault

if TYPE_CHECKING:
    from broker.agents.declare.apply import Applied


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--dry-run", is_flag=True, help="Say what would change and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the changes as JSON.")
def apply(file: Path, dry_run: bool, as_json: bool) -> None:
    """Bring tenants, connections, roles, resources, agents and clients to the state that FILE declares.

    What FILE does not name is left alone: nothing is deleted, and nothing that was switched off is
    switched on. Applying the same file again changes nothing. Secrets are written as {env: NAME} or
    {file: PATH}, a path being relative to FILE. A dash reads the standard input.

    \b
    Examples:
      broker apply acme.yaml --dry-run
      broker apply acme.yaml
    """
    from broker.agents.declare import Offer, apply_document, parse_document
    from broker.cli.opening import OPERATOR, named_tenant, opened_runtime, operator_context
    from broker.oauth.grants import GRANTS
    from broker.tokens.key_rotation import publish_missing_keys
    from broker.tokens.keys import create_first_keys
    from idp_connectors.presets import PRESETS
    from idp_connectors.registry import CONNECTORS

    document = parse_document(_read(file))
    with opened_runtime(makes_schema=True) as rt:
        ctx = operator_context(rt)
        applied = apply_document(
            rt,
            document,
            Offer(CONNECTORS, frozenset(GRANTS), PRESETS),
            ctx,
            on_new_tenant=partial(create_first_keys, rt=rt, now=ctx.now),
            actor=OPERATOR,
            folder=Path() if str(file) == "-" else file.parent,
            dry_run=dry_run,
        )
        if not dry_run:
            for one in applied:
                # An algorithm that the declaration is the first to want gets its key published now.
                publish_missing_keys(rt, named_tenant(rt, one.tenant), ctx=ctx, actor=OPERATOR)
    if as_json:
        click.echo(_as_json(applied, dry_run))
    else:
        _print(applied, dry_run)


def _read(file: Path) -> str:
    try:
        with click.open_file(str(file), encoding="utf-8") as stream:
            return str(stream.read())
    except (OSError, UnicodeError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else "it is not UTF-8"
        raise Fault(f"{file} cannot be read: {why}") from None


def _print(applied: "Sequence[Applied]", dry_run: bool) -> None:
    total = 0
    for one in applied:
        for change in one.changes:
            click.echo(f"{one.tenant}: {change}")
            total += 1
    click.echo(
        f"{total} change{'' if total == 1 else 's'}{' (dry run, nothing was written)' if dry_run else ''}"
    )


def _as_json(applied: "Sequence[Applied]", dry_run: bool) -> str:
    changes = [
        {
            "tenant": one.tenant,
            "action": change.action,
            "noun": change.noun,
            "name": change.name,
            "fields": list(change.fields),
        }
        for one in applied
        for change in one.changes
    ]
    return json.dumps({"dry_run": dry_run, "changes": changes}, indent=2)

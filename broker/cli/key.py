"""`broker key rotate TENANT`: a new key signs, the old one is published until its last token is over."""

import click


@click.group()
def key() -> None:
    """Rotate a tenant's signing keys."""


@key.command()
@click.argument("tenant")
@click.option(
    "--use",
    type=click.Choice(["access", "id", "all"]),
    default="all",
    show_default=True,
    help="Which key: for access tokens, for ID tokens, or both.",
)
def rotate(tenant: str, use: str) -> None:
    """Make a new signing key for TENANT. Tokens that the former key signed stay valid until they expire.

    \b
    Example:
      broker key rotate acme
    """
    from broker.audit.events import AuditEvent
    from broker.audit.log import record
    from broker.cli.opening import OPERATOR, named_tenant, opened_runtime, operator_context
    from broker.tokens.keys import rotate_key

    uses = ("access", "id") if use == "all" else (use,)
    with opened_runtime() as rt:
        found = named_tenant(rt, tenant)
        ctx = operator_context(rt)
        made: dict[str, str] = {}
        with rt.database.core_write() as connection:
            for one in uses:
                made[one] = rotate_key(connection, rt, found.id, one, now=ctx.now)
                record(
                    connection,
                    ctx,
                    tenant_id=found.id,
                    event=AuditEvent.KEY_ROTATED,
                    writer_id=rt.writer_id,
                    actor=OPERATOR,
                    target_id=made[one],
                    data={"use": one},
                )
    for one, kid in made.items():
        click.echo(f"{one} {kid}")

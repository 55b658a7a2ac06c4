"""`broker key rotate TENANT` and `broker key saml TENANT CONNECTION STEP`: keys change with an overlap."""

import click


@click.group()
def key() -> None:
    """Change the keys that a tenant signs and decrypts with."""


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


@key.command()
@click.argument("tenant")
@click.argument("connection")
@click.argument("step", type=click.Choice(["publish", "use", "drop"]))
@click.option("--now", "at_once", is_flag=True, help="With use: the provider has the certificate already.")
def saml(tenant: str, connection: str, step: str, at_once: bool) -> None:
    """Change our keys towards the SAML provider of CONNECTION, one STEP at a time.

    \b
    publish  put the next certificates into our metadata, beside those in use
    use      sign with the next key, a day later at the earliest; the former one still decrypts
    drop     delete the former keys

    \b
    Example:
      broker key saml acme okta publish
    """
    from broker.audit.events import AuditEvent
    from broker.audit.log import record
    from broker.cli.opening import OPERATOR, named_tenant, opened_runtime, operator_context
    from broker.federation.service_keys import drop_former_keys, publish_next_keys, use_next_keys

    with opened_runtime() as rt:
        found = named_tenant(rt, tenant)
        here = found.find_connection(connection)
        if here is None or here.kind != "saml":
            raise click.ClickException(f"{tenant} has no SAML connection {connection!r}")
        ctx = operator_context(rt)
        with rt.database.core_write() as core:
            if step == "publish":
                count = publish_next_keys(core, rt, found.id, here.id, ctx.now)
            elif step == "use":
                count = use_next_keys(core, found.id, here.id, ctx.now, before_overlap=at_once)
            else:
                count = drop_former_keys(core, found.id, here.id)
            record(
                core,
                ctx,
                tenant_id=found.id,
                event=AuditEvent.CONNECTION_KEYS_CHANGED,
                writer_id=rt.writer_id,
                actor=OPERATOR,
                target_id=here.id,
                reason=step,
                data={"number": count, "at_once": at_once},
            )
    click.echo(f"{step} {count}")

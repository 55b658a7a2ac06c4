"""`broker key rotate|list|revoke` for what a tenant signs with, `broker key saml` for a provider's side."""

import click

ALGORITHMS = ("ES256", "EdDSA", "PS256", "RS256")


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
@click.option("--algorithm", type=click.Choice(ALGORITHMS), help="For this key; else what the tenant wants.")
@click.option("--now", "at_once", is_flag=True, help="Sign at once: verifiers may refuse the first tokens.")
def rotate(tenant: str, use: str, algorithm: str | None, at_once: bool) -> None:
    """Publish the next signing key of TENANT. It signs once every copy of the key set may have it.

    Tokens that the former key signed stay valid until they expire. A serving broker does the rest.

    \b
    Example:
      broker key rotate acme
    """
    from broker.cli.opening import OPERATOR, named_tenant, opened_runtime, operator_context
    from broker.tokens.key_rotation import rotate_key

    with opened_runtime() as rt:
        found = named_tenant(rt, tenant)
        ctx = operator_context(rt)
        for one in ("access", "id") if use == "all" else (use,):
            for kid in rotate_key(
                rt, found, one, ctx=ctx, actor=OPERATOR, algorithm=algorithm or "", at_once=at_once
            ):
                click.echo(f"{one} {kid}")


@key.command("list")
@click.argument("tenant")
def list_keys(tenant: str) -> None:
    """List the signing keys of TENANT: use, id, algorithm, state, and when somebody looks at it next.

    \b
    Example:
      broker key list acme
    """
    from broker.cli.opening import named_tenant, opened_runtime
    from broker.tokens.key_schedule import read_schedule
    from broker.web.formatting import absolute_time

    with opened_runtime() as rt:
        found = named_tenant(rt, tenant)
        for one in read_schedule(rt, found):
            ends = absolute_time(one.ends_at) if one.ends_at else "by hand"
            click.echo(f"{one.use} {one.kid} {one.algorithm} {one.state} until {ends}")


@key.command()
@click.argument("tenant")
@click.argument("kid")
def revoke(tenant: str, kid: str) -> None:
    """End the signing key KID of TENANT at once: what it signed is refused from now on.

    For a key that somebody else may hold. Resources that verify offline refuse its tokens as soon as they
    read the key set again.

    \b
    Example:
      broker key revoke acme key_7mfqjz0x3w2yv5d8k1ha
    """
    from broker.audit.events import AuditEvent
    from broker.audit.log import record
    from broker.cli.opening import OPERATOR, named_tenant, opened_runtime, operator_context
    from broker.tokens.key_rotation import revoke_key

    with opened_runtime() as rt:
        found = named_tenant(rt, tenant)
        ctx = operator_context(rt)
        with rt.database.core_write() as connection:
            if not revoke_key(connection, rt, found.id, kid, now=ctx.now):
                raise click.ClickException(f"{tenant} has no key {kid!r} that could be revoked")
            record(
                connection,
                ctx,
                tenant_id=found.id,
                event=AuditEvent.KEY_REVOKED,
                writer_id=rt.writer_id,
                actor=OPERATOR,
                target_id=kid,
            )
    click.echo(f"revoked {kid}")


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

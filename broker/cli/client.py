"""`broker client …`: the tokens with which clients register themselves (RFC 7591 §3)."""

from typing import TYPE_CHECKING

import click

from broker.cli.faults import NotFound

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from broker.audit.events import AuditEvent
    from broker.kernel.context import CallContext
    from broker.kernel.runtime import Runtime
    from broker.tenants.snapshot import TenantSnapshot


@click.group()
def client() -> None:
    """Let clients register themselves."""


@client.command()
@click.argument("tenant")
@click.option("--name", default="", help="For whom it is, as lists show it; the date if not given.")
@click.option("--days", default=7, show_default=True, help="How long the token is good.")
@click.option("--uses", default=1, show_default=True, help="How many clients may register with it.")
@click.option("--revoke", metavar="TOKEN_ID", help="End that token at once; makes none.")
@click.option("--list", "is_list", is_flag=True, help="Show the tenant's tokens; makes none.")
def token(tenant: str, name: str, days: int, uses: int, revoke: str | None, is_list: bool) -> None:
    """Make an initial access token of TENANT and print it once; it cannot be shown again.

    \b
    Examples:
      broker client token acme --name "Build server" --uses 5
      broker client token acme --revoke iat_5m3n2k1j0h9g8f7e6d5c
    """
    from broker.cli.opening import named_tenant, opened_runtime, operator_context

    if revoke is not None and is_list:
        raise click.UsageError("--list and --revoke exclude each other")
    with opened_runtime() as rt:
        found, ctx = named_tenant(rt, tenant), operator_context(rt)
        if is_list:
            _show(rt, found, ctx.now)
        elif revoke is not None:
            _revoke(rt, found, revoke, ctx)
        else:
            _make(rt, found, name, days, uses, ctx)


def _make(
    rt: "Runtime", tenant: "TenantSnapshot", name: str, days: int, uses: int, ctx: "CallContext"
) -> None:
    from datetime import UTC, datetime

    from broker.agents.registration_tokens import make_token
    from broker.audit.events import AuditEvent

    today = datetime.fromtimestamp(ctx.now, UTC).date().isoformat()
    with rt.database.write(tenant.id) as session:
        view, secret = make_token(session, tenant.id, name=name or today, days=days, uses=uses, now=ctx.now)
        _record(session, rt, tenant, AuditEvent.REGISTRATION_TOKEN_CREATED, view.id, ctx)
    click.echo(secret)
    click.echo(f"Registration endpoint: {tenant.issuer}/register", err=True)
    click.echo(f"Token {view.id}, good for {days} day(s) and {uses} client(s). Not shown again.", err=True)
    if tenant.settings.onboarding.registration == "off":
        click.echo("The tenant's policy lets no client register; until then it opens nothing.", err=True)


def _revoke(rt: "Runtime", tenant: "TenantSnapshot", token_id: str, ctx: "CallContext") -> None:
    from broker.agents.registration_tokens import end_token, list_tokens
    from broker.audit.events import AuditEvent

    with rt.database.write(tenant.id) as session:
        if token_id not in {one.id for one in list_tokens(session, tenant.id)}:
            raise NotFound(f"{tenant.slug} has no token {token_id!r}")
        was_live = end_token(session, tenant.id, token_id, ctx.now)
        if was_live:
            _record(session, rt, tenant, AuditEvent.REGISTRATION_TOKEN_REVOKED, token_id, ctx)
    click.echo(f"{token_id} {'ended' if was_live else 'had ended before'}")


def _show(rt: "Runtime", tenant: "TenantSnapshot", now: int) -> None:
    from datetime import UTC, datetime

    from broker.agents.registration_tokens import list_tokens

    with rt.database.read(tenant.id) as session:
        tokens = list_tokens(session, tenant.id)
    for one in tokens:
        state = "live" if one.is_live(now) else "ended"
        until = datetime.fromtimestamp(one.expires_at, UTC).date().isoformat()
        click.echo(f"{one.id}  {state:<5}  {one.uses_left:>4} left  until {until}  {one.name}")


def _record(
    session: "Session",
    rt: "Runtime",
    tenant: "TenantSnapshot",
    event: "AuditEvent",
    token_id: str,
    ctx: "CallContext",
) -> None:
    from broker.audit.log import record
    from broker.cli.opening import OPERATOR

    record(
        session.connection(),
        ctx,
        tenant_id=tenant.id,
        event=event,
        writer_id=rt.writer_id,
        actor=OPERATOR,
        target_id=token_id,
    )

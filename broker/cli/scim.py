"""`broker scim …`: the tokens with which an identity provider pushes people and groups."""

from typing import TYPE_CHECKING

import click

from broker.cli.faults import Denied, NotFound

if TYPE_CHECKING:
    from broker.kernel.context import CallContext
    from broker.kernel.runtime import Runtime
    from broker.tenants.snapshot import ConnectionView, TenantSnapshot


@click.group()
def scim() -> None:
    """Let an identity provider push people and groups over SCIM."""


@scim.command()
@click.argument("tenant")
@click.argument("connection")
@click.option("--name", default="", help="What the token is called in lists; the date if not given.")
@click.option("--days", default=365, show_default=True, help="How long the token is good.")
@click.option("--read-only", is_flag=True, help="The token may look but not push.")
@click.option(
    "--match",
    "matching",
    type=click.Choice(["external_id", "manual"]),
    default="external_id",
    show_default=True,
    help="external_id: the provider's externalId is the subject that people sign in with.",
)
@click.option(
    "--replace",
    type=int,
    metavar="HOURS",
    help="Let the connection's other tokens end after HOURS (0: now), so that the provider can be changed.",
)
@click.option("--revoke", metavar="TOKEN_ID", help="End that token at once; makes none.")
@click.option("--list", "is_list", is_flag=True, help="Show the connection's tokens; makes none.")
def token(
    tenant: str,
    connection: str,
    name: str,
    days: int,
    read_only: bool,
    matching: str,
    replace: int | None,
    revoke: str | None,
    is_list: bool,
) -> None:
    """Make a token for CONNECTION of TENANT and print it once; it cannot be shown again.

    \b
    Examples:
      broker scim token acme okta
      broker scim token acme okta --replace 24
      broker scim token acme okta --revoke sct_5m3n2k1j0h9g8f7e6d5c
    """
    from broker.cli.opening import named_tenant, opened_runtime, operator_context

    if (revoke is not None) + is_list + (replace is not None) > 1:
        raise click.UsageError("--list, --revoke and --replace exclude each other")
    with opened_runtime() as rt:
        found = named_tenant(rt, tenant)
        chosen = found.find_connection(connection)
        if chosen is None:
            known = ", ".join(sorted(one.slug for one in found.connections.values())) or "none"
            raise NotFound(f"{tenant} has no connection {connection!r}; its connections: {known}")
        ctx = operator_context(rt)
        if is_list:
            _show(rt, ctx.now, found.id, chosen.id)
        elif revoke is not None:
            _revoke(rt, ctx, found, chosen.id, revoke)
        else:
            if not found.is_active or not chosen.is_active:
                raise Denied(f"{tenant} or its connection {connection!r} is disabled")
            scopes = {"scim:read"} if read_only else {"scim:read", "scim:write"}
            _issue(rt, ctx, found, chosen, name, days, scopes, matching, replace)


def _issue(
    rt: "Runtime",
    ctx: "CallContext",
    tenant: "TenantSnapshot",
    connection: "ConnectionView",
    name: str,
    days: int,
    scopes: set[str],
    matching: str,
    replace: int | None,
) -> None:
    from datetime import UTC, datetime

    from broker.cli.opening import OPERATOR
    from broker.scim.access import issue_token, replace_tokens

    today = datetime.fromtimestamp(ctx.now, UTC).date().isoformat()
    with rt.database.write(tenant.id) as session:
        made = issue_token(
            session,
            rt,
            ctx,
            tenant,
            connection,
            OPERATOR,
            name=name or today,
            days=days,
            scopes=scopes,
            matching=matching,
        )
        ended = 0
        if replace is not None:
            until = ctx.now + max(replace, 0) * 3_600
            ended = replace_tokens(
                session, rt, ctx, tenant, connection.id, OPERATOR, keep=made.view.id, until=until
            )
    click.echo(made.secret)
    click.echo(f"Base URL: {tenant.issuer}/scim/v2", err=True)
    click.echo(f"For Entra ID: {tenant.issuer}/scim/v2?aadOptscim062020", err=True)
    click.echo(f"Token {made.view.id}, good for {days} days. It is not shown again.", err=True)
    if replace is not None:
        click.echo(f"{ended} other token(s) end in {replace} hour(s).", err=True)


def _revoke(
    rt: "Runtime", ctx: "CallContext", tenant: "TenantSnapshot", connection_id: str, token_id: str
) -> None:
    from broker.cli.opening import OPERATOR
    from broker.scim.access import list_tokens, revoke_token

    with rt.database.write(tenant.id) as session:
        # Without this: a slip in the connection's name would end another connection's token.
        if token_id not in {one.id for one in list_tokens(session, tenant.id, connection_id)}:
            raise NotFound(f"that connection has no token {token_id!r}")
        was_live = revoke_token(session, rt, ctx, tenant, token_id, OPERATOR)
    click.echo(f"{token_id} {'ended' if was_live else 'had ended before'}")


def _show(rt: "Runtime", now: int, tenant_id: str, connection_id: str) -> None:
    from datetime import UTC, datetime

    from broker.scim.access import list_tokens

    with rt.database.read(tenant_id) as session:
        tokens = list_tokens(session, tenant_id, connection_id)
    for one in tokens:
        state = "revoked" if one.revoked_at else "live" if one.is_live(now) else "expired"
        until = datetime.fromtimestamp(one.expires_at, UTC).date().isoformat()
        click.echo(f"{one.id}  {state:8} until {until}  {' '.join(sorted(one.scopes))}  {one.name}")

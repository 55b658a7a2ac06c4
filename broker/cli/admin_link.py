"""`broker admin-link TENANT`: the way in when there is no administrator, or none who can sign in."""

import click

from broker.cli.faults import Denied


@click.command()
@click.argument("tenant")
def admin_link(tenant: str) -> None:
    """Print a link that lets whoever opens it first administer TENANT. It works once, for one hour.

    \b
    Example:
      broker admin-link acme
    """
    from broker.admin.setup_links import make_setup_link
    from broker.cli.opening import OPERATOR, named_tenant, opened_runtime, operator_context

    with opened_runtime() as rt:
        found = named_tenant(rt, tenant)
        if not found.is_active:
            raise Denied(f"the tenant {tenant!r} is disabled")
        link = make_setup_link(rt, operator_context(rt), found.id, found.slug, actor=OPERATOR)
    click.echo(link.url)
    click.echo("It works once, within an hour. Whoever has it administers the tenant.", err=True)

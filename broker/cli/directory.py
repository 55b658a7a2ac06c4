"""`broker directory …`: a connection's directory read from end to end, and what such a walk waits for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from broker.cli.faults import FAILED, Fault, NotFound

if TYPE_CHECKING:
    from broker.federation.directory_sync import SyncDesk, SyncStatus


@click.group()
def directory() -> None:
    """Read an LDAP directory from end to end, so that who is gone is switched off and groups are fresh."""


@directory.command()
@click.argument("tenant")
@click.argument("connection")
def sync(tenant: str, connection: str) -> None:
    """Begin a walk, or carry on one that was interrupted, and wait for its end.

    Exits with 1 when the directory fails, or when more than one person in twenty would be switched off and
    nobody confirmed that yet. To run it again is safe at any time.

    \b
    Example:
      broker directory sync acme corp
    """
    from broker.federation.directory_sync import continue_sync, start_sync, sync_status

    with _desk(tenant, connection) as desk:
        ids = (desk.tenant.id, desk.connection.id)
        found = sync_status(desk.rt, *ids)
        if found is None or found.state in ("done", "cancelled"):
            start_sync(desk)

        def tell() -> None:
            now = sync_status(desk.rt, *ids)
            if now is not None:
                click.echo(_progress(now), err=True)

        did_walk = continue_sync(
            desk.rt, desk.connectors, desk.tenant, desk.connection, on_step=_seldom(tell)
        )
        last = sync_status(desk.rt, *ids)
    if last is None:
        raise Fault("there is no walk")
    _print(last)
    if not did_walk and last.state == "running":
        raise Fault("another process is walking this directory")
    if last.state != "done":
        raise SystemExit(FAILED)


@directory.command()
@click.argument("tenant")
@click.argument("connection")
def status(tenant: str, connection: str) -> None:
    """Say how far the last walk is, and what it waits for."""
    from broker.federation.directory_sync import sync_status

    with _desk(tenant, connection) as desk:
        found = sync_status(desk.rt, desk.tenant.id, desk.connection.id)
    if found is None:
        raise NotFound(f"the directory of {connection!r} was never walked")
    _print(found)


@directory.command()
@click.argument("tenant")
@click.argument("connection")
def confirm(tenant: str, connection: str) -> None:
    """Let a walk that waits switch off as many people as it found missing; `sync` then carries it on."""
    from broker.federation.directory_sync import confirm_sync

    with _desk(tenant, connection) as desk:
        confirm_sync(desk)
    click.echo("confirmed; carry it on: broker directory sync")


@directory.command()
@click.argument("tenant")
@click.argument("connection")
def cancel(tenant: str, connection: str) -> None:
    """End a walk that runs or waits; whom it has switched off stays so."""
    from broker.federation.directory_sync import cancel_sync

    with _desk(tenant, connection) as desk:
        cancel_sync(desk)
    click.echo("cancelled")


@contextmanager
def _desk(tenant: str, connection: str) -> "Iterator[SyncDesk]":
    from broker.cli.opening import OPERATOR, named_tenant, opened_runtime, operator_context
    from broker.federation.directory_sync import SyncDesk
    from idp_connectors.registry import CONNECTORS

    with opened_runtime() as rt:
        found = named_tenant(rt, tenant)
        chosen = found.find_connection(connection)
        if chosen is None:
            known = ", ".join(sorted(one.slug for one in found.connections.values())) or "none"
            raise NotFound(f"{tenant} has no connection {connection!r}; its connections: {known}")
        yield SyncDesk(rt, CONNECTORS, found, chosen, operator_context(rt), OPERATOR)


def _seldom(tell: Callable[[], None]) -> Callable[[], None]:
    """Call ``tell`` at most once in two seconds: steps are many and short."""
    import time

    told_at = [0.0]

    def maybe() -> None:
        if time.monotonic() >= told_at[0] + 2:
            told_at[0] = time.monotonic()
            tell()

    return maybe


def _progress(found: "SyncStatus") -> str:
    return f"{found.phase}: {found.people} people, {found.groups} groups, {found.parts_left} parts left"


def _print(found: "SyncStatus") -> None:
    click.echo(f"{found.state}: {found.people} people, {found.groups} groups")
    if found.state == "waiting":
        click.echo(
            f"{found.leaving} of {found.known} people would be switched off. If that is right: "
            "broker directory confirm; if not: broker directory cancel."
        )
    elif found.state == "running":
        click.echo(_progress(found))
    if found.problem:
        click.echo(f"last problem: {found.problem}")

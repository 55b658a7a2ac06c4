"""`broker serve`: the database brought up to date, a way in for administrators, then granian."""

import ctypes
import gc
import socket

import click

from broker.cli.faults import Fault
from broker.kernel.settings import Settings, load_settings

REQUESTS_A_THREAD = 4
"""How many requests may wait for each thread; the rest waits in the backlog, where a proxy sees it."""

HEADER_MILLISECONDS = 10_000
STOP_SECONDS = 30
M_ARENA_MAX = -8
"""The name of the limit in malloc.h of the GNU C library."""

ARENAS = 2


@click.command()
def serve() -> None:
    """Serve the broker until it is told to stop.

    Brings the database up to date first. Where there is no tenant yet, one called `default` is made. For
    each tenant into which no administrator ever came, a link is printed that works once, for one hour.

    \b
    Examples:
      BROKER_PROFILE=development broker serve
      BROKER_PUBLIC_URL=https://sso.example.com BROKER_WORKERS=4 broker serve
    """
    # Until the application is there, as while commands are imported: `broker.wsgi` looks again.
    gc.disable()
    settings = load_settings()
    if settings.is_development:
        click.echo(
            "DEVELOPMENT PROFILE: http and calls to loopback are allowed. Not for real people.", err=True
        )
    _check_port(settings)
    prepare()
    click.echo(f"Serving {settings.public_url} on {settings.host}:{settings.port}", err=True)
    _run_server(settings)


def prepare() -> None:
    """Bring the database up to date and print what an operator needs at a first start."""
    from broker.cli.first_start import make_first_tenant, make_missing_links
    from broker.cli.opening import opened_runtime, operator_context
    from broker.kernel import schema

    with opened_runtime(needs_schema=False) as rt:
        if schema.upgrade(rt.database):
            click.echo(f"Database brought to revision {schema.HEAD}.", err=True)
        ctx = operator_context(rt)
        made = make_first_tenant(rt, ctx)
        if made:
            click.echo(f"Made the tenant {made!r} to begin with.", err=True)
        for link in make_missing_links(rt, ctx):
            click.echo(f"Administration of {link.tenant!r}, works once within an hour: {link.url}", err=True)


def _check_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as fault:
            raise Fault(f"cannot listen on {settings.host}:{settings.port}: {fault.strerror}") from None


def _limit_arenas() -> None:
    """Have all threads of the workers share two heaps: with one for each, a worker grows by a fifth.

    What `MALLOC_ARENA_MAX` says at the start of a process; workers are forked and take it over. A C
    library without the call keeps its own way.
    """
    limit = getattr(ctypes.CDLL(None), "mallopt", None)
    if limit is not None:
        limit(M_ARENA_MAX, ARENAS)


def _run_server(settings: Settings) -> None:
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings

    _limit_arenas()
    Granian(
        "broker.wsgi:app",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.workers,
        blocking_threads=settings.threads,
        backpressure=settings.threads * REQUESTS_A_THREAD,
        backlog=1024,
        http=HTTPModes.http1,
        websockets=False,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_MILLISECONDS),
        # Query strings of redirects carry codes; the broker's own log is redacted.
        log_access=False,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
    ).serve()

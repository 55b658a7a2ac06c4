"""Opening the broker's database for one command, and the tenant that a command names."""

from collections.abc import Iterator
from contextlib import contextmanager

from broker.audit.log import ActorRef
from broker.cli.faults import Fault, NotFound
from broker.kernel import schema
from broker.kernel.context import CallContext
from broker.kernel.ids import new_id
from broker.kernel.runtime import Runtime, open_runtime
from broker.kernel.settings import load_settings
from broker.tenants.snapshot import TenantSnapshot, find_tenant

OPERATOR = ActorRef("operator", "command line")
"""Whoever has the machine's shell; the operating system knows who that is."""


@contextmanager
def opened_runtime(*, makes_schema: bool = False, needs_schema: bool = True) -> Iterator[Runtime]:
    """Yield a runtime on the configured database and close it again.

    An empty database gets its schema with ``makes_schema``. Raises ``Fault`` when the schema is not the
    one that this code knows, unless the command does not need it.
    """
    rt = open_runtime(load_settings())
    try:
        if needs_schema:
            _check_schema(rt, makes_schema)
        yield rt
    finally:
        rt.egress.close()
        rt.database.close()


def operator_context(rt: Runtime) -> CallContext:
    """Return the context of a call from the command line."""
    return CallContext(now=rt.clock.now(), request_id=new_id("req"))


def named_tenant(rt: Runtime, slug: str) -> TenantSnapshot:
    """Return the tenant of that slug in whatever state; raises ``Fault``."""
    tenant = find_tenant(rt, slug)
    if tenant is None:
        raise NotFound(f"there is no tenant {slug!r}")
    return tenant


def _check_schema(rt: Runtime, makes_schema: bool) -> None:
    revision = schema.current_revision(rt.database)
    if revision is None and makes_schema:
        schema.upgrade(rt.database)
    elif revision is None:
        raise Fault("the database is empty; `broker serve` or `broker db upgrade` makes it")
    elif revision != schema.HEAD:
        raise Fault(
            f"the database is at revision {revision}, this broker needs {schema.HEAD}: broker db upgrade"
        )

"""One step of a sign-in: where it runs, through which connection, and what the connector gets for it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from broker.federation.addresses import POSTED_ANSWERS
from broker.federation.deps import connector_deps
from broker.federation.flows import is_flow_of_test
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.runtime import Runtime
from broker.tenants.connections import open_secrets
from broker.tenants.snapshot import ConnectionView, TenantSnapshot
from idp_connectors.base import Cache, Connector, Deps, secret_fields


@dataclass(frozen=True, slots=True)
class Signing:
    """One sign-in step at hand: where it runs, through which connection, for which call.

    With a ``cache`` of its own, nothing is taken from what the provider published before.
    """

    rt: Runtime
    tenant: TenantSnapshot
    connection: ConnectionView
    connector: Connector
    connectors: Mapping[str, Connector]
    ctx: CallContext
    cache: Cache | None = None


def open_signing(
    rt: Runtime,
    connectors: Mapping[str, Connector],
    tenant: TenantSnapshot,
    slug: str,
    ctx: CallContext,
    *,
    kind: str = "",
    is_posted: bool | None = None,
    handle: str = "",
    may_be_off: bool = False,
) -> Signing:
    """Return the step for the tenant's active connection ``slug``, or with ``may_be_off`` for any.

    An address that names a ``kind``, or that takes answers in one way only, must be the connection's own.
    The flow of a ``handle`` may be a connection test, which needs no active connection. Raises ``Refusal``:
    ``not_found`` for an unknown one, ``sign_in_refused`` (connection_disabled).
    """
    connection = tenant.find_connection(slug)
    connector = connectors.get(connection.kind) if connection else None
    is_elsewhere = is_posted is not None and is_posted != (kind in POSTED_ANSWERS)
    if connection is None or connector is None or kind not in {"", connection.kind} or is_elsewhere:
        raise Refusal(
            ErrorCode.NOT_FOUND,
            "This organization has no such sign-in.",
            reason="unknown_connection",
            whose_move=WhoseMove.YOU,
        )
    # Without this: a connection that was switched off could still be used through a kept address.
    if not (may_be_off or connection.is_active or is_flow_of_test(rt, tenant.id, handle)):
        raise Refusal(
            ErrorCode.SIGN_IN_REFUSED,
            "Signing in this way is switched off.",
            reason="connection_disabled",
            whose_move=WhoseMove.ADMIN,
        )
    return Signing(rt, tenant, connection, connector, connectors, ctx)


def secrets_of(step: Signing) -> dict[str, str]:
    """Return the connection's secrets, opened for this step; raises ``SealBroken``."""
    if not secret_fields(step.connector.config_model):
        return {}
    with step.rt.database.core_read() as core:
        return open_secrets(step.rt, core, step.tenant.id, step.connection.id)


def deps_of(step: Signing) -> Deps:
    """Return what the connector of this step gets from the broker."""
    deps = connector_deps(step.rt, step.tenant.id, step.ctx.now, connection_id=step.connection.id)
    return deps if step.cache is None else replace(deps, cache=step.cache)

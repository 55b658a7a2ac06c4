"""Signing somebody out at their identity provider, after they signed out here.

It comes second and is never waited for: what ended here has ended, whatever the provider does. What the
provider needs to know of the sign-in, an ID token among it, lies sealed in the session's row until then.
"""

from collections.abc import Mapping

import orjson

from broker.federation.addresses import addresses_of
from broker.federation.flows import start_flow, take_flow
from broker.federation.steps import Signing, deps_of, open_signing
from broker.federation.upstream_sign_out import find_logout, message_refused
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.ids import new_secret
from broker.kernel.runtime import Runtime
from broker.kernel.sealing import SealBroken
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.sessions import BrowserSessionView, open_upstream
from idp_connectors.base import Connector, ConnectorError, SignOutMessage, SignOutRequest

_FLOW = "sign-out:"
"""Stands before the handles of sign-outs. Without it: one could be completed as a sign-in, or the reverse."""


def offer(
    rt: Runtime,
    connectors: Mapping[str, Connector],
    tenant: TenantSnapshot,
    session: BrowserSessionView,
    ctx: CallContext,
    *,
    browser_secret: str,
) -> str:
    """Return the address at which this person can sign out at their provider too, or an empty string.

    To be asked before the session ends, because its end erases what the provider needs.
    """
    connection = tenant.connections.get(session.connection_id or "")
    if connection is None:
        return ""
    handle = new_secret()
    try:
        step = open_signing(rt, connectors, tenant, connection.slug, ctx)
        addresses = addresses_of(tenant, connection)
        request = SignOutRequest(
            return_url=addresses.signed_out_url,
            flow_id=handle,
            upstream=orjson.loads(open_upstream(rt, tenant.id, session.id) or b"{}"),
            entity_id=addresses.entity_id,
        )
        begun = find_logout(step).begin_sign_out(request, deps_of(step))
        if begun is None:
            return ""
        _keep(step, handle, begun.private, browser_secret)
    except (Refusal, ConnectorError, SealBroken):
        # Nothing here may keep anybody from signing out.
        return ""
    return begun.redirect_url


def confirm(step: Signing, *, handle: str, query_string: str, browser_secret: str | None) -> None:
    """Return if the provider answered the sign-out that this browser began; raises ``Refusal``."""
    with step.rt.database.core_write() as core:
        try:
            flow = take_flow(
                core,
                step.rt.sealer,
                tenant_id=step.tenant.id,
                connection_id=step.connection.id,
                handle=_FLOW + handle,
                browser_secret=browser_secret,
                now=step.ctx.now,
            )
        except Refusal as refusal:
            raise Refusal(
                ErrorCode.INVALID_REQUEST,
                "This answer belongs to no sign-out of this browser, or came a second time.",
                reason=refusal.reason,
                whose_move=WhoseMove.YOU,
            ) from refusal
    addresses = addresses_of(step.tenant, step.connection)
    message = SignOutMessage(
        our_url=addresses.signed_out_url, entity_id=addresses.entity_id, query_string=query_string
    )
    try:
        find_logout(step).complete_sign_out(message, flow.private, deps_of(step))
    except ConnectorError as error:
        raise message_refused(error) from error


def _keep(step: Signing, handle: str, private: Mapping[str, str], browser_secret: str) -> None:
    with step.rt.database.core_write() as core:
        start_flow(
            core,
            step.rt.sealer,
            tenant_id=step.tenant.id,
            connection_id=step.connection.id,
            handle=_FLOW + handle,
            browser_secret=browser_secret,
            private=private,
            resume_url="",
            now=step.ctx.now,
        )

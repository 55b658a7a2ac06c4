"""What happens here when an identity provider says that somebody signed out there."""

from collections.abc import Mapping

from sqlalchemy import Connection

from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.federation.addresses import addresses_of
from broker.federation.refusals import refusal_of
from broker.federation.steps import Signing, deps_of
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.replay import spend
from broker.tenants.connections import open_secrets
from broker.tokens.upstream_sessions import EndedUpstream, UpstreamName, end_upstream_sessions
from idp_connectors.base import ConnectorError, SignOutMessage, SignOutOrder, SignsOut, UpstreamLogout

CAUSE = "signed_out_at_provider"


def take_message(step: Signing, *, form: Mapping[str, str] | None = None, query_string: str = "") -> str:
    """Verify a provider's message, end what it names, once, and return where the browser brings our answer.

    A person who is not signed in here is signed out already: that is success, and reveals nothing. The
    address is empty where no browser brought the message, or the provider takes no answer.
    Raises ``Refusal``.
    """
    addresses = addresses_of(step.tenant, step.connection)
    message = SignOutMessage(
        our_url=addresses.sign_out_url,
        entity_id=addresses.entity_id,
        query_string=query_string,
        form=form or {},
    )
    logout = find_logout(step)
    try:
        order = logout.read_order(message, deps_of(step))
    except ConnectorError as error:
        raise message_refused(error) from error
    with step.rt.database.core_write() as core:
        _spend(core, step, order)
        _record(core, step, order, _end(core, step, order))
    return logout.answer_order(order, message, deps_of(step))


def find_logout(step: Signing) -> UpstreamLogout:
    """Return the connection's sign-out; raises ``Refusal(not_found)`` where its kind has none."""
    if not isinstance(step.connector, SignsOut):
        raise Refusal(ErrorCode.NOT_FOUND, "This sign-in takes no such message.", reason="no_sign_out")
    with step.rt.database.core_read() as core:
        secrets = open_secrets(step.rt, core, step.tenant.id, step.connection.id)
    return step.connector.upstream_logout(step.connection.config, secrets)


def _spend(core: Connection, step: Signing, order: SignOutOrder) -> None:
    mark = order.mark
    # In one transaction with the ending. Without this: whoever caught a message ends the sessions that its
    # person starts afterwards; and a fault between mark and ending would refuse the provider's next try.
    if not spend(core, kind=mark.kind, tenant_id=step.tenant.id, key=mark.key, expires_at=mark.expires_at):
        raise Refusal(
            ErrorCode.INVALID_REQUEST,
            "This sign-out message was already used once.",
            reason="replayed",
            whose_move=WhoseMove.DEVELOPER,
        )


def _end(core: Connection, step: Signing, order: SignOutOrder) -> EndedUpstream:
    names = [
        UpstreamName(
            connection_id=step.connection.id, issuer=order.issuer, person=order.person, session=session
        )
        for session in order.sessions or ("",)
    ]
    return end_upstream_sessions(
        core,
        step.rt,
        step.tenant.id,
        names,
        with_grants=step.tenant.settings.provider_sign_out_ends == "session_and_grants",
        cause=CAUSE,
        now=step.ctx.now,
    )


def _record(core: Connection, step: Signing, order: SignOutOrder, done: EndedUpstream) -> None:
    record(
        core,
        step.ctx,
        tenant_id=step.tenant.id,
        event=AuditEvent.SIGN_OUT_RECEIVED,
        target_id=step.connection.id,
        data={
            "session_count": done.ended.sessions,
            "grant_count": done.ended.grants,
            "token_count": done.ended.tokens,
            "names": "sessions" if order.sessions else "person",
        },
        writer_id=step.rt.writer_id,
    )
    for session_id, user_id in done.sessions:
        record(
            core,
            step.ctx,
            tenant_id=step.tenant.id,
            event=AuditEvent.SESSION_ENDED,
            actor=ActorRef("user", user_id) if user_id else None,
            subject_id=user_id or "",
            target_id=session_id,
            reason=CAUSE,
            writer_id=step.rt.writer_id,
        )


def message_refused(error: ConnectorError) -> Refusal:
    """Return the refusal of a message: to programs it is always a faulty request (§2.8)."""
    refusal = refusal_of(error)
    return Refusal(
        ErrorCode.INVALID_REQUEST,
        refusal.public,
        reason=refusal.reason,
        detail=refusal.detail,
        whose_move=refusal.whose_move,
    )

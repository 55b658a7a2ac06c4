"""What happens when a person answers: consent, decision and event are stored together, or none of them."""

from sqlalchemy.orm import Session

from broker.approvals.consent_page import Asked, durations_of
from broker.approvals.consents import give_consent
from broker.approvals.interactions import record_decision
from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.runtime import Runtime
from broker.tokens.sessions import BrowserSessionView


def allow(
    session: Session,
    rt: Runtime,
    asked: Asked,
    *,
    handle: str,
    person: BrowserSessionView,
    seconds: int,
    ctx: CallContext,
) -> str:
    """Store the consent to exactly what the page listed, for ``seconds``, and return its id.

    Raises ``Refusal``: ``bad_form`` for a duration that was not offered, ``sign_in_expired`` for a request
    that was decided already or is another session's.
    """
    # Without this: a changed form would hold a consent open for longer than anybody offered.
    if seconds not in durations_of(asked):
        raise Refusal(
            ErrorCode.BAD_FORM,
            "Choose one of the durations that are offered.",
            reason="duration_not_offered",
            whose_move=WhoseMove.YOU,
        )
    user_id = person.user_id or ""
    consent_id = give_consent(
        session,
        tenant_id=asked.tenant.id,
        user_id=user_id,
        client_id=asked.client.client_id,
        agent_id=asked.agent.id,
        resources=asked.resources,
        scopes=asked.granted,
        ttl_seconds=seconds,
        now=ctx.now,
    )
    _decide(session, asked, handle, person, consent_id, ctx)
    _record(session, rt, asked, person, ctx, AuditEvent.CONSENT_GRANTED, consent_id, seconds)
    return consent_id


def deny(
    session: Session, rt: Runtime, asked: Asked, *, handle: str, person: BrowserSessionView, ctx: CallContext
) -> None:
    """Write down that the person said no; raises ``Refusal(sign_in_expired)`` as ``allow`` does."""
    _decide(session, asked, handle, person, None, ctx)
    _record(session, rt, asked, person, ctx, AuditEvent.CONSENT_DENIED, "", 0)


def _decide(
    session: Session,
    asked: Asked,
    handle: str,
    person: BrowserSessionView,
    consent_id: str | None,
    ctx: CallContext,
) -> None:
    record_decision(
        session,
        asked.tenant.id,
        handle,
        session_id=person.id,
        allowed=consent_id is not None,
        consent_id=consent_id,
        now=ctx.now,
    )


def _record(
    session: Session,
    rt: Runtime,
    asked: Asked,
    person: BrowserSessionView,
    ctx: CallContext,
    event: AuditEvent,
    consent_id: str,
    seconds: int,
) -> None:
    record(
        session.connection(),
        ctx,
        tenant_id=asked.tenant.id,
        event=event,
        actor=ActorRef("user", person.user_id or ""),
        subject_id=person.user_id or "",
        client_id=asked.client.client_id,
        target_id=asked.agent.id,
        data={
            "consent_id": consent_id,
            "scopes": asked.granted,
            "resources": asked.resources,
            "ttl_seconds": seconds,
        },
        writer_id=rt.writer_id,
    )

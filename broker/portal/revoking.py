"""A person ends what an agent may do for them: consents, grants and tokens, in one transaction."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from broker.approvals.consents import withdraw_consents_for_agent
from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.audit.reading import EventFilter, list_events
from broker.kernel.context import CallContext
from broker.kernel.runtime import Runtime
from broker.portal.my_agents import MyAgent
from broker.tokens.cascade import GRANTS, end_grants_of
from broker.tokens.reading import measure_reach, tokens_for

RECEIPT_SECONDS = 900
"""How long the page after a revocation can be loaded again with its receipt."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a revocation ended, and how long a resource that never asks us may still accept a token."""

    agent_name: str
    tokens_ended: int
    grants_ended: int
    residual_seconds: int


def revoke_agent(
    session: Session, rt: Runtime, tenant_id: str, user_id: str, mine: MyAgent, ctx: CallContext
) -> None:
    """End everything that the person allowed this agent and all that was derived from it, and write it down.

    The receipt is read back from the event by ``find_receipt``.
    """
    core, agent_id = session.connection(), mine.agent.id
    owned = (GRANTS.c.user_id == user_id) & (GRANTS.c.agent_id == agent_id)
    tokens = tokens_for(user_id, agent_id, tenant_id)
    reach = measure_reach(core, tenant_id, tokens, owned, ctx.now, agent_id=agent_id)
    consents = withdraw_consents_for_agent(session, tenant_id, user_id, agent_id, ctx.now)
    ended = end_grants_of(core, tenant_id, "revoked_by_person", ctx.now, user_id=user_id, agent_id=agent_id)
    if not consents and ended.grants == 0 and ended.tokens == 0:
        return
    record(
        core,
        ctx,
        tenant_id=tenant_id,
        event=AuditEvent.CONSENT_WITHDRAWN,
        actor=ActorRef("user", user_id),
        subject_id=user_id,
        target_id=agent_id,
        reason="revoked_by_person",
        data={
            # One permission per consent: its grants are how the agent used it, not more of them.
            "consent_count": max(consents, 1),
            "grant_count": reach.grants,
            "token_count": reach.tokens,
            "residual_seconds": reach.last_end - ctx.now,
        },
        writer_id=rt.writer_id,
    )


def find_receipt(
    session: Session, tenant_id: str, user_id: str, mine: MyAgent, request_id: str, now: int
) -> Receipt | None:
    """Return what the person's own request of that id ended at this agent, while that is recent, or None.

    Read from the event log. Without this: a link with made-up numbers could tell people that an agent
    was revoked when it was not.
    """
    if not request_id:
        return None
    wanted = EventFilter(
        event=AuditEvent.CONSENT_WITHDRAWN.value,
        subject_id=user_id,
        agent_id=mine.agent.id,
        request_id=request_id,
        from_at=now - RECEIPT_SECONDS,
    )
    for event in list_events(session.connection(), tenant_id, wanted, limit=1).events:
        return Receipt(
            agent_name=mine.agent.name,
            tokens_ended=int(event.data.get("token_count", 0)),
            grants_ended=int(event.data.get("consent_count", 0)),
            residual_seconds=int(event.data.get("residual_seconds", 0)),
        )
    return None

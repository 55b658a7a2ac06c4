"""What a person agreed that an agent may do, at which resources, until when; kept after its end."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import CursorResult, func, select, update
from sqlalchemy.orm import Session

from broker.approvals.models import Consent
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.ids import new_id


@dataclass(frozen=True, slots=True)
class ConsentView:
    """One consent; times are epoch seconds."""

    id: str
    user_id: str
    client_id: str
    agent_id: str | None
    resources: frozenset[str]
    scopes: frozenset[str]
    given_at: int
    expires_at: int
    withdrawn_at: int | None

    def is_live(self, now: int) -> bool:
        """Whether it still allows anything."""
        return self.withdrawn_at is None and now < self.expires_at


@dataclass(frozen=True, slots=True)
class ClientUsage:
    """How well known a client is at its tenant; the time in epoch seconds, None before the first consent."""

    first_seen_at: int | None
    people: int


def give_consent(
    session: Session,
    *,
    tenant_id: str,
    user_id: str,
    client_id: str,
    agent_id: str | None,
    resources: Iterable[str],
    scopes: Iterable[str],
    ttl_seconds: int,
    now: int,
) -> str:
    """Store what a person just agreed to and return the consent's id."""
    consent_id = new_id("cns")
    session.add(
        Consent(
            tenant_id=tenant_id,
            id=consent_id,
            user_id=user_id,
            client_id=client_id,
            agent_id=agent_id,
            resources=sorted(set(resources)),
            scopes=sorted(set(scopes)),
            given_at=now,
            expires_at=now + ttl_seconds,
        )
    )
    return consent_id


def find_consent(
    session: Session,
    *,
    tenant_id: str,
    user_id: str,
    client_id: str,
    agent_id: str | None,
    resources: Iterable[str],
    scopes: Iterable[str],
    now: int,
) -> ConsentView | None:
    """Return the live consent that covers all of ``resources`` and ``scopes`` and lasts longest, or None.

    One consent must cover everything. Without this: two narrow consents would add up to a pair of scope
    and resource that nobody agreed to.
    """
    wanted_resources, wanted_scopes = frozenset(resources), frozenset(scopes)
    for consent in list_consents(session, tenant_id, user_id, client_id=client_id):
        if (
            consent.is_live(now)
            and consent.agent_id == agent_id
            and wanted_resources <= consent.resources
            and wanted_scopes <= consent.scopes
        ):
            return consent
    return None


def get_consent(session: Session, tenant_id: str, user_id: str, consent_id: str) -> ConsentView:
    """Return the person's own consent, ended or not; raises ``Refusal(not_found)``."""
    row = session.scalar(
        select(Consent).where(
            Consent.tenant_id == tenant_id, Consent.user_id == user_id, Consent.id == consent_id
        )
    )
    if row is None:
        raise Refusal(
            ErrorCode.NOT_FOUND,
            "There is no such consent.",
            reason="unknown_consent",
            whose_move=WhoseMove.YOU,
        )
    return _view(row)


def list_consents(
    session: Session, tenant_id: str, user_id: str, *, client_id: str | None = None
) -> tuple[ConsentView, ...]:
    """Return a person's consents, ended ones too, the longest lasting first."""
    query = select(Consent).where(Consent.tenant_id == tenant_id, Consent.user_id == user_id)
    if client_id is not None:
        query = query.where(Consent.client_id == client_id)
    rows = session.scalars(query.order_by(Consent.expires_at.desc(), Consent.id))
    return tuple(_view(row) for row in rows)


def usage_of(session: Session, tenant_id: str, client_id: str, now: int) -> ClientUsage:
    """Return since when this client is known here, and how many people let it act for them now."""
    own = (Consent.tenant_id == tenant_id, Consent.client_id == client_id)
    live = (Consent.withdrawn_at.is_(None), Consent.expires_at > now)
    people = session.scalar(select(func.count(Consent.user_id.distinct())).where(*own, *live))
    return ClientUsage(session.scalar(select(func.min(Consent.given_at)).where(*own)), people or 0)


def withdraw_consent(session: Session, tenant_id: str, user_id: str, consent_id: str, now: int) -> bool:
    """Take one of the person's own consents back; False if it is not theirs or already over.

    What hangs on it is ended by the caller (``tokens.cascade``), in the same transaction.
    """
    return _withdraw(session, Consent.id == consent_id, tenant_id, user_id, now) == 1


def withdraw_consents_for_agent(
    session: Session, tenant_id: str, user_id: str, agent_id: str, now: int
) -> int:
    """Take back everything that the person allowed one agent; returns how many consents that were."""
    return _withdraw(session, Consent.agent_id == agent_id, tenant_id, user_id, now)


def withdraw_consents_of_client(session: Session, tenant_id: str, client_id: str, now: int) -> int:
    """Take back what anybody allowed one client, so that each is asked anew; returns how many there were."""
    result = session.execute(
        update(Consent)
        .where(
            Consent.tenant_id == tenant_id,
            Consent.client_id == client_id,
            Consent.withdrawn_at.is_(None),
            Consent.expires_at > now,
        )
        .values(withdrawn_at=now)
        .execution_options(synchronize_session=False)
    )
    return cast(CursorResult[Any], result).rowcount


def _withdraw(session: Session, which: Any, tenant_id: str, user_id: str, now: int) -> int:
    result = session.execute(
        update(Consent)
        .where(
            Consent.tenant_id == tenant_id, Consent.user_id == user_id, Consent.withdrawn_at.is_(None), which
        )
        .values(withdrawn_at=now)
        .execution_options(synchronize_session=False)
    )
    return cast(CursorResult[Any], result).rowcount


def _view(row: Consent) -> ConsentView:
    return ConsentView(
        id=row.id,
        user_id=row.user_id,
        client_id=row.client_id,
        agent_id=row.agent_id,
        resources=frozenset(row.resources),
        scopes=frozenset(row.scopes),
        given_at=row.given_at,
        expires_at=row.expires_at,
        withdrawn_at=row.withdrawn_at,
    )

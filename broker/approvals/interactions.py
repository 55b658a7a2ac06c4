"""Requests that wait for a person: opened by oauth, fulfilled by pages, finished by oauth.

    pending --decision--> allowed | denied --finish--> finished
    pending --finish (a consent was there already)--> finished

The browser carries the handle; the request itself stays here, so nothing on a page can change it (O47).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy import Connection, CursorResult, Select, Update, select, update
from sqlalchemy.orm import Session

from broker.approvals.models import Interaction
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.ids import new_secret, sha256_hex

State = Literal["pending", "allowed", "denied", "finished"]

INTERACTION_SECONDS = 600
"""A person who has not decided after this long starts again at the application."""


@dataclass(frozen=True, slots=True)
class InteractionView:
    """A waiting request as its own browser may see it; ``session_id`` is set once somebody is bound to it."""

    client_id: str
    request: Mapping[str, Any]
    session_id: str | None
    consent_id: str | None
    state: State
    expires_at: int


def open_interaction(
    session: Session,
    *,
    tenant_id: str,
    client_id: str,
    request: dict[str, Any],
    browser_secret: str,
    now: int,
    ttl_seconds: int = INTERACTION_SECONDS,
) -> str:
    """Keep a validated authorization request for one browser and return its handle; its hash is stored."""
    handle = new_secret()
    session.add(
        Interaction(
            tenant_id=tenant_id,
            handle_hash=sha256_hex(handle),
            kind="authorize",
            browser_hash=sha256_hex(browser_secret),
            client_id=client_id,
            request=request,
            state="pending",
            created_at=now,
            expires_at=now + ttl_seconds,
        )
    )
    return handle


def load_interaction(
    session: Session, tenant_id: str, handle: str, browser_secret: str | None, now: int
) -> InteractionView:
    """Return the waiting request to the browser that it belongs to; raises ``Refusal(sign_in_expired)``.

    Without this: whoever gets somebody to open a link could have them decide about another's request.
    """
    browser_hash = sha256_hex(browser_secret or "")
    row = session.scalar(_find(tenant_id, handle))
    if row is None or not browser_secret:
        raise stale("interaction_unknown")
    if row.browser_hash != browser_hash:
        raise stale("interaction_of_other_browser")
    if row.expires_at <= now:
        raise stale("interaction_expired")
    if row.state == "finished":
        raise stale("interaction_finished")
    return InteractionView(
        client_id=row.client_id,
        request=row.request,
        session_id=row.session_id,
        consent_id=row.consent_id,
        state=cast(State, row.state),
        expires_at=row.expires_at,
    )


def bind_session(session: Session, tenant_id: str, handle: str, session_id: str, now: int) -> None:
    """Tie the request to the session that answers it; raises ``Refusal(sign_in_expired)`` for a second one.

    Without this: if another person signs in half-way in this browser, one person's consent would
    become a code for the other (CVE-2026-7507).
    """
    bound = _change(
        session,
        _live(tenant_id, handle, now)
        .where((Interaction.session_id.is_(None)) | (Interaction.session_id == session_id))
        .values(session_id=session_id),
    )
    if not bound:
        raise stale("session_swapped")


def keep_request(session: Session, tenant_id: str, handle: str, request: dict[str, Any], now: int) -> None:
    """Replace the stored request of an undecided interaction, with what the page will show added to it."""
    kept = _change(
        session, _live(tenant_id, handle, now).where(Interaction.state == "pending").values(request=request)
    )
    if not kept:
        raise stale("decision_repeated")


def release_session(session: Session, tenant_id: str, handle: str, session_id: str, now: int) -> bool:
    """Undo the tie when the bound person says "not me" and signs out; nothing may be decided yet."""
    return _change(
        session,
        _live(tenant_id, handle, now)
        .where(Interaction.session_id == session_id, Interaction.state == "pending")
        .values(session_id=None),
    )


def record_decision(
    session: Session,
    tenant_id: str,
    handle: str,
    *,
    session_id: str,
    allowed: bool,
    consent_id: str | None,
    now: int,
) -> None:
    """Write down the bound person's decision, once; raises ``Refusal(sign_in_expired)``.

    Without this: a form sent twice, or by another session of the browser, would decide again (O54).
    """
    decided = _change(
        session,
        _live(tenant_id, handle, now)
        .where(Interaction.state == "pending", Interaction.session_id == session_id)
        .values(state="allowed" if allowed else "denied", consent_id=consent_id),
    )
    if not decided:
        raise stale("decision_repeated")


def finish(session: Session | Connection, tenant_id: str, handle: str, now: int) -> None:
    """Use the request up, before anything is issued for it; raises ``Refusal(sign_in_expired)``.

    Without this: two tabs that resume the same request would get two codes.
    """
    if not _change(session, _live(tenant_id, handle, now).values(state="finished")):
        raise stale("interaction_finished")


def stale(reason: str) -> Refusal:
    """Return the refusal for a request that this browser cannot go on with; one sentence for every reason."""
    return Refusal(
        ErrorCode.SIGN_IN_EXPIRED,
        "It took too long, was already answered, or belongs to another browser or person. "
        "Go back to the application and start again.",
        reason=reason,
        whose_move=WhoseMove.YOU,
    )


def _find(tenant_id: str, handle: str) -> Select[Interaction]:
    return select(Interaction).where(
        Interaction.tenant_id == tenant_id, Interaction.handle_hash == sha256_hex(handle)
    )


def _live(tenant_id: str, handle: str, now: int) -> Update:
    return (
        update(Interaction)
        .where(
            Interaction.tenant_id == tenant_id,
            Interaction.handle_hash == sha256_hex(handle),
            Interaction.state != "finished",
            Interaction.expires_at > now,
        )
        .execution_options(synchronize_session=False)
    )


def _change(session: Session | Connection, statement: Update) -> bool:
    return cast(CursorResult[Any], session.execute(statement)).rowcount == 1

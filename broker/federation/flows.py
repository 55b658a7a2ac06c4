"""Sign-ins in progress: kept on the server, tied to one browser, taken once.

The browser carries only an opaque handle (`state` or `RelayState`); what the answer is checked against
stays here, sealed (security O17, S33, S49).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from sqlalchemy import Update, func, select, update
from sqlalchemy.orm import Session

from broker.federation.models import SignInFlow
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.ids import sha256_hex
from broker.kernel.runtime import Runtime
from broker.kernel.sealing import Sealer

HANDLE = re.compile(r"[A-Za-z0-9_-]{20,100}")
"""How a handle looks; whatever else comes back in its place was not made here."""
FLOW_SECONDS = 600
"""A sign-in that takes longer is started again."""
MAX_FLOWS_PER_BROWSER = 10
"""More sign-ins at once than people have tabs for; each takes a row until it expires."""


@dataclass(frozen=True, slots=True)
class TakenFlow:
    """A flow that this request alone may complete; ``form`` is what a provider posted, if it posted.

    A flow with a ``test_id`` is a connection test: it must sign nobody in.
    """

    private: Mapping[str, str]
    form: Mapping[str, str]
    resume_url: str
    test_id: str = ""


def start_flow(
    session: Session,
    sealer: Sealer,
    *,
    tenant_id: str,
    connection_id: str,
    handle: str,
    browser_secret: str,
    private: Mapping[str, str],
    resume_url: str,
    now: int,
    test_id: str = "",
) -> None:
    """Keep a sign-in that starts; only the hash of its ``handle`` is stored.

    Raises ``Refusal(sign_in_refused)`` when this browser has too many open ones.
    """
    browser_hash = sha256_hex(browser_secret)
    pending = session.scalar(
        select(func.count())
        .select_from(SignInFlow)
        .where(
            SignInFlow.tenant_id == tenant_id,
            SignInFlow.browser_hash == browser_hash,
            SignInFlow.spent_at.is_(None),
            SignInFlow.expires_at > now,
        )
    )
    if (pending or 0) >= MAX_FLOWS_PER_BROWSER:
        raise Refusal(
            ErrorCode.SIGN_IN_REFUSED,
            "Many sign-ins are open in this browser. Finish one, or wait ten minutes.",
            reason="too_many_flows",
            whose_move=WhoseMove.YOU,
        )
    state_hash = sha256_hex(handle)
    session.add(
        SignInFlow(
            tenant_id=tenant_id,
            state_hash=state_hash,
            connection_id=connection_id,
            browser_hash=browser_hash,
            sealed_private=sealer.seal(
                orjson.dumps(dict(private)), _place(tenant_id, "sealed_private", state_hash)
            ),
            resume_url=resume_url,
            test_id=test_id,
            created_at=now,
            expires_at=now + FLOW_SECONDS,
        )
    )


def keep_answer(
    session: Session,
    sealer: Sealer,
    *,
    tenant_id: str,
    connection_id: str,
    handle: str,
    form: Mapping[str, str],
    now: int,
) -> None:
    """Keep what a provider posted until the browser comes with its cookie; the first answer stands.

    A post from another site brings no Lax cookie, so who posts is not known here and nothing is decided.
    Raises ``Refusal(sign_in_expired)``.
    """
    state_hash = sha256_hex(handle)
    kept = session.execute(
        _of_flow(tenant_id, connection_id, state_hash, now)
        .where(SignInFlow.sealed_answer.is_(None))
        .values(
            sealed_answer=sealer.seal(
                orjson.dumps(dict(form)), _place(tenant_id, "sealed_answer", state_hash)
            )
        )
    )
    if kept.rowcount != 1:  # type: ignore[attr-defined]
        raise _refuse(session, tenant_id, connection_id, state_hash, now, "answer_repeated")


def take_flow(
    session: Session,
    sealer: Sealer,
    *,
    tenant_id: str,
    connection_id: str,
    handle: str,
    browser_secret: str | None,
    now: int,
) -> TakenFlow:
    """Return the flow of ``handle`` to exactly one caller: the browser that started it, before it expires.

    One conditional UPDATE decides; the caller commits before it verifies anything. Without this: an
    answer could be used twice, in another browser (login CSRF), at another connection (mix-up) or tenant.
    Raises ``Refusal(sign_in_expired)`` with the same sentence whatever was wrong.
    """
    state_hash = sha256_hex(handle)
    browser_hash = sha256_hex(browser_secret or "")
    taken = session.execute(
        _of_flow(tenant_id, connection_id, state_hash, now)
        .where(SignInFlow.browser_hash == browser_hash)
        .values(spent_at=now)
    )
    if not browser_secret or taken.rowcount != 1:  # type: ignore[attr-defined]
        raise _refuse(session, tenant_id, connection_id, state_hash, now, "flow_of_other_browser")
    flow = session.scalars(
        select(SignInFlow).where(SignInFlow.tenant_id == tenant_id, SignInFlow.state_hash == state_hash)
    ).one()
    answer = flow.sealed_answer
    taken_flow = TakenFlow(
        private=_open(sealer, flow.sealed_private, _place(tenant_id, "sealed_private", state_hash)),
        form=_open(sealer, answer, _place(tenant_id, "sealed_answer", state_hash)) if answer else {},
        resume_url=flow.resume_url,
        test_id=flow.test_id,
    )
    # An assertion is not kept longer than it takes to look at it.
    flow.sealed_answer = None
    return taken_flow


def is_flow_of_test(rt: Runtime, tenant_id: str, handle: str) -> bool:
    """Whether ``handle`` is one of a connection test in progress; says nothing of whose."""
    wanted = select(SignInFlow.test_id).where(
        SignInFlow.tenant_id == tenant_id, SignInFlow.state_hash == sha256_hex(handle)
    )
    with rt.database.core_read() as connection:
        return bool(handle and connection.execute(wanted).scalar())


def _of_flow(tenant_id: str, connection_id: str, state_hash: str, now: int) -> Update:
    return (
        update(SignInFlow)
        .where(
            SignInFlow.tenant_id == tenant_id,
            SignInFlow.state_hash == state_hash,
            SignInFlow.connection_id == connection_id,
            SignInFlow.spent_at.is_(None),
            SignInFlow.expires_at > now,
        )
        .execution_options(synchronize_session=False)
    )


def _refuse(
    session: Session, tenant_id: str, connection_id: str, state_hash: str, now: int, otherwise: str
) -> Refusal:
    flow = session.scalars(
        select(SignInFlow).where(SignInFlow.tenant_id == tenant_id, SignInFlow.state_hash == state_hash)
    ).one_or_none()
    if flow is None:
        reason = "flow_unknown"
    elif flow.connection_id != connection_id:
        reason = "flow_of_other_connection"
    elif flow.spent_at is not None:
        reason = "flow_reused"
    elif flow.expires_at <= now:
        reason = "flow_expired"
    else:
        reason = otherwise
    return Refusal(
        ErrorCode.SIGN_IN_EXPIRED,
        "It took too long, was already used, or was started in another browser. Please start again.",
        reason=reason,
        whose_move=WhoseMove.YOU,
    )


def _place(tenant_id: str, column: str, state_hash: str) -> str:
    return f"{tenant_id}/sign_in_flows/{column}/{state_hash}"


def _open(sealer: Sealer, blob: bytes, place: str) -> dict[str, str]:
    opened: dict[str, str] = orjson.loads(sealer.open(blob, place))
    return opened

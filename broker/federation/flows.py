"""Sign-ins in progress: kept on the server, tied to one browser, taken once.

The browser carries only an opaque handle (`state` or `RelayState`); what the answer is checked against
stays here, sealed (security O17, S33, S49).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson
from sqlalchemy import Connection, Table, Update, bindparam, func, insert, select, update

from broker.federation.models import SignInFlow
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.ids import sha256_hex
from broker.kernel.prepared import Prepared
from broker.kernel.runtime import Runtime
from broker.kernel.sealing import Sealer

HANDLE = re.compile(r"[A-Za-z0-9_-]{20,100}")
"""How a handle looks; whatever else comes back in its place was not made here."""
FLOW_SECONDS = 600
"""A sign-in that takes longer is started again."""
MAX_FLOWS_PER_BROWSER = 10
"""More sign-ins at once than people have tabs for; each takes a row until it expires."""

_FLOWS = cast(Table, SignInFlow.__table__)


def _of_flow() -> Update:
    return update(_FLOWS).where(
        _FLOWS.c.tenant_id == bindparam("tenant"),
        _FLOWS.c.state_hash == bindparam("of_state"),
        _FLOWS.c.connection_id == bindparam("of_connection"),
        _FLOWS.c.spent_at.is_(None),
        _FLOWS.c.expires_at > bindparam("now"),
    )


_INSERT = Prepared(insert(_FLOWS))
_FIND = Prepared(
    select(_FLOWS).where(
        _FLOWS.c.tenant_id == bindparam("tenant"), _FLOWS.c.state_hash == bindparam("of_state")
    )
)
_COUNT_OPEN = Prepared(
    select(func.count().label("open"))
    .select_from(_FLOWS)
    .where(
        _FLOWS.c.tenant_id == bindparam("tenant"),
        _FLOWS.c.browser_hash == bindparam("of_browser"),
        _FLOWS.c.spent_at.is_(None),
        _FLOWS.c.expires_at > bindparam("now"),
    )
)
_KEEP_ANSWER = Prepared(
    _of_flow().where(_FLOWS.c.sealed_answer.is_(None)).values(sealed_answer=bindparam("to_answer"))
)
# An assertion is not kept longer than it takes to look at it.
_SPEND = Prepared(
    _of_flow()
    .where(_FLOWS.c.browser_hash == bindparam("of_browser"))
    .values(spent_at=bindparam("to_spent_at"), sealed_answer=None)
)


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
    core: Connection,
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
    (pending,) = _COUNT_OPEN.rows(core, {"tenant": tenant_id, "of_browser": browser_hash, "now": now})
    if pending.open >= MAX_FLOWS_PER_BROWSER:
        raise Refusal(
            ErrorCode.SIGN_IN_REFUSED,
            "Many sign-ins are open in this browser. Finish one, or wait ten minutes.",
            reason="too_many_flows",
            whose_move=WhoseMove.YOU,
        )
    state_hash = sha256_hex(handle)
    row = {
        "tenant_id": tenant_id,
        "state_hash": state_hash,
        "connection_id": connection_id,
        "browser_hash": browser_hash,
        "sealed_private": sealer.seal(
            orjson.dumps(dict(private)), _place(tenant_id, "sealed_private", state_hash)
        ),
        "sealed_answer": None,
        "resume_url": resume_url,
        "test_id": test_id,
        "created_at": now,
        "expires_at": now + FLOW_SECONDS,
        "spent_at": None,
    }
    _INSERT.run(core, row)


def keep_answer(
    core: Connection,
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
    flow = _key(tenant_id, connection_id, handle, now)
    place = _place(tenant_id, "sealed_answer", flow["of_state"])
    answer = sealer.seal(orjson.dumps(dict(form)), place)
    if _KEEP_ANSWER.run(core, {**flow, "to_answer": answer}) != 1:
        raise _refuse(core, flow, "answer_repeated")


def take_flow(
    core: Connection,
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
    flow = _key(tenant_id, connection_id, handle, now)
    browser_hash = sha256_hex(browser_secret or "")
    # Read first, because the UPDATE forgets the answer; what it finds is worth nothing until it is ours.
    rows = _FIND.rows(core, flow)
    taken = _SPEND.run(core, {**flow, "of_browser": browser_hash, "to_spent_at": now})
    if not browser_secret or taken != 1 or not rows:
        raise _refuse(core, flow, "flow_of_other_browser")
    (row,) = rows
    private, answer = (
        _place(tenant_id, name, row.state_hash) for name in ("sealed_private", "sealed_answer")
    )
    return TakenFlow(
        private=_open(sealer, row.sealed_private, private),
        form=_open(sealer, row.sealed_answer, answer) if row.sealed_answer else {},
        resume_url=row.resume_url,
        test_id=row.test_id,
    )


def is_flow_of_test(rt: Runtime, tenant_id: str, handle: str) -> bool:
    """Whether ``handle`` is one of a connection test in progress; says nothing of whose."""
    wanted = select(SignInFlow.test_id).where(
        SignInFlow.tenant_id == tenant_id, SignInFlow.state_hash == sha256_hex(handle)
    )
    with rt.database.core_read() as connection:
        return bool(handle and connection.execute(wanted).scalar())


def _key(tenant_id: str, connection_id: str, handle: str, now: int) -> dict[str, Any]:
    return {
        "tenant": tenant_id,
        "of_state": sha256_hex(handle),
        "of_connection": connection_id,
        "now": now,
    }


def _refuse(core: Connection, key: Mapping[str, Any], otherwise: str) -> Refusal:
    flow = next(iter(_FIND.rows(core, key)), None)
    if flow is None:
        reason = "flow_unknown"
    elif flow.connection_id != key["of_connection"]:
        reason = "flow_of_other_connection"
    elif flow.spent_at is not None:
        reason = "flow_reused"
    elif flow.expires_at <= key["now"]:
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

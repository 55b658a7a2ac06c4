"""Clients that are an address: read before anything is decided about their request, kept as rows.

The snapshot stays the one place where requests look clients up. An address that it knows and that was read
lately costs one look into a dictionary; the database and the network are asked only when that is not so.
"""

import threading
from weakref import WeakKeyDictionary

from broker.agents.admission import Newcomer, admit, digest
from broker.agents.client_documents import (
    ClientDocument,
    check_document_id,
    fetch_document,
    host_of,
    is_admitted,
    is_document_id,
)
from broker.agents.client_metadata import Offered
from broker.agents.models import ClientRegistration
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.pace import Pace
from broker.kernel.runtime import Runtime
from broker.kernel.versions import Caches
from broker.oauth.client_changes import note_problem, take_over
from broker.oauth.grants import GRANTS
from broker.tenants.snapshot import TenantSnapshot

LAST_GOOD_SECONDS = 86_400
"""A document that cannot be reached counts as it was last read for a day beyond its time, and no longer."""
MAX_KNOWN = 50_000


class _Known:
    """Until when each document holds, for one process; the database has it too."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.until: dict[tuple[str, str], int] = {}
        # Every unknown address costs a call to a place of a stranger's choosing.
        self.per_tenant = Pace(60, 60)
        self.per_host = Pace(12, 60)

    def keep(self, tenant_id: str, client_id: str, until: int) -> None:
        with self.lock:
            if len(self.until) >= MAX_KNOWN:
                self.until.clear()
            self.until[(tenant_id, client_id)] = until


_known: WeakKeyDictionary[Caches, _Known] = WeakKeyDictionary()


def ensure_client(
    rt: Runtime, tenant: TenantSnapshot, client_id: str, ctx: CallContext, *, is_hurried: bool = False
) -> bool:
    """See to it that a client which is an address is known as its document says now; ``False`` if it is none.

    Call it before the snapshot is asked for the client. ``is_hurried`` is content with what is known while
    that may count at all, and leaves the reading to the background job.
    Raises ``Refusal``: ``invalid_client`` for an address that may not be a client here, and
    ``temporarily_unavailable`` where too many are asked for.
    """
    if not is_document_id(client_id, may_use_loopback=rt.settings.is_development):
        return False
    # Without this: what the tenant no longer admits would go on for as long as its document holds.
    if not is_admitted(tenant.settings.onboarding, client_id):
        raise _unknown()
    known = _known_of(rt.caches)
    if known.until.get((tenant.id, client_id), 0) > ctx.now:
        return True
    row = _find(rt, tenant.id, client_id)
    if row is not None:
        grace = LAST_GOOD_SECONDS if is_hurried and not row.problem else 0
        if row.fresh_until + grace > ctx.now:
            known.keep(tenant.id, client_id, row.fresh_until)
            return True
    _require_pace(known, tenant, client_id, ctx)
    until = _read_now(rt, tenant, client_id, row, ctx)
    known.keep(tenant.id, client_id, until)
    return True


def offered(rt: Runtime, tenant: TenantSnapshot) -> Offered:
    """Return what clients that introduce themselves can be given by this tenant."""
    return Offered(
        grant_types=frozenset(GRANTS) & frozenset(tenant.settings.onboarding.grant_types),
        id_token_algorithms=frozenset(tenant.settings.id_token_algorithms),
        may_use_loopback=rt.settings.is_development,
    )


def newcomer_of(tenant: TenantSnapshot, document: ClientDocument, now: int) -> Newcomer:
    """Return the client that a document describes."""
    return Newcomer(
        client_id=document.client_id,
        source="cimd",
        metadata=document.metadata,
        said_hash=digest({"client_id": document.client_id}),
        # A listed address was looked at by whoever listed it.
        is_verified=tenant.settings.onboarding.cimd == "listed",
        fresh_until=now + document.holds_seconds,
    )


def _read_now(
    rt: Runtime, tenant: TenantSnapshot, client_id: str, row: ClientRegistration | None, ctx: CallContext
) -> int:
    """Read the document, write down what it says and return until when it holds."""
    try:
        # Outside of any transaction: a slow server must not hold a lock of ours.
        document = fetch_document(rt.egress, client_id, offered(rt, tenant))
    except Refusal as refusal:
        if row is None:
            raise
        note_problem(rt, tenant.id, client_id, refusal.reason, ctx)
        if refusal.reason == "cimd_unreachable" and row.fresh_until + LAST_GOOD_SECONDS > ctx.now:
            # Nothing is remembered of a failure: the next request asks again (CIMD-06).
            return 0
        raise
    newcomer = newcomer_of(tenant, document, ctx.now)
    with rt.database.write(tenant.id) as session:
        if row is None and admit(session, rt, tenant, newcomer, ctx):
            return newcomer.fresh_until
        take_over(session, rt, tenant, newcomer, ctx)
    return newcomer.fresh_until


def _find(rt: Runtime, tenant_id: str, client_id: str) -> ClientRegistration | None:
    with rt.database.read(tenant_id) as session:
        row = session.get(ClientRegistration, (tenant_id, client_id))
        if row is not None:
            session.expunge(row)
        return row


def _require_pace(known: _Known, tenant: TenantSnapshot, client_id: str, ctx: CallContext) -> None:
    # An address that cannot be one costs nobody a call, and no place in the count.
    check_document_id(client_id, may_use_loopback=True)
    if not (
        known.per_tenant.may_go_on(tenant.id, ctx.now)
        and known.per_host.may_go_on(f"{tenant.id} {host_of(client_id)}", ctx.now)
    ):
        raise Refusal(
            ErrorCode.TEMPORARILY_UNAVAILABLE,
            "Too many new applications ask at once. Try again in a minute.",
            reason="too_many_documents",
            whose_move=WhoseMove.YOU,
        )


def _known_of(caches: Caches) -> _Known:
    found = _known.get(caches)
    return found if found is not None else _known.setdefault(caches, _Known())


def _unknown() -> Refusal:
    return Refusal(
        ErrorCode.INVALID_CLIENT,
        "This application is not known here, and the organisation does not admit it by its address.",
        reason="cimd_not_admitted",
        whose_move=WhoseMove.ADMIN,
    )

"""Trying a connection: look at it, sign in through it as anybody would, and keep what was found.

A test makes no user, session, grant or cookie, and touches none. Only its report remains, for a week.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import orjson
from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.federation.addresses import addresses_of
from broker.federation.diagnosing import (
    Row,
    Subject,
    add_findings,
    add_identity,
    add_refusal,
    blank_rows,
    state_of,
)
from broker.federation.flows import TakenFlow
from broker.federation.groups import complete_groups, find_asking
from broker.federation.models import ConnectionTest
from broker.federation.signing_in import check_connection, send_out, verify_answer
from broker.federation.steps import Signing
from broker.kernel.ids import new_id
from broker.kernel.runtime import Runtime
from idp_connectors.base import (
    ConnectorError,
    GroupAnswer,
    MemoryCache,
    SignsInByPassword,
    VerifiedIdentity,
)
from idp_connectors.presets.preset import Preset

KEEP_SECONDS = 7 * 86_400
"""How long a report can be read."""
MOST_KEPT = 20
"""Reports of one connection; older ones go first."""


@dataclass(frozen=True, slots=True)
class ConnectionReport:
    """What one test found; ``waiting`` until the provider has answered."""

    id: str
    connection_id: str
    state: str
    rows: tuple[Row, ...]
    actor: ActorRef
    created_at: int


@dataclass(frozen=True, slots=True)
class StartedTest:
    """A test that began: where its window goes on, at the provider or, if that is no use, nowhere."""

    id: str
    address: str


def begin_test(
    step: Signing,
    presets: Mapping[str, Preset],
    *,
    actor: ActorRef,
    browser_secret: str,
    result_path: Callable[[str], str],
) -> StartedTest:
    """Look at the connection now and, if nothing fails, start a sign-in that is only a test.

    The report stands at ``result_path(id)`` from now on. Raises ``Refusal`` where the browser has too many
    sign-ins open.
    """
    step = replace(step, cache=MemoryCache())
    test_id = new_id("ctest")
    subject = _subject(step, presets)
    rows = add_findings(subject, blank_rows(subject), check_connection(step))
    address = ""
    # Where people type their password here, the look itself is the whole test.
    if state_of(rows) != "failed" and not isinstance(step.connector, SignsInByPassword):
        try:
            address = send_out(
                step, browser_secret=browser_secret, resume_url=result_path(test_id), test_id=test_id
            )
        except ConnectorError as error:
            rows = add_refusal(subject, rows, error)
    state = "waiting" if address else state_of(rows)
    with step.rt.database.write(step.tenant.id) as session:
        _forget_old(session, step)
        session.add(
            ConnectionTest(
                id=test_id,
                connection_id=step.connection.id,
                state=state,
                sealed_report=_seal(step.rt, step.tenant.id, test_id, actor, rows),
                created_at=step.ctx.now,
                expires_at=step.ctx.now + KEEP_SECONDS,
            )
        )
        _write_down(session, step, actor, test_id, state, rows)
    return StartedTest(test_id, address)


def finish_test(
    step: Signing, flow: TakenFlow, query: Mapping[str, str], presets: Mapping[str, Preset]
) -> None:
    """Verify the provider's answer to the test of ``flow`` and keep what was found; signs nobody in."""
    step = replace(step, cache=MemoryCache())
    report = find_test(step.rt, step.tenant.id, flow.test_id, step.ctx.now)
    if report is None or report.state != "waiting":
        return
    subject = _subject(step, presets)
    try:
        identity = verify_answer(step, flow, query)
    except ConnectorError as error:
        rows = add_refusal(subject, report.rows, error)
    else:
        rows = add_identity(subject, report.rows, *_with_lookup(step, identity))
    state = state_of(rows)
    with step.rt.database.write(step.tenant.id) as session:
        session.execute(
            update(ConnectionTest)
            .where(ConnectionTest.tenant_id == step.tenant.id, ConnectionTest.id == report.id)
            .values(
                state=state,
                sealed_report=_seal(step.rt, step.tenant.id, report.id, report.actor, rows),
            )
        )
        _write_down(session, step, report.actor, report.id, state, rows)


def find_test(rt: Runtime, tenant_id: str, test_id: str, now: int) -> ConnectionReport | None:
    """Return the report of one test of the tenant, or None if there is none (any more)."""
    found = _load(rt, tenant_id, ConnectionTest.id == test_id, now)
    return found[0] if found else None


def list_tests(rt: Runtime, tenant_id: str, connection_id: str, now: int) -> list[ConnectionReport]:
    """Return the reports of a connection that are still kept, newest first."""
    return _load(rt, tenant_id, ConnectionTest.connection_id == connection_id, now)


def _load(rt: Runtime, tenant_id: str, which: ColumnElement[bool], now: int) -> list[ConnectionReport]:
    wanted = (
        select(ConnectionTest)
        .where(ConnectionTest.tenant_id == tenant_id, which, ConnectionTest.expires_at > now)
        .order_by(ConnectionTest.created_at.desc(), ConnectionTest.id.desc())
        .limit(MOST_KEPT)
    )
    with rt.database.read(tenant_id) as session:
        return [_report(rt, row) for row in session.scalars(wanted)]


def _report(rt: Runtime, row: ConnectionTest) -> ConnectionReport:
    opened = orjson.loads(rt.sealer.open(row.sealed_report, _place(row.tenant_id, row.id)))
    rows = tuple(Row(**one) for one in opened["rows"])
    actor = ActorRef(*opened["actor"])
    return ConnectionReport(row.id, row.connection_id, row.state, rows, actor, row.created_at)


def _subject(step: Signing, presets: Mapping[str, Preset]) -> Subject:
    preset = presets.get(step.connection.preset)
    asking = find_asking(step.rt, step.connectors, step.tenant, step.connection)
    return Subject(
        connection=step.connection,
        addresses=addresses_of(step.tenant, step.connection),
        side=preset.sides.get(step.connection.kind) if preset else None,
        has_lookup=asking is not None,
        now=step.ctx.now,
    )


def _with_lookup(step: Signing, identity: VerifiedIdentity) -> tuple[VerifiedIdentity, GroupAnswer | None]:
    """Return the identity with the groups that count, and what their source says if there is one."""
    asking = find_asking(step.rt, step.connectors, step.tenant, step.connection)
    if asking is None:
        return identity, None
    now = step.ctx.now
    completed, again = complete_groups(asking, identity, now)
    if not asking.plan.connection:
        return completed, asking.ask(again.key if again else "", now)
    answer = GroupAnswer(
        groups=completed.groups,
        state=completed.groups_state,
        source=completed.groups_source,
        fetched_at=now,
        problem=completed.groups_problem,
    )
    return completed, answer


def _forget_old(session: Session, step: Signing) -> None:
    """Delete all but the newest reports of the connection, so that there is room for one more."""
    ours = (
        ConnectionTest.tenant_id == step.tenant.id,
        ConnectionTest.connection_id == step.connection.id,
    )
    kept = (
        select(ConnectionTest.id)
        .where(*ours)
        .order_by(ConnectionTest.created_at.desc(), ConnectionTest.id.desc())
        .limit(MOST_KEPT - 1)
    )
    session.execute(
        delete(ConnectionTest)
        .where(*ours, ConnectionTest.id.not_in(list(session.scalars(kept))))
        .execution_options(synchronize_session=False)
    )


def _write_down(
    session: Session, step: Signing, actor: ActorRef, test_id: str, state: str, rows: Sequence[Row]
) -> None:
    record(
        session.connection(),
        step.ctx,
        tenant_id=step.tenant.id,
        event=AuditEvent.CONNECTION_TESTED,
        actor=actor,
        target_id=step.connection.id,
        data={
            "test_id": test_id,
            "state": state,
            "failed": [row.name for row in rows if row.state == "failed"],
        },
        writer_id=step.rt.writer_id,
    )


def _seal(rt: Runtime, tenant_id: str, test_id: str, actor: ActorRef, rows: Sequence[Row]) -> bytes:
    # A report names a person and their groups.
    report = {"actor": [actor.kind, actor.id], "rows": [asdict(row) for row in rows]}
    return rt.sealer.seal(orjson.dumps(report), _place(tenant_id, test_id))


def _place(tenant_id: str, test_id: str) -> str:
    return f"{tenant_id}/connection_tests/sealed_report/{test_id}"

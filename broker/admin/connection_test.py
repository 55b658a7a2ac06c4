"""What administrators see and do of connection tests: start one, read one, list the last ones."""

from collections.abc import Callable, Mapping
from typing import Any

from broker.admin.changes import Desk, bad_form, not_found
from broker.admin.connections import get_connection
from broker.federation.connection_tests import (
    KEEP_SECONDS,
    ConnectionReport,
    StartedTest,
    begin_test,
    find_test,
    list_tests,
)
from broker.federation.steps import Signing
from broker.tenants.snapshot import ConnectionView
from idp_connectors.base import ChecksItself, Connector
from idp_connectors.presets.preset import Preset


def start_test(
    desk: Desk,
    connection_id: str,
    connectors: Mapping[str, Connector],
    presets: Mapping[str, Preset],
    *,
    browser_secret: str,
    result_path: Callable[[str], str],
) -> StartedTest:
    """Begin to try a connection, switched off or not; raises ``Refusal``."""
    connection = get_connection(desk, connection_id)
    connector = connectors.get(connection.kind)
    if connector is None or not _may_be_tried(connector):
        raise bad_form("This kind of connection cannot be tried.")
    step = Signing(desk.rt, desk.tenant, connection, connector, connectors, desk.ctx)
    return begin_test(
        step, presets, actor=desk.who.actor, browser_secret=browser_secret, result_path=result_path
    )


def tests_context(desk: Desk, connection_id: str, connectors: Mapping[str, Connector]) -> dict[str, Any]:
    """Return the context of ``admin/connection_tests.html``; raises ``Refusal(not_found)``."""
    connection = get_connection(desk, connection_id)
    reports = list_tests(desk.rt, desk.tenant.id, connection.id, desk.now)
    return {
        "connection": _words(connection),
        "can_test": _may_be_tried(connectors.get(connection.kind)),
        "tests": [_summary(report) for report in reports],
        "keep_seconds": KEEP_SECONDS,
    }


def test_context(desk: Desk, test_id: str, presets: Mapping[str, Preset]) -> dict[str, Any]:
    """Return the context of ``admin/connection_test.html``; raises ``Refusal(not_found)``."""
    report = find_test(desk.rt, desk.tenant.id, test_id, desk.now)
    if report is None:
        raise not_found("connection_test")
    connection = get_connection(desk, report.connection_id)
    preset = presets.get(connection.preset)
    return {
        "connection": _words(connection),
        "provider_title": preset.title if preset else connection.name,
        "test": _summary(report),
        "rows": report.rows,
    }


def _may_be_tried(connector: Connector | None) -> bool:
    return isinstance(connector, ChecksItself)


def _words(connection: ConnectionView) -> dict[str, str]:
    return {"connection_id": connection.id, "name": connection.name}


def _summary(report: ConnectionReport) -> dict[str, Any]:
    counts = {
        state: sum(row.state == state for row in report.rows)
        for state in ("passed", "warning", "failed", "not_reached")
    }
    troubled = [row for state in ("failed", "warning") for row in report.rows if row.state == state]
    return {
        "test_id": report.id,
        "state": report.state,
        "created_at": report.created_at,
        "counts": counts,
        "first_trouble": troubled[0].title if troubled else "",
    }

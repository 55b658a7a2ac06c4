"""Trying a connection: the list of tests, starting one in a window of its own, its result."""

from flask import render_template, url_for
from flask.typing import ResponseReturnValue

from broker.admin import connection_test
from broker.admin.views.gate import blueprint, desk
from broker.web.browser import ensure_browser_secret
from broker.web.current import connectors, presets
from broker.web.onward import lead_to, see_other


@blueprint.get("/admin/connections/<connection_id>/tests", endpoint="connection_tests")
def show_tests(connection_id: str) -> ResponseReturnValue:
    """Show what was tried of a connection, and let it be tried again."""
    context = connection_test.tests_context(desk(), connection_id, connectors())
    return render_template("admin/connection_tests.html", **context)


@blueprint.post("/admin/connections/<connection_id>/tests", endpoint="start_connection_test")
def start(connection_id: str) -> ResponseReturnValue:
    """Begin a test; this window goes to the provider, or to the result if that is no use."""
    here = desk()

    def result_path(test_id: str) -> str:
        return url_for("admin.connection_test", tenant=here.tenant.slug, test_id=test_id)

    started = connection_test.start_test(
        here,
        connection_id,
        connectors(),
        presets(),
        browser_secret=ensure_browser_secret(),
        result_path=result_path,
    )
    return lead_to(started.address) if started.address else see_other(result_path(started.id))


@blueprint.get("/admin/connection-tests/<test_id>", endpoint="connection_test")
def show_test(test_id: str) -> ResponseReturnValue:
    """Show what one test found, row by row."""
    context = connection_test.test_context(desk(), test_id, presets())
    return render_template("admin/connection_test.html", **context)

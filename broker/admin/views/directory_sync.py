"""The walk of a connection's directory: its progress and what it waits for."""

from flask import make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from broker.admin.directory_sync import act_on_sync, sync_context
from broker.admin.views.gate import blueprint, desk
from broker.web.current import connectors
from broker.web.onward import see_other

_PAGE = "/admin/connections/<connection_id>/sync"
_REFRESH_SECONDS = "10"


@blueprint.get(_PAGE, endpoint="directory_sync")
def show_sync(connection_id: str) -> ResponseReturnValue:
    """Show how far the last walk is; while one runs the page loads itself again."""
    context = sync_context(desk(), connection_id)
    page = make_response(render_template("admin/directory_sync.html", **context))
    if context["walk"] is not None and context["walk"].state == "running":
        page.headers["Refresh"] = _REFRESH_SECONDS
    return page


@blueprint.post(_PAGE, endpoint="directory_sync_action")
def change_sync(connection_id: str) -> ResponseReturnValue:
    """Begin, confirm or cancel a walk."""
    here = desk()
    act_on_sync(here, connection_id, connectors(), request.form.get("action", ""))
    return see_other(url_for("admin.directory_sync", tenant=here.tenant.slug, connection_id=connection_id))

"""Identity providers: the list, one of them, and switching it off and on."""

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue

from broker.admin.connection_wizard import Kit
from broker.admin.connections import act_on_connection, connection_context, find_removal, list_connections
from broker.admin.views.gate import blueprint, desk, done_id
from broker.web.current import connectors, presets
from broker.web.onward import see_other


@blueprint.get("/admin/connections", endpoint="connections")
def show_connections() -> ResponseReturnValue:
    """Show the tenant's identity providers."""
    return render_template(
        "admin/connections.html",
        connections=list_connections(desk(), Kit(connectors(), presets())),
        receipt=find_removal(desk(), done_id()),
    )


@blueprint.get("/admin/connections/<connection_id>", endpoint="connection")
def show_connection(connection_id: str) -> ResponseReturnValue:
    """Show one identity provider: addresses, settings, certificates, last sign-ins."""
    context = connection_context(desk(), connection_id, Kit(connectors(), presets()), done_id())
    return render_template("admin/connection.html", **context)


@blueprint.post("/admin/connections/<connection_id>", endpoint="connection_action")
def change_connection(connection_id: str) -> ResponseReturnValue:
    """Disable or enable an identity provider."""
    here = desk()
    act_on_connection(here, connection_id, request.form.get("action", ""))
    done = here.ctx.request_id
    return see_other(
        url_for("admin.connection", tenant=here.tenant.slug, connection_id=connection_id, done=done)
    )

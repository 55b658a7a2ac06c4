"""Changing and removing a connection."""

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue

from broker.admin.connection_editing import edit_connection, edit_context, restore_form
from broker.admin.connection_reading import read_edited
from broker.admin.connection_removal import removal_context, remove_connection
from broker.admin.connection_wizard import Kit
from broker.admin.connections import get_connection
from broker.admin.views.connection_wizard import sent_form, sent_metadata
from broker.admin.views.gate import blueprint, desk
from broker.web.current import connectors, presets
from broker.web.onward import see_other


@blueprint.get("/admin/connections/<connection_id>/edit", endpoint="edit_connection")
def show_form(connection_id: str) -> ResponseReturnValue:
    """Show the settings of a connection in a form; secrets are not among them."""
    context = edit_context(desk(), Kit(connectors(), presets()), connection_id)
    return render_template("admin/connection_edit.html", **context)


@blueprint.post("/admin/connections/<connection_id>/edit", endpoint="change_connection")
def save_form(connection_id: str) -> ResponseReturnValue:
    """Store the changed settings, or read the provider's own document into the form."""
    here, kit = desk(), Kit(connectors(), presets())
    form = restore_form(here, kit, connection_id, sent_form())
    if form.get("do") == "read":
        connector = kit.connectors[get_connection(here, connection_id).kind]
        reading = read_edited(here, connector, form, sent_metadata())
        context = edit_context(here, kit, connection_id, form, {}, reading)
        return render_template("admin/connection_edit.html", **context), 400 if reading.error else 200
    errors = edit_connection(here, kit, connection_id, form)
    if errors:
        context = edit_context(here, kit, connection_id, form, errors)
        return render_template("admin/connection_edit.html", **context), 400
    done = here.ctx.request_id
    return see_other(
        url_for("admin.connection", tenant=here.tenant.slug, connection_id=connection_id, done=done)
    )


@blueprint.get("/admin/connections/<connection_id>/remove", endpoint="removal")
def show_removal(connection_id: str) -> ResponseReturnValue:
    """Say what would end and be gone with a connection."""
    return render_template("admin/connection_remove.html", error="", **removal_context(desk(), connection_id))


@blueprint.post("/admin/connections/<connection_id>/remove", endpoint="remove_connection")
def remove(connection_id: str) -> ResponseReturnValue:
    """Remove a connection whose word was typed."""
    here = desk()
    if not remove_connection(here, connection_id, request.form.get("slug", "")):
        context = removal_context(here, connection_id)
        error = f"Type {context['connection']['slug']} to remove it."
        return render_template("admin/connection_remove.html", error=error, **context), 400
    return see_other(url_for("admin.connections", tenant=here.tenant.slug, done=here.ctx.request_id))

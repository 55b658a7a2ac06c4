"""What a provider knows of us and we of it: our keys and certificates, its metadata."""

from flask import make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from broker.admin.connection_keys import act_on_keys, certificate_file, keys_context
from broker.admin.connection_metadata import act_on_metadata, metadata_context
from broker.admin.connection_wizard import Kit
from broker.admin.views.gate import blueprint, desk, done_id
from broker.web.current import connectors, presets
from broker.web.onward import see_other

_KEYS = "/admin/connections/<connection_id>/keys"
_METADATA = "/admin/connections/<connection_id>/metadata"


@blueprint.get(_KEYS, endpoint="connection_keys")
def show_keys(connection_id: str) -> ResponseReturnValue:
    """Show our keys towards a SAML provider, and the next step of changing them."""
    context = keys_context(desk(), Kit(connectors(), presets()), connection_id, done_id())
    return render_template("admin/connection_keys.html", **context)


@blueprint.post(_KEYS, endpoint="connection_keys_action")
def change_keys(connection_id: str) -> ResponseReturnValue:
    """Publish the next keys, use them, or drop the former ones."""
    here = desk()
    is_brought = request.form.get("brought") == "on"
    act_on_keys(here, connection_id, request.form.get("action", ""), is_brought=is_brought)
    return _back(connection_id, "admin.connection_keys")


@blueprint.get(f"{_KEYS}/certificate", endpoint="connection_certificate")
def give_certificate(connection_id: str) -> ResponseReturnValue:
    """Give one of our certificates as a PEM file, for consoles that want to be handed it."""
    use, number = request.args.get("use", "signing"), request.args.get("number", "")
    name, pem = certificate_file(desk(), connection_id, use, number)
    response = make_response(pem)
    response.headers["Content-Type"] = "application/x-pem-file"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@blueprint.get(_METADATA, endpoint="connection_metadata")
def show_metadata(connection_id: str) -> ResponseReturnValue:
    """Compare what the provider's metadata offers with what is in force."""
    context = metadata_context(desk(), Kit(connectors(), presets()), connection_id, done_id())
    return render_template("admin/connection_metadata.html", **context)


@blueprint.post(_METADATA, endpoint="connection_metadata_action")
def change_metadata(connection_id: str) -> ResponseReturnValue:
    """Read the metadata now, or take or refuse what it offers."""
    action, stamp = request.form.get("action", ""), request.form.get("stamp", "")
    act_on_metadata(desk(), connectors(), connection_id, action, stamp)
    return _back(connection_id, "admin.connection_metadata")


def _back(connection_id: str, endpoint: str) -> ResponseReturnValue:
    here = desk()
    return see_other(
        url_for(endpoint, tenant=here.tenant.slug, connection_id=connection_id, done=here.ctx.request_id)
    )

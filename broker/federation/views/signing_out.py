"""Where providers send the browser of somebody who signed out here and then there."""

from flask import render_template, request
from flask.typing import ResponseReturnValue

from broker.federation import sign_out_at_provider
from broker.federation.signing_in import open_signing
from broker.web.browser import find_browser_secret
from broker.web.current import call_context, connectors, runtime, tenant
from broker.web.limits import first_values
from broker.web.pages import tenant_blueprint

blueprint = tenant_blueprint("sign_out", __name__)


@blueprint.get("/oidc/<connection>/signed-out")
def signed_out(connection: str) -> ResponseReturnValue:
    """Say that the provider is done too (RP-Initiated Logout 1.0 §3)."""
    return _confirm(connection, "oidc", "state")


def _confirm(connection: str, kind: str, parameter: str) -> ResponseReturnValue:
    query = first_values(list(request.args.items(multi=True)))
    step = open_signing(runtime(), connectors(), tenant(), connection, call_context(), kind=kind)
    sign_out_at_provider.confirm(
        step,
        handle=query.get(parameter, ""),
        query_string=request.query_string.decode("latin-1"),
        browser_secret=find_browser_secret(),
    )
    return render_template(
        "sign_in/signed_out.html", connection_name=step.connection.name, is_complete=True, provider_url=""
    )

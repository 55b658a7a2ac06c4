"""Where providers send the browser of somebody who signed out here and then there."""

from flask import render_template, request
from flask.typing import ResponseReturnValue

from broker.audit.events import AuditEvent
from broker.federation import sign_out_at_provider, upstream_sign_out
from broker.federation.refusals import record_refusal
from broker.federation.steps import open_signing
from broker.kernel.errors import Refusal
from broker.web.browser import find_browser_secret
from broker.web.current import call_context, connectors, runtime, tenant
from broker.web.limits import first_values
from broker.web.onward import see_other
from broker.web.pages import tenant_blueprint

blueprint = tenant_blueprint("sign_out", __name__)


@blueprint.get("/oidc/<connection>/signed-out")
def signed_out(connection: str) -> ResponseReturnValue:
    """Say that the provider is done too (RP-Initiated Logout 1.0 §3)."""
    return _confirm(connection, "oidc", "state")


@blueprint.get("/saml/<connection>/slo")
def single_logout(connection: str) -> ResponseReturnValue:
    """Take a sign-out that the provider began, or its answer to one of ours (SAML 2.0 Profiles §4.4).

    What ends is named by the message. The browser's cookie decides nothing, because in a provider's frame
    it is not there.
    """
    if "SAMLResponse" in request.args:
        return _confirm(connection, "saml", "RelayState")
    try:
        step = open_signing(runtime(), connectors(), tenant(), connection, call_context(), kind="saml")
        location = upstream_sign_out.take_message(step, query_string=_raw_query())
    except Refusal as refusal:
        event = AuditEvent.SIGN_OUT_REFUSED
        record_refusal(runtime(), tenant(), call_context(), connection, refusal, event)
        raise
    return see_other(location) if location else _page(step.connection.name)


def _confirm(connection: str, kind: str, parameter: str) -> ResponseReturnValue:
    query = first_values(list(request.args.items(multi=True)))
    step = open_signing(runtime(), connectors(), tenant(), connection, call_context(), kind=kind)
    sign_out_at_provider.confirm(
        step,
        handle=query.get(parameter, ""),
        query_string=_raw_query(),
        browser_secret=find_browser_secret(),
    )
    return _page(step.connection.name)


def _page(connection_name: str) -> str:
    return render_template(
        "sign_in/signed_out.html", connection_name=connection_name, is_complete=True, provider_url=""
    )


def _raw_query() -> str:
    """Return the query as it was sent: signatures cover those octets."""
    return request.query_string.decode("latin-1")

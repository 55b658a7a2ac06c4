"""Where identity providers tell, from server to server, that somebody signed out."""

from flask import Response, request

from broker.audit.events import AuditEvent
from broker.federation import upstream_sign_out
from broker.federation.refusals import record_refusal
from broker.federation.steps import open_signing
from broker.kernel.errors import Refusal
from broker.web.current import call_context, connectors, runtime, tenant
from broker.web.limits import first_values
from broker.web.pages import tenant_blueprint

blueprint = tenant_blueprint("back_channel", __name__)


@blueprint.post("/oidc/<connection>/backchannel-logout")
def logout(connection: str) -> Response:
    """Take a logout token and end what it names (OpenID Connect Back-Channel Logout 1.0 §2.5 to §2.8)."""
    try:
        form = first_values(list(request.form.items(multi=True)))
        step = open_signing(runtime(), connectors(), tenant(), connection, call_context(), kind="oidc")
        upstream_sign_out.take_message(step, form=form)
    except Refusal as refusal:
        event = AuditEvent.SIGN_OUT_REFUSED
        record_refusal(runtime(), tenant(), call_context(), connection, refusal, event)
        raise
    # No cache may answer in our place: the next message must reach us (§2.8).
    return Response(status=200, headers={"Cache-Control": "no-store"})

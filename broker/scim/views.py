"""Flask's side of SCIM: everything below a tenant's SCIM root goes to one function."""

from flask import Blueprint, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from broker.web.current import runtime
from broker.web.plain_adapter import flask_response, plain_request

blueprint = Blueprint("scim", __name__)

MAX_BODY_BYTES = 2_097_152
"""A group with twenty thousand members in one PUT; providers send a thousand at a time."""

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@blueprint.route("/t/<tenant>/scim/v2", methods=_METHODS, defaults={"path": ""})
@blueprint.route("/t/<tenant>/scim/v2/<path:path>", methods=_METHODS)
def scim(tenant: str, path: str) -> Response:
    """Answer a SCIM request."""
    # The protocol's models take a second to load, which a broker that nobody provisions never pays.
    from broker.scim import serving

    request.max_content_length = MAX_BODY_BYTES
    try:
        plain = plain_request()
    except RequestEntityTooLarge:
        return flask_response(serving.too_large())
    return flask_response(serving.answer(runtime(), tenant, path, plain))

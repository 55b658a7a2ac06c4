"""Flask's side of discovery; the short lane calls the same function first."""

from importlib.resources import files

from flask import Blueprint, Response, abort

from broker.discovery.agent_document import SCHEMA_PATH
from broker.discovery.documents import schema_reply, well_known
from broker.web.current import runtime
from broker.web.plain_adapter import flask_response, plain_request

blueprint = Blueprint("discovery", __name__)


@blueprint.route("/.well-known/<name>/t/<tenant>")
@blueprint.route("/t/<tenant>/.well-known/<name>")
def document(tenant: str, name: str) -> Response:
    """Answer a well-known address."""
    reply = well_known(runtime(), plain_request())
    if reply is None:
        abort(404)
    return flask_response(reply)


@blueprint.route(SCHEMA_PATH)
def schema() -> Response:
    """Answer with the JSON Schema of the agent discovery document."""
    text = files("broker.discovery").joinpath("agent_broker_configuration_1.json").read_bytes()
    return flask_response(schema_reply(text))

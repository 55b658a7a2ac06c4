"""Flask's side of the protocol endpoints; the functions are the ones that the short lane calls."""

from flask import Blueprint, Response, request

from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.oauth import authorize
from broker.oauth.endpoints import ENDPOINTS, answer, answer_client
from broker.oauth.params import MAX_BODY_BYTES, parse_form, parse_pairs
from broker.web.browser import ensure_browser_secret
from broker.web.current import call_context, runtime
from broker.web.current import tenant as current_tenant
from broker.web.onward import post_to, see_other
from broker.web.plain_adapter import flask_response, plain_request
from broker.web.sessions import find_signed_in

blueprint = Blueprint("oauth", __name__)
_NAMES = ", ".join(ENDPOINTS)


@blueprint.route(f"/t/<tenant>/<any({_NAMES}):name>", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
def endpoint(tenant: str, name: str) -> Response:
    """Answer a protocol endpoint."""
    return flask_response(answer(runtime(), tenant, name, plain_request()))


@blueprint.route("/t/<tenant>/register/<client_id>", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
def registered_client(tenant: str, client_id: str) -> Response:
    """Answer a client that looks after its own registration."""
    return flask_response(answer_client(runtime(), tenant, client_id, plain_request()))


@blueprint.route("/t/<tenant>/authorize", methods=["GET", "POST"])
def authorization(tenant: str) -> Response:
    """Begin an authorization, or go on with one whose handle is in ``resume``."""
    if len(request.query_string) > MAX_BODY_BYTES:
        raise Refusal(ErrorCode.TOO_LARGE, "The request is too large.", reason="too_large")
    if request.method == "POST":
        # A form posted from another site brings no Lax cookies; the same request by GET does. Without
        # this: it would get a new flow cookie, and the browser's other open requests would die.
        parse_form(plain_request())
        return see_other(f"{request.path}?{request.get_data(as_text=True)}")
    params = parse_pairs(read_query())
    who = find_signed_in("person")
    session = who.session if who else None
    visit = authorize.Visit(runtime(), current_tenant(), call_context(), ensure_browser_secret(), session)
    handle = params.get("resume")
    onward = authorize.advance(visit, handle) if handle else authorize.begin(visit, params)
    if onward.fields is not None:
        return post_to(onward.location, onward.fields)
    return see_other(onward.location)


def read_query() -> str:
    """Return the query as it was sent; raises ``Refusal(invalid_request)`` where it is not ASCII."""
    try:
        return request.query_string.decode("ascii")
    except UnicodeDecodeError:
        raise Refusal(
            ErrorCode.INVALID_REQUEST,
            "The address is malformed.",
            reason="malformed",
            whose_move=WhoseMove.DEVELOPER,
        ) from None

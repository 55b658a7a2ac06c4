"""Every refusal and fault becomes an answer here, once: a page for people, RFC 6749 JSON for programs."""

import traceback

import structlog
from flask import Flask, Response, g, make_response, render_template, request
from flask_wtf.csrf import CSRFError
from markupsafe import Markup
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.plain import json_reply
from broker.web.current import call_context
from broker.web.plain_adapter import flask_response

_log = structlog.get_logger("web")

PROTOCOL_BLUEPRINTS = frozenset({"oauth", "discovery", "scim", "back_channel"})
"""Their callers are programs, so they are answered in JSON; all other callers see pages."""
PAGES_OF_PROTOCOLS = frozenset({"oauth.authorization"})
"""The protocol endpoints that a browser visits."""

_TITLES = {
    ErrorCode.NOT_FOUND: "There is nothing here",
    ErrorCode.FORBIDDEN: "You may not open this page",
    ErrorCode.BAD_FORM: "This form is no longer valid",
    ErrorCode.TOO_LARGE: "That is larger than we accept",
    ErrorCode.SIGN_IN_REFUSED: "You could not be signed in",
    ErrorCode.TOO_MANY_ATTEMPTS: "Too many attempts",
    ErrorCode.SIGN_IN_EXPIRED: "This sign-in can no longer be used",
    ErrorCode.ACCESS_DENIED: "Access was denied",
    ErrorCode.LINK_SPENT: "This link no longer works",
    ErrorCode.EGRESS_REFUSED: "Another server did not answer as it should",
    ErrorCode.SERVER_ERROR: "Something failed on our side",
    ErrorCode.TEMPORARILY_UNAVAILABLE: "We cannot save anything at the moment",
}
_USUAL_TITLE = "This request cannot be answered"


def install_errors(app: Flask) -> None:
    """Map refusals, HTTP errors and faults of ``app`` to answers that tell nothing of the inside."""
    app.register_error_handler(Refusal, answer_refusal)
    app.register_error_handler(CSRFError, _answer_forged_form)
    app.register_error_handler(HTTPException, _answer_http_error)
    app.register_error_handler(OperationalError, _answer_no_database)
    app.register_error_handler(Exception, _answer_fault)


def answer_refusal(refusal: Refusal) -> Response:
    """Return the refusal as a page or as JSON; its private detail is logged with the same request id."""
    ctx = call_context()
    _log.info(
        "refused",
        code=refusal.code.value,
        reason=refusal.reason,
        detail=refusal.detail,
        endpoint=request.endpoint or "",
        request_id=ctx.request_id,
    )
    return _json(refusal) if _is_program() else _page(refusal)


def _is_program() -> bool:
    if request.endpoint in PAGES_OF_PROTOCOLS:
        return False
    if request.blueprint in PROTOCOL_BLUEPRINTS:
        return True
    kinds = request.accept_mimetypes
    return kinds.accept_json and not kinds.accept_html


def _json(refusal: Refusal) -> Response:
    document = {
        "error": refusal.code.value,
        "error_description": refusal.public,
        "request_id": call_context().request_id,
    }
    return flask_response(json_reply(refusal.status, document))


def _page(refusal: Refusal) -> Response:
    ctx = call_context()
    title = _TITLES.get(refusal.code, _USUAL_TITLE)
    try:
        page: str = render_template(
            "error.html",
            title=title,
            message=refusal.public,
            whose_move=refusal.whose_move.value,
            what_to_do="",
            action=None,
            facts=[],
            code=refusal.code.value,
            request_id=ctx.request_id,
        )
    except Exception as fault:  # noqa: BLE001 (an error page that fails would show the framework's)
        _log_fault(fault)
        page = _bare_page(title, refusal.public, ctx.request_id)
    return make_response(page, refusal.status)


def _bare_page(title: str, message: str, request_id: str) -> str:
    return Markup("<!doctype html><html lang=en><title>{0}</title><h1>{0}</h1><p>{1}</p><p>{2}</p>").format(
        title, message, request_id
    )


def _answer_forged_form(_error: CSRFError) -> Response:
    return answer_refusal(
        Refusal(
            ErrorCode.BAD_FORM,
            "The page was open too long, or you signed in or out meanwhile. Nothing was changed.",
            reason="csrf_token",
            whose_move=WhoseMove.YOU,
        )
    )


def _answer_http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if status >= 500:
        return _answer_fault(error)
    if status == 404:
        refusal = Refusal(ErrorCode.NOT_FOUND, "No page has this address.", whose_move=WhoseMove.YOU)
    elif status == 413:
        refusal = Refusal(ErrorCode.TOO_LARGE, "The request is larger than any that we expect.")
    else:
        refusal = Refusal(ErrorCode.INVALID_REQUEST, "The request has a form that we do not understand.")
    response = answer_refusal(refusal)
    response.status_code = status
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(error.valid_methods)
    return response


def _answer_no_database(fault: OperationalError) -> Response:
    _log_fault(fault)
    response = answer_refusal(
        Refusal(
            ErrorCode.TEMPORARILY_UNAVAILABLE,
            "Nothing was changed. Try again in a moment.",
            reason="no_database",
            whose_move=WhoseMove.NOBODY,
        )
    )
    response.headers["Retry-After"] = "1"
    return response


def _answer_fault(fault: Exception) -> Response:
    _log_fault(fault)
    return answer_refusal(
        Refusal(
            ErrorCode.SERVER_ERROR,
            "Nothing was changed. If it happens again, tell us the request id.",
            whose_move=WhoseMove.NOBODY,
        )
    )


def _log_fault(fault: BaseException) -> None:
    """Log the kind of a fault and where it happened, without its text.

    Without this: an exception that quotes its input would write codes and assertions into the log.
    """
    if g.get("logged_fault") is fault:
        return
    g.logged_fault = fault
    places = [f"{at.filename}:{at.lineno} {at.name}" for at in traceback.extract_tb(fault.__traceback__)]
    _log.error("fault", kind=type(fault).__name__, places=places[-12:], request_id=call_context().request_id)

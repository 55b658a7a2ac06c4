"""OAuth errors as RFC 6749 JSON: a stable code, a safe description, the request id."""

from collections.abc import Sequence

import structlog

from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.plain import PlainReply, json_reply

_log = structlog.get_logger("oauth")

# Codes of ours that the token endpoint expresses in the words of RFC 6749.
_AS_OAUTH = {
    ErrorCode.TOO_LARGE: ErrorCode.INVALID_REQUEST,
    ErrorCode.NOT_FOUND: ErrorCode.INVALID_REQUEST,
    ErrorCode.FORBIDDEN: ErrorCode.ACCESS_DENIED,
}


def error_reply(
    refusal: Refusal,
    ctx: CallContext,
    *,
    has_basic: bool = False,
    more: Sequence[tuple[str, str]] = (),
) -> PlainReply:
    """Return a refusal as RFC 6749 §5.2 JSON, with ``more`` headers.

    The private detail is logged with the same request id.
    """
    _log.info(
        "refused",
        code=refusal.code.value,
        reason=refusal.reason,
        detail=refusal.detail,
        request_id=ctx.request_id,
    )
    error = _AS_OAUTH.get(refusal.code, refusal.code)
    document = {
        "error": error.value,
        "error_description": refusal.public,
        "request_id": ctx.request_id,
        **refusal.members,
    }
    headers = [("Pragma", "no-cache"), ("Cache-Control", "no-store"), *more]
    if refusal.code is ErrorCode.INVALID_CLIENT and has_basic:
        headers.append(("WWW-Authenticate", 'Basic realm="token"'))
    if refusal.code is ErrorCode.INVALID_TOKEN:
        headers.append(("WWW-Authenticate", 'Bearer error="invalid_token"'))
    if refusal.code is ErrorCode.TEMPORARILY_UNAVAILABLE:
        headers.append(("Retry-After", "1"))
    if refusal.code is ErrorCode.TOO_MANY_REQUESTS:
        headers.append(("Retry-After", "60"))
    return json_reply(refusal.status, document, headers)


def fault_reply(ctx: CallContext) -> PlainReply:
    """Return ``server_error`` for a fault of ours; what happened is in the log only."""
    _log.exception("fault", request_id=ctx.request_id)
    document = {
        "error": ErrorCode.SERVER_ERROR.value,
        "error_description": "Something failed here and nothing was issued. Try again.",
        "request_id": ctx.request_id,
    }
    return json_reply(500, document)

"""The bridge between Flask and endpoint functions that take and return plain values."""

from flask import Response, request

from broker.kernel.plain import PlainReply, PlainRequest
from broker.web.current import call_context


def plain_request() -> PlainRequest:
    """Return the request at hand as a plain value; its body is bounded by the shell's limit."""
    return PlainRequest(
        method=request.method,
        path=request.path,
        query_string=request.query_string.decode("latin-1"),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.get_data(),
        ctx=call_context(),
    )


def flask_response(reply: PlainReply) -> Response:
    """Return a plain reply as Flask answers it, with its headers and no others."""
    response = Response(reply.body, status=reply.status)
    # Flask would add its own Content-Type where the reply has none.
    response.headers.clear()
    for name, value in reply.headers:
        response.headers.add(name, value)
    return response

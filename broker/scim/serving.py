"""One SCIM request from its token to its answer: who pushes, what it does, what is written down."""

import traceback
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import orjson
import structlog
from scim2_models import (
    ForbiddenException,
    InvalidSyntaxException,
    PayloadTooLargeException,
    UnauthorizedException,
)
from scim2_server.requests import ScimRequest as CoreRequest
from scim2_server.responses import SCIM_MEDIA_TYPE, ScimResponse
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from broker.kernel.plain import NO_STORE, PlainReply, PlainRequest
from broker.kernel.runtime import Runtime
from broker.scim.access import TokenView, base_url, find_token, note_use
from broker.scim.desk import PushDesk, push_desk
from broker.scim.request_log import log_request
from broker.scim.service import SERVICE, BrokerScimHandler
from broker.scim.storage import SqlStorage
from broker.tenants.snapshot import TenantSnapshot, find_tenant

_log = structlog.get_logger("scim")
MAX_QUERY_CHARS = 4_000


def answer(rt: Runtime, slug: str, path: str, request: PlainRequest) -> PlainReply:
    """Answer a request below a tenant's SCIM root; ``path`` begins behind it. Never raises."""
    desk = None
    try:
        desk = _open_desk(rt, slug, request)
        response = _serve(desk, path, request)
    except OperationalError:
        return _unavailable()
    except Exception as fault:  # noqa: BLE001 (one place turns every fault into an answer that tells nothing)
        response = SERVICE.error_response(fault)
        if (
            response.status >= HTTPStatus.INTERNAL_SERVER_ERROR
            and response.status != HTTPStatus.NOT_IMPLEMENTED
        ):
            _note_fault(fault, request)
        if desk is not None:
            _submit_line(desk, path, request, response)
    return _reply(response)


def too_large() -> PlainReply:
    """Return the answer to a body that is larger than any that is honestly pushed."""
    return _reply(SERVICE.error_response(PayloadTooLargeException(detail="The request is too large.")))


def _open_desk(rt: Runtime, slug: str, request: PlainRequest) -> PushDesk:
    tenant = find_tenant(rt, slug)
    token = _token_of(rt, tenant, request) if tenant is not None and tenant.is_active else None
    if tenant is None or token is None:
        # Without one answer for all of these: anybody could learn which organisations are customers.
        raise UnauthorizedException(detail="The token is missing, unknown, expired or revoked.")
    connection = tenant.connections.get(token.connection_id)
    if connection is None or not connection.is_active:
        raise ForbiddenException(detail="The connection that this token belongs to is switched off.")
    return push_desk(rt, tenant, connection, token, request.ctx)


def _token_of(rt: Runtime, tenant: TenantSnapshot, request: PlainRequest) -> TokenView | None:
    given = request.headers.get("authorization", "").strip()
    scheme, _, rest = given.partition(" ")
    # Okta's "HTTP Header" mode sends what the administrator pasted, with or without the scheme.
    secret = rest.strip() if scheme.lower() == "bearer" else given
    with rt.database.core_read() as connection:
        return find_token(connection, tenant.id, secret, request.ctx.now)


def _serve(desk: PushDesk, path: str, request: PlainRequest) -> ScimResponse:
    if len(request.query_string) > MAX_QUERY_CHARS:
        raise InvalidSyntaxException(detail="The query is too long.")
    core = CoreRequest(
        method=request.method,
        base_url=base_url(desk.tenant),
        path="/" + path,
        query=dict(parse_qsl(request.query_string, keep_blank_values=True)),
        headers=request.headers,
        body=request.body,
        subject=desk.token,
    )
    reads = request.method == "GET" or path.endswith(".search")
    storage = SqlStorage(desk, writes=not reads)
    asks_for_body = bool({"attributes", "excludedAttributes"} & core.query.keys())
    with storage.request():
        response = BrokerScimHandler(SERVICE, storage, asks_for_body=asks_for_body).handle(core)
        if storage.written is not None:
            # The line of a change is part of it, so that a push costs one commit and not two.
            _write_line(storage.written, desk, path, request, response)
            return response
    _submit_line(desk, path, request, response)
    return response


def _submit_line(desk: PushDesk, path: str, request: PlainRequest, response: ScimResponse) -> None:
    try:
        desk.rt.committer.submit(lambda tx: _write_line(tx.connection, desk, path, request, response))
    except Exception as fault:  # noqa: BLE001 (what was asked is answered; a log that fails must not undo it)
        _note_fault(fault, request)


def _write_line(
    core: Connection, desk: PushDesk, path: str, request: PlainRequest, response: ScimResponse
) -> None:
    failed = response.status >= HTTPStatus.BAD_REQUEST
    error: dict[str, Any] = (response.body or {}) if failed else {}
    note_use(core, desk.tenant.id, desk.token, desk.now)
    log_request(core, desk, request, "/" + path, int(response.status), error)


def _reply(response: ScimResponse) -> PlainReply:
    body = b"" if response.body is None else orjson.dumps(response.body)
    headers = [(name, value) for name, value in response.headers.items() if body or name != "Content-Type"]
    return PlainReply(int(response.status), body, [*headers, NO_STORE])


def _unavailable() -> PlainReply:
    document = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": "503",
        "detail": "Nothing was changed. Try again in a moment.",
    }
    return PlainReply(
        503, orjson.dumps(document), [("Content-Type", SCIM_MEDIA_TYPE), ("Retry-After", "1"), NO_STORE]
    )


def _note_fault(fault: BaseException, request: PlainRequest) -> None:
    # The kind and the place, never the text: it may quote what was pushed.
    places = [f"{at.filename}:{at.lineno} {at.name}" for at in traceback.extract_tb(fault.__traceback__)]
    _log.error("fault", kind=type(fault).__name__, places=places[-12:], request_id=request.ctx.request_id)

"""What providers asked, for administrators: kept a week, bounded per tenant, without personal values."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

import orjson
from sqlalchemy import ColumnElement, Connection, Table, delete, insert, select, tuple_
from sqlalchemy.orm import Session

from broker.kernel.ids import new_id
from broker.kernel.plain import PlainRequest
from broker.kernel.prepared import Prepared
from broker.scim.desk import PushDesk
from broker.scim.models import ScimRequest

KEEP_SECONDS = 7 * 86_400
MAX_ROWS = 5_000
"""A tenant's newest requests; the oldest go first."""

MAX_BODY_CHARS = 4_000
_INSERT = Prepared(insert(cast(Table, ScimRequest.__table__)))
_TRIM_EVERY = 64
_MAX_ITEMS = 20
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_PLAIN_WORDS = frozenset({"work", "home", "other", "true", "false"})
_SHOWN = frozenset(
    {"schemas", "op", "path", "id", "$ref", "type", "externalid", "active", "primary", "value"}
)
_OPAQUE = re.compile(
    r"(?:scu|scg)_[0-9a-z]{20}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|00[ug][0-9A-Za-z]{17}"
)


@dataclass(frozen=True, slots=True)
class RequestView:
    """One request as the log shows it."""

    id: str
    connection_id: str
    token_id: str
    request_id: str
    at: int
    method: str
    path: str
    query: str
    status: int
    scim_type: str
    detail: str
    body: str
    user_agent: str


def log_request(
    connection: Connection,
    desk: PushDesk,
    request: PlainRequest,
    path: str,
    status: int,
    error: Mapping[str, Any],
) -> None:
    """Write a request down; ``error`` is the SCIM error that answered it, or empty."""
    row = {
        "id": new_id("scr"),
        "tenant_id": desk.tenant.id,
        "connection_id": desk.connection.id,
        "token_id": desk.token.id,
        "request_id": desk.ctx.request_id,
        "at": desk.now,
        "expires_at": desk.now + KEEP_SECONDS,
        "method": request.method[:8],
        "path": _printable(path)[:200],
        "query": redact_query(request.query_string)[:500],
        "status": status,
        "scim_type": str(error.get("scimType") or "")[:32],
        "detail": _unquoted(str(error.get("detail") or ""))[:300],
        "body": redact_body(request.body),
        "user_agent": _printable(request.headers.get("user-agent", ""))[:100],
    }
    _INSERT.run(connection, row)
    # One in so many, so that the bound costs next to nothing and a flood cannot pass it by much.
    if secrets.randbelow(_TRIM_EVERY) == 0:
        trim_log(connection, desk.tenant.id)


def trim_log(connection: Connection, tenant_id: str, keep: int = MAX_ROWS) -> int:
    """Delete all but a tenant's ``keep`` newest requests; returns how many went."""
    newest = (
        select(ScimRequest.at)
        .where(ScimRequest.tenant_id == tenant_id)
        .order_by(ScimRequest.at.desc())
        .offset(keep)
        .limit(1)
    )
    oldest = connection.execute(newest).scalar()
    if oldest is None:
        return 0
    gone = delete(ScimRequest).where(ScimRequest.tenant_id == tenant_id, ScimRequest.at <= oldest)
    return connection.execute(gone).rowcount


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests to list; an empty field does not filter. ``outcome`` is "ok" or "refused"."""

    connection_id: str = ""
    method: str = ""
    outcome: str = ""
    kind: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class RequestPage:
    """Requests, newest first; ``next_cursor`` is what to ask with for older ones, "" at the end."""

    requests: tuple[RequestView, ...]
    next_cursor: str


def list_requests(
    session: Session, tenant_id: str, wanted: RequestFilter, *, cursor: str = "", limit: int = 50
) -> RequestPage:
    """Return a page of a tenant's requests, at most 200; an unknown cursor begins at the newest."""
    limit = max(1, min(limit, 200))
    query = select(ScimRequest).where(ScimRequest.tenant_id == tenant_id, *_conditions(wanted))
    at, _, last_id = cursor.partition(".")
    if at.isascii() and at.isdigit() and len(at) <= 12:
        query = query.where(tuple_(ScimRequest.at, ScimRequest.id) < (int(at), last_id[:40]))
    rows = session.scalars(
        query.order_by(ScimRequest.at.desc(), ScimRequest.id.desc()).limit(limit + 1)
    ).all()
    shown = tuple(
        RequestView(**{name: getattr(row, name) for name in RequestView.__slots__}) for row in rows[:limit]
    )
    return RequestPage(shown, f"{shown[-1].at}.{shown[-1].id}" if len(rows) > limit else "")


def _conditions(wanted: RequestFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.connection_id:
        found.append(ScimRequest.connection_id == wanted.connection_id)
    if wanted.method:
        found.append(ScimRequest.method == wanted.method)
    if wanted.outcome:
        is_ok = ScimRequest.status < 400
        found.append(is_ok if wanted.outcome == "ok" else ~is_ok)
    if wanted.kind:
        found.append(ScimRequest.path.startswith(f"/{wanted.kind}", autoescape=True))
    if wanted.request_id:
        found.append(ScimRequest.request_id == wanted.request_id)
    return found


def redact_query(query_string: str) -> str:
    """Return a query with the values in its filter hidden."""
    pairs = parse_qsl(query_string[:2_000], keep_blank_values=True)
    return urlencode([(name, _unquoted(value)) for name, value in pairs], safe='[]"". ')


def redact_body(body: bytes) -> str:
    """Return the shape of a JSON body: names, operations, ids and switches, but nobody's name or address.

    Without this: the log would be a second directory, and would keep the passwords that Okta makes up.
    """
    if not body:
        return ""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return f"({len(body)} bytes that are not JSON)"
    try:
        text = orjson.dumps(_hidden(document, "")).decode()
    except RecursionError:
        return f"({len(body)} bytes, nested too deep)"
    return text if len(text) <= MAX_BODY_CHARS else text[:MAX_BODY_CHARS] + "…"


def _hidden(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        pairs = list(value.items())[:_MAX_ITEMS]
        return {_unquoted(_printable(key))[:120]: _hidden(item, key.lower()) for key, item in pairs}
    if isinstance(value, list):
        shown = [_hidden(item, name) for item in value[:_MAX_ITEMS]]
        left = len(value) - len(shown)
        return [*shown, f"({left} more)"] if left else shown
    if isinstance(value, str):
        return _hidden_text(value, name)
    return value if value is None or isinstance(value, bool) else "(number)"


def _hidden_text(value: str, name: str) -> str:
    if name in {"op", "path", "schemas", "type"}:
        return _unquoted(_printable(value))[:200]
    if name in _SHOWN and (_OPAQUE.search(value) or value.lower() in _PLAIN_WORDS):
        return _printable(value)[:200]
    return f"({len(value)} characters)"


def _unquoted(text: str) -> str:
    """Hide what stands in quotation marks, except ids of ours and words of the protocol."""

    def hide(found: re.Match[str]) -> str:
        inner = found.group(1)
        shown = inner.lower() in _PLAIN_WORDS or _OPAQUE.fullmatch(inner)
        return f'"{inner}"' if shown else f'"({len(inner)} characters)"'

    return _QUOTED.sub(hide, _printable(text))


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(char for char in text if char.isprintable())

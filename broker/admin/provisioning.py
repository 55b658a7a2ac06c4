"""What administrators see and do of SCIM: tokens of one connection, what it pushed, and the request log."""

from dataclasses import dataclass
from typing import Any

from broker.admin.changes import Desk, bad_form, change, find_done, not_found
from broker.admin.connections import get_connection
from broker.audit.events import AuditEvent
from broker.scim.access import (
    MAX_DAYS,
    READ,
    SCOPES,
    IssuedScimToken,
    TokenView,
    base_url,
    issue_token,
    list_tokens,
    replace_tokens,
    revoke_token,
)
from broker.scim.request_log import RequestFilter, RequestView, list_requests
from broker.scim.state import read_state

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
OUTCOMES = ("ok", "refused")
KINDS = ("Users", "Groups")
ENTRA_FLAG = "?aadOptscim062020"
"""Entra's own switch for requests that follow the standard more closely; it stays in the tenant URL."""

OVERLAPS = {"": None, "0": 0, "24": 24, "168": 168}
"""Hours for which the former tokens stay good, by the form's choices; None keeps them as they are."""

_SHOWN_ENDED = 20


@dataclass(frozen=True, slots=True)
class TokenForm:
    """The fields of the form that makes a token, as they were sent."""

    name: str
    days: str
    access: str
    matching: str
    overlap: str


def provisioning_context(desk: Desk, connection_id: str, done: str) -> dict[str, Any]:
    """Return the context of ``admin/provisioning.html``; raises ``Refusal(not_found)``."""
    connection = get_connection(desk, connection_id)
    with desk.rt.database.read(desk.tenant.id) as session:
        tokens = list_tokens(session, desk.tenant.id, connection.id)
        state = read_state(session, desk.tenant.id, connection.id)
        refused = list_requests(
            session, desk.tenant.id, RequestFilter(connection_id=connection.id, outcome="refused"), limit=5
        )
    live = [one for one in tokens if one.is_live(desk.now)]
    ended = [one for one in reversed(tokens) if not one.is_live(desk.now)][:_SHOWN_ENDED]
    return {
        "connection": {
            "connection_id": connection.id,
            "name": connection.name,
            "is_active": connection.is_active,
        },
        "state": state,
        "urls": {"base": base_url(desk.tenant), "entra": base_url(desk.tenant) + ENTRA_FLAG},
        "tokens": [_token_words(one, desk.now) for one in [*live, *ended]],
        "live_count": len(live),
        "refused": [_request_words(one, {}) for one in refused.requests],
        "max_days": MAX_DAYS,
        "receipt": _find_receipt(desk, done),
    }


def make_token(desk: Desk, connection_id: str, form: TokenForm) -> IssuedScimToken:
    """Make a token, and let the connection's others end after the overlap that was chosen.

    Raises ``Refusal``: ``not_found``, ``bad_form``, and ``bad_configuration`` for fields that do not fit.
    """
    connection = get_connection(desk, connection_id)
    if not connection.is_active:
        raise bad_form("The connection is disabled. Enable it first; its tokens open nothing until then.")
    if form.overlap not in OVERLAPS or form.access not in ("write", "read"):
        raise bad_form("Choose one of the values that the page offers.")
    if not form.days.isascii() or not form.days.isdigit() or len(form.days) > 4:
        raise bad_form(f"Days: a number from 1 to {MAX_DAYS}.")
    with change(desk) as session:
        made = issue_token(
            session,
            desk.rt,
            desk.ctx,
            desk.tenant,
            connection,
            desk.who.actor,
            name=form.name.strip(),
            days=int(form.days),
            scopes=SCOPES if form.access == "write" else {READ},
            matching=form.matching,
        )
        hours = OVERLAPS[form.overlap]
        if hours is not None:
            replace_tokens(
                session,
                desk.rt,
                desk.ctx,
                desk.tenant,
                connection.id,
                desk.who.actor,
                keep=made.view.id,
                until=desk.now + hours * 3_600,
            )
    return made


def end_token(desk: Desk, connection_id: str, token_id: str) -> None:
    """End a token of this connection at once; raises ``Refusal``: ``not_found``, ``bad_form``.

    Without the check of the connection: the page of one connection would end another's token.
    """
    connection = get_connection(desk, connection_id)
    with change(desk) as session:
        if token_id not in {one.id for one in list_tokens(session, desk.tenant.id, connection.id)}:
            raise not_found("scim_token")
        if not revoke_token(session, desk.rt, desk.ctx, desk.tenant, token_id, desk.who.actor):
            raise bad_form("This token had ended already.")


def log_context(desk: Desk, connection_id: str, wanted: RequestFilter, cursor: str) -> dict[str, Any]:
    """Return the context of ``admin/provisioning_log.html``; raises ``Refusal(not_found)``."""
    connection = get_connection(desk, connection_id)
    with desk.rt.database.read(desk.tenant.id) as session:
        page = list_requests(session, desk.tenant.id, wanted, cursor=cursor)
        names = {one.id: one.name for one in list_tokens(session, desk.tenant.id, connection.id)}
    return {
        "connection": {"connection_id": connection.id, "name": connection.name},
        "requests": [_request_words(one, names) for one in page.requests],
        "next_cursor": page.next_cursor,
        "filters": {
            "method": wanted.method,
            "outcome": wanted.outcome,
            "kind": wanted.kind,
            "request_id": wanted.request_id,
        },
        "methods": [(one, one) for one in METHODS],
        "kinds": [("Users", "People"), ("Groups", "Groups")],
    }


def _token_words(token: TokenView, now: int) -> dict[str, Any]:
    state = "revoked" if token.revoked_at is not None else "live" if token.is_live(now) else "expired"
    return {
        "token_id": token.id,
        "name": token.name,
        "access": "read and write" if token.scopes == SCOPES else "read only",
        "state": state,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "last_used_at": token.last_used_at,
    }


def _request_words(one: RequestView, names: dict[str, str]) -> dict[str, Any]:
    return {
        "at": one.at,
        "method": one.method,
        "path": one.path,
        "query": one.query,
        "status": one.status,
        "outcome": "ok" if one.status < 400 else "refused",
        "scim_type": one.scim_type,
        "detail": one.detail,
        "body": one.body,
        "user_agent": one.user_agent,
        "token_name": names.get(one.token_id, ""),
        "request_id": one.request_id,
    }


def _find_receipt(desk: Desk, done: str) -> dict[str, str] | None:
    event = find_done(desk, done)
    if event is None or event.event != AuditEvent.SCIM_TOKEN_REVOKED:
        return None
    return {
        "title": "The token was revoked.",
        "text": "It opens nothing from now on. With the last token, groups come from sign-in again.",
    }

"""Browser sessions: kept here, revocable, with an idle and an absolute limit. The cookie is only a secret."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy import Connection, Row, Table, bindparam, insert, select, update
from sqlalchemy.orm import Session

from broker.directory.models import User
from broker.kernel.ids import new_id, new_secret, sha256_hex
from broker.kernel.prepared import Prepared
from broker.kernel.runtime import Runtime
from broker.tenants.models import Connection as IdpConnection
from broker.tokens import models
from broker.tokens.logout_notices import note_ends
from broker.tokens.upstream_sessions import UpstreamName, person_key, session_key

TOUCH_SECONDS = 60
"""A session in use is written to at most this often."""

_TABLE = cast(Table, models.BrowserSession.__table__)
_USERS = cast(Table, User.__table__)
_CONNECTIONS = cast(Table, IdpConnection.__table__)

_INSERT = Prepared(insert(_TABLE))
_FIND = (
    select(
        _TABLE,
        _USERS.c.state.label("user_state"),
        _USERS.c.cutoff_at.label("user_cutoff_at"),
        _CONNECTIONS.c.state.label("connection_state"),
        _CONNECTIONS.c.cutoff_at.label("connection_cutoff_at"),
    )
    .select_from(
        _TABLE.outerjoin(
            _USERS, (_USERS.c.id == _TABLE.c.user_id) & (_USERS.c.tenant_id == _TABLE.c.tenant_id)
        ).outerjoin(
            _CONNECTIONS,
            (_CONNECTIONS.c.id == _TABLE.c.connection_id) & (_CONNECTIONS.c.tenant_id == _TABLE.c.tenant_id),
        )
    )
    .where(_TABLE.c.tenant_id == bindparam("tenant"), _TABLE.c.secret_hash == bindparam("hash"))
)


@dataclass(frozen=True, slots=True)
class BrowserSessionView:
    """A signed-in browser; ``id`` is public (the ``sid`` of tokens), times are epoch seconds.

    ``proven_at`` is when the person proved who they are, as their provider tells it; None if it does not.
    """

    id: str
    kind: str
    user_id: str | None
    connection_id: str | None
    auth_time: int
    proven_at: int | None
    acr: str
    amr: tuple[str, ...]
    created_at: int
    seen_at: int
    expires_at: int


def start_session(
    where: Connection | Session,
    rt: Runtime,
    *,
    tenant_id: str,
    kind: Literal["person", "admin"],
    now: int,
    user_id: str | None = None,
    connection_id: str | None = None,
    auth_time: int | None = None,
    acr: str = "",
    amr: Sequence[str] = (),
    upstream: bytes | None = None,
    upstream_name: UpstreamName | None = None,
    not_after: int | None = None,
) -> tuple[BrowserSessionView, str]:
    """Start a session and return it with the secret for its cookie; only the secret's hash is kept.

    Every sign-in gets a secret of its own. Without this: whoever planted a cookie before the sign-in
    would share the session after it. ``upstream`` is sealed: what sign-out at the identity provider will
    need. By ``upstream_name`` it is found when the provider signs the person out. ``not_after`` (epoch
    seconds) is the end that the identity provider set, if it did.
    """
    limit = now + rt.settings.session_absolute_seconds
    secret = new_secret()
    view = BrowserSessionView(
        id=new_id("ses"),
        kind=kind,
        user_id=user_id,
        connection_id=connection_id,
        auth_time=now if auth_time is None else auth_time,
        proven_at=auth_time,
        acr=acr,
        amr=tuple(amr),
        created_at=now,
        seen_at=now,
        expires_at=limit if not_after is None else min(limit, not_after),
    )
    row = _row(view) | {
        "tenant_id": tenant_id,
        "secret_hash": sha256_hex(secret),
        "sealed_upstream": upstream and rt.sealer.seal(upstream, _context(tenant_id, view.id)),
        "upstream_person": upstream_name and person_key(rt, upstream_name),
        "upstream_session": upstream_name and session_key(rt, upstream_name),
    }
    connection = where.connection() if isinstance(where, Session) else where
    _INSERT.run(connection, row)
    return view, secret


def find_session(rt: Runtime, tenant_id: str, cookie_secret: str, now: int) -> BrowserSessionView | None:
    """Return the live session of this tenant that the cookie's secret belongs to, or None.

    Live is: not ended, within the idle and the absolute limit, and its person and connection enabled
    since it began. The tenant itself is the caller's to check.
    """
    with rt.database.core_read() as connection:
        row = connection.execute(_FIND, {"tenant": tenant_id, "hash": sha256_hex(cookie_secret)}).first()
    if row is None or row.ended_at is not None or row.expires_at <= now:
        return None
    if now - row.seen_at >= rt.settings.session_idle_seconds:
        return None
    if row.user_id and not _counts(row.created_at, row.user_state, row.user_cutoff_at):
        return None
    if row.connection_id and not _counts(row.created_at, row.connection_state, row.connection_cutoff_at):
        return None
    return _view(row)


def touch_session(rt: Runtime, tenant_id: str, session: BrowserSessionView, now: int) -> None:
    """Note that a session is in use, at most once a minute; never revives one that has ended."""
    if now - session.seen_at < TOUCH_SECONDS:
        return
    with rt.database.core_write() as connection:
        connection.execute(
            update(_TABLE)
            .where(
                _TABLE.c.tenant_id == tenant_id,
                _TABLE.c.id == session.id,
                _TABLE.c.ended_at.is_(None),
                _TABLE.c.seen_at < now,
            )
            .values(seen_at=now)
        )


def end_session(
    connection: Connection, tenant_id: str, session_id: str, now: int, *, tells_clients: bool = True
) -> bool:
    """End one session and erase what was kept for it; returns whether it was still open.

    Clients that got tokens in it are noted to be told, unless the person only proved again who they are.
    """
    if tells_clients:
        note_ends(connection, tenant_id, _TABLE.c.id == session_id, now)
    result = connection.execute(
        update(_TABLE)
        .where(_TABLE.c.tenant_id == tenant_id, _TABLE.c.id == session_id, _TABLE.c.ended_at.is_(None))
        .values(ended_at=now, sealed_upstream=None)
    )
    return result.rowcount == 1


def open_upstream(rt: Runtime, tenant_id: str, session_id: str) -> bytes | None:
    """Return what sign-out at the identity provider needs, or None; raises ``SealBroken``."""
    with rt.database.core_read() as connection:
        sealed = connection.execute(
            select(_TABLE.c.sealed_upstream).where(_TABLE.c.tenant_id == tenant_id, _TABLE.c.id == session_id)
        ).scalar()
    return None if sealed is None else rt.sealer.open(sealed, _context(tenant_id, session_id))


def _counts(began_at: int, state: str | None, cutoff_at: int) -> bool:
    return state == "active" and began_at > cutoff_at


def _context(tenant_id: str, session_id: str) -> str:
    return f"{tenant_id}/browser_sessions/sealed_upstream/{session_id}"


def _row(view: BrowserSessionView) -> dict[str, Any]:
    columns = {name: getattr(view, name) for name in BrowserSessionView.__slots__}
    return {**columns, "amr": list(view.amr), "ended_at": None}


def _view(row: Row[Any]) -> BrowserSessionView:
    return BrowserSessionView(
        id=row.id,
        kind=row.kind,
        user_id=row.user_id,
        connection_id=row.connection_id,
        auth_time=row.auth_time,
        proven_at=row.proven_at,
        acr=row.acr,
        amr=tuple(row.amr),
        created_at=row.created_at,
        seen_at=row.seen_at,
        expires_at=row.expires_at,
    )

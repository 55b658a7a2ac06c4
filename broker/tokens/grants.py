"""Grants: the stored permission that codes, refresh tokens and access tokens hang on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection, Table, bindparam, insert, select

from broker.directory.models import User
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.ids import new_id
from broker.kernel.prepared import Prepared
from broker.tokens import models

_TABLE = cast(Table, models.Grant.__table__)
_USERS = cast(Table, User.__table__)

_GRANT = (
    select(_TABLE, _USERS.c.state.label("user_state"), _USERS.c.cutoff_at.label("user_cutoff_at"))
    .select_from(
        _TABLE.outerjoin(
            _USERS, (_USERS.c.id == _TABLE.c.user_id) & (_USERS.c.tenant_id == _TABLE.c.tenant_id)
        )
    )
    .where(_TABLE.c.tenant_id == bindparam("tenant"), _TABLE.c.id == bindparam("grant"))
)
_SELECT = Prepared(_GRANT)
# Waits for a change of the person's groups that is under way, and such a change waits for us
# (``lost_roles``). Other changes of the person go on.
_HOLD_PERSON = Prepared(
    select(_USERS.c.id)
    .where(_USERS.c.tenant_id == bindparam("tenant"), _USERS.c.id == bindparam("of_user"))
    .with_for_update(read=True, key_share=True)
)
_SELECT_HELD = Prepared(_GRANT.with_for_update(read=True, of=_TABLE))
_INSERT = insert(_TABLE)
_FIND_STANDING = Prepared(
    select(_TABLE.c.id)
    .where(
        _TABLE.c.tenant_id == bindparam("tenant"),
        _TABLE.c.client_id == bindparam("client"),
        _TABLE.c.user_id.is_(None),
        _TABLE.c.ended_at.is_(None),
        _TABLE.c.expires_at > bindparam("after"),
    )
    .limit(1)
)
# A standing grant about to end is replaced early, so that no token is cut short by it.
_STANDING_MARGIN_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class GrantView:
    """A grant as it is now, with the state of its person; times are epoch seconds."""

    id: str
    user_id: str | None
    client_id: str
    agent_id: str | None
    connection_id: str | None
    session_id: str | None
    consent_id: str | None
    resources: tuple[str, ...]
    scopes: tuple[str, ...]
    auth_time: int | None
    acr: str
    amr: tuple[str, ...]
    created_at: int
    expires_at: int
    ended_at: int | None
    ended_by: str
    user_state: str | None
    user_cutoff_at: int


def open_grant(
    connection: Connection,
    *,
    tenant_id: str,
    client_id: str,
    resources: Iterable[str],
    scopes: Iterable[str],
    now: int,
    expires_at: int,
    user_id: str | None = None,
    agent_id: str | None = None,
    connection_id: str | None = None,
    session_id: str | None = None,
    consent_id: str | None = None,
    auth_time: int | None = None,
    acr: str = "",
    amr: Sequence[str] = (),
) -> str:
    """Store a permission and return its id; ``resources`` and ``scopes`` are its ceiling.

    ``session_id`` is the browser session it came from; ``expires_at`` in epoch seconds is absolute.
    """
    grant_id = new_id("grt")
    if user_id is not None:
        _HOLD_PERSON.rows(connection, {"tenant": tenant_id, "of_user": user_id})
    connection.execute(
        _INSERT,
        {
            "tenant_id": tenant_id,
            "id": grant_id,
            "user_id": user_id,
            "client_id": client_id,
            "agent_id": agent_id,
            "connection_id": connection_id,
            "session_id": session_id,
            "consent_id": consent_id,
            "resources": sorted(resources),
            "scopes": sorted(scopes),
            "auth_time": auth_time,
            "acr": acr,
            "amr": list(amr),
            "created_at": now,
            "expires_at": expires_at,
            "ended_at": None,
            "ended_by": "",
        },
    )
    return grant_id


def load_grant(connection: Connection, tenant_id: str, grant_id: str, *, is_held: bool = False) -> GrantView:
    """Return the grant, live or not; raises ``Refusal(invalid_grant)`` if there is none.

    With ``is_held`` it cannot be ended by others until this transaction is over: hold the grant before
    minting under it. Without this: on PostgreSQL a token could be inserted while a revocation that does
    not see it yet walks over its tree.
    """
    statement = _SELECT_HELD if is_held else _SELECT
    found = statement.rows(connection, {"tenant": tenant_id, "grant": grant_id})
    if not found:
        raise Refusal(ErrorCode.INVALID_GRANT, "The permission no longer exists.", reason="grant_gone")
    row = found[0]
    return GrantView(
        id=row.id,
        user_id=row.user_id,
        client_id=row.client_id,
        agent_id=row.agent_id,
        connection_id=row.connection_id,
        session_id=row.session_id,
        consent_id=row.consent_id,
        resources=tuple(row.resources),
        scopes=tuple(row.scopes),
        auth_time=row.auth_time,
        acr=row.acr,
        amr=tuple(row.amr),
        created_at=row.created_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
        user_state=row.user_state,
        user_cutoff_at=row.user_cutoff_at or 0,
    )


def find_person_grant(
    connection: Connection, tenant_id: str, *, client_id: str, user_id: str, session_id: str, now: int
) -> str | None:
    """Return the newest live grant of a person for a client, of that browser session if one is named."""
    conditions = [
        _TABLE.c.tenant_id == tenant_id,
        _TABLE.c.client_id == client_id,
        _TABLE.c.user_id == user_id,
        _TABLE.c.ended_at.is_(None),
        _TABLE.c.expires_at > now,
    ]
    if session_id:
        conditions.append(_TABLE.c.session_id == session_id)
    found: str | None = connection.execute(
        select(_TABLE.c.id).where(*conditions).order_by(_TABLE.c.created_at.desc(), _TABLE.c.id).limit(1)
    ).scalar()
    return found


def standing_grant_id(
    connection: Connection,
    *,
    tenant_id: str,
    client_id: str,
    agent_id: str,
    resources: Iterable[str],
    scopes: Iterable[str],
    now: int,
    expires_at: int,
) -> str:
    """Return the grant on which an agent's tokens in its own name hang, opening one if none is live.

    It stands for the client itself, so that one row can end all of them. ``expires_at`` counts for a new one.
    """
    found = _FIND_STANDING.rows(
        connection, {"tenant": tenant_id, "client": client_id, "after": now + _STANDING_MARGIN_SECONDS}
    )
    return (
        found[0].id
        if found
        else open_grant(
            connection,
            tenant_id=tenant_id,
            client_id=client_id,
            agent_id=agent_id,
            resources=resources,
            scopes=scopes,
            now=now,
            expires_at=expires_at,
        )
    )

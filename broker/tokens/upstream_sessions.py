"""Browser sessions by what their identity provider calls them: found and ended when it says so.

Stored are keyed hashes: a NameID is often an e-mail address, and nobody needs to read it back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import ColumnElement, Connection, Table, and_, or_, select, update

from broker.kernel.runtime import Runtime
from broker.tokens import models
from broker.tokens.cascade import GRANTS, Ended, end_grants_where
from broker.tokens.logout_notices import note_ends

_TABLE = cast(Table, models.BrowserSession.__table__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamName:
    """What a connection's provider calls a person and a session; what it does not tell is empty."""

    connection_id: str
    issuer: str
    person: str = ""
    session: str = ""


@dataclass(frozen=True, slots=True)
class EndedUpstream:
    """The sessions that were open until now, as (id, user id), and what ended in all."""

    sessions: tuple[tuple[str, str | None], ...]
    ended: Ended


def person_key(rt: Runtime, name: UpstreamName) -> str | None:
    """Return what a session of this person is stored and found under, or None for an unnamed one."""
    return _key(rt, "upstream-person", name.connection_id, name.issuer, name.person)


def session_key(rt: Runtime, name: UpstreamName) -> str | None:
    """Return what this session is stored and found under, or None for an unnamed one."""
    return _key(rt, "upstream-session", name.connection_id, name.issuer, name.session)


def end_upstream_sessions(
    connection: Connection,
    rt: Runtime,
    tenant_id: str,
    names: Sequence[UpstreamName],
    *,
    with_grants: bool,
    cause: str,
    now: int,
) -> EndedUpstream:
    """End the browser sessions that fit one of ``names``, and on request the grants given in them.

    A name with person and session fits that session of that person, and a session of theirs whose
    provider told no name of it at sign-in. Grants end also where the browser session was over before.
    """
    fitting = [fits for name in names if (fits := _fitting(rt, name)) is not None]
    if not fitting:
        return EndedUpstream((), Ended())
    mine = and_(_TABLE.c.tenant_id == tenant_id, or_(*fitting))
    found = connection.execute(select(_TABLE.c.id, _TABLE.c.user_id).where(mine)).all()
    ids = [row.id for row in found]
    note_ends(connection, tenant_id, _TABLE.c.id.in_(ids), now)
    ended = connection.execute(
        update(_TABLE)
        .where(_TABLE.c.tenant_id == tenant_id, _TABLE.c.id.in_(ids), _TABLE.c.ended_at.is_(None))
        .values(ended_at=now, sealed_upstream=None)
        .returning(_TABLE.c.id, _TABLE.c.user_id)
    ).all()
    total = Ended(sessions=len(ended))
    if with_grants and found:
        owners = {row.user_id for row in found}
        given_in_them = and_(GRANTS.c.user_id.in_(owners), GRANTS.c.session_id.in_(ids))
        total += end_grants_where(connection, tenant_id, given_in_them, cause, now)
    return EndedUpstream(tuple((row.id, row.user_id) for row in ended), total)


def _fitting(rt: Runtime, name: UpstreamName) -> ColumnElement[bool] | None:
    person, session = person_key(rt, name), session_key(rt, name)
    if person is None:
        # Without this: a message that names nobody would fit every session without a name.
        return None if session is None else _TABLE.c.upstream_session == session
    theirs = _TABLE.c.upstream_person == person
    if session is None:
        return theirs
    return theirs & ((_TABLE.c.upstream_session == session) | _TABLE.c.upstream_session.is_(None))


def _key(rt: Runtime, purpose: str, connection_id: str, issuer: str, name: str) -> str | None:
    if not name:
        return None
    # Without the connection in it: one provider of a tenant could end the sessions of another's people.
    return rt.sealer.fingerprint(purpose, f"{connection_id}\0{issuer}\0{name}")

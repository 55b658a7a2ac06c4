"""Personal access tokens: a person's own handle on a grant, for one agent, that only an exchange takes.

The secret is shown once; its keyed hash is kept. What it may do is the grant's, so everything that ends
grants ends it too, and it never does more than its owner could now.
"""

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import ColumnElement, Connection, Table, and_, select, update

from broker.kernel.ids import new_id, new_secret, sha256_hex
from broker.tokens import models
from broker.tokens.grants import open_grant
from broker.tokens.sessions import BrowserSessionView

MAX_LIVE = 20
"""A person who needs more at once is making one for each run."""

_PREFIX = "asb_pat_"
_SHAPE = re.compile(rf"{_PREFIX}([A-Za-z0-9_-]{{43}})_([0-9a-f]{{8}})", re.ASCII)
_USED_SECONDS = 60
_TABLE = cast(Table, models.PersonalToken.__table__)
_GRANTS = cast(Table, models.Grant.__table__)


@dataclass(frozen=True, slots=True)
class PersonalTokenView:
    """A stored personal token; ``ended_at`` is its grant's end, times are epoch seconds."""

    id: str
    name: str
    grant_id: str
    agent_id: str
    client_id: str
    resources: tuple[str, ...]
    scopes: tuple[str, ...]
    created_at: int
    expires_at: int
    used_at: int | None
    ended_at: int | None

    def is_live(self, now: int) -> bool:
        """Whether it has neither ended nor run out; its agent and owner are asked elsewhere."""
        return self.ended_at is None and now < self.expires_at


@dataclass(frozen=True, slots=True)
class IssuedPersonalToken:
    """A new personal token; ``secret`` exists in this value and in its owner's hands only."""

    view: PersonalTokenView
    secret: str


def issue_personal(
    connection: Connection,
    *,
    tenant_id: str,
    owner: BrowserSessionView,
    agent_id: str,
    client_id: str,
    name: str,
    resources: Iterable[str],
    scopes: Iterable[str],
    now: int,
    expires_at: int,
) -> IssuedPersonalToken:
    """Open a grant of its own for the person of ``owner`` and return a token for it.

    The grant outlives the browser session and keeps how the person had signed in there.
    """
    resources, scopes = tuple(sorted(resources)), tuple(sorted(scopes))
    grant_id = open_grant(
        connection,
        tenant_id=tenant_id,
        client_id=client_id,
        agent_id=agent_id,
        user_id=owner.user_id,
        connection_id=owner.connection_id,
        resources=resources,
        scopes=scopes,
        auth_time=owner.auth_time,
        acr=owner.acr,
        amr=owner.amr,
        now=now,
        expires_at=expires_at,
    )
    body = new_secret()
    secret = f"{_PREFIX}{body}_{_checksum(body)}"
    token_id = new_id("pat")
    connection.execute(
        _TABLE.insert().values(
            id=token_id,
            tenant_id=tenant_id,
            token_hash=sha256_hex(secret),
            grant_id=grant_id,
            user_id=owner.user_id,
            name=name,
            created_at=now,
            expires_at=expires_at,
            used_at=None,
        )
    )
    view = PersonalTokenView(
        token_id, name, grant_id, agent_id, client_id, resources, scopes, now, expires_at, None, None
    )
    return IssuedPersonalToken(view, secret)


def is_personal(token: str) -> bool:
    """Whether a text is spelled like a personal token, its checksum included; no database is asked."""
    found = _SHAPE.fullmatch(token)
    return found is not None and found[2] == _checksum(found[1])


def find_personal(connection: Connection, tenant_id: str, token: str) -> PersonalTokenView | None:
    """Return the stored token with that secret, live or not, or None."""
    if not is_personal(token):
        return None
    found = _views(connection, tenant_id, _TABLE.c.token_hash == sha256_hex(token))
    return found[0] if found else None


def list_personal(connection: Connection, tenant_id: str, user_id: str) -> list[PersonalTokenView]:
    """Return a person's tokens that are stored, newest first."""
    found = _views(connection, tenant_id, _TABLE.c.user_id == user_id)
    return sorted(found, key=lambda one: (-one.created_at, one.id))


def mark_used(connection: Connection, tenant_id: str, token: PersonalTokenView, now: int) -> None:
    """Keep when a token was used last, to the minute."""
    if token.used_at is None or token.used_at <= now - _USED_SECONDS:
        this = and_(_TABLE.c.tenant_id == tenant_id, _TABLE.c.id == token.id)
        connection.execute(update(_TABLE).where(this).values(used_at=now))


def _views(
    connection: Connection, tenant_id: str, condition: ColumnElement[bool]
) -> Sequence[PersonalTokenView]:
    rows = connection.execute(
        select(
            *(_TABLE.c.id, _TABLE.c.name, _TABLE.c.grant_id, _TABLE.c.created_at, _TABLE.c.expires_at),
            *(_TABLE.c.used_at, _GRANTS.c.agent_id, _GRANTS.c.client_id, _GRANTS.c.resources),
            *(_GRANTS.c.scopes, _GRANTS.c.ended_at),
        )
        .join_from(
            _TABLE,
            _GRANTS,
            and_(_GRANTS.c.id == _TABLE.c.grant_id, _GRANTS.c.tenant_id == _TABLE.c.tenant_id),
        )
        .where(_TABLE.c.tenant_id == tenant_id, condition)
    )
    return [
        PersonalTokenView(
            id=row.id,
            name=row.name,
            grant_id=row.grant_id,
            agent_id=row.agent_id,
            client_id=row.client_id,
            resources=tuple(row.resources),
            scopes=tuple(row.scopes),
            created_at=row.created_at,
            expires_at=row.expires_at,
            used_at=row.used_at,
            ended_at=row.ended_at,
        )
        for row in rows
    ]


def _checksum(body: str) -> str:
    """Return what lets a scanner tell a leaked token from a look-alike without asking anybody."""
    return f"{zlib.crc32(body.encode()):08x}"

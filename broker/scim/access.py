"""Who may push: tokens of one connection, issued once, replaced with overlap, ended at once."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection, Table, bindparam, delete, exists, select, update
from sqlalchemy.orm import Session

from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.directory.provisioning import release_groups
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.ids import new_id, new_secret, sha256_hex
from broker.kernel.prepared import Prepared
from broker.kernel.runtime import Runtime
from broker.kernel.upsert import dialect_insert
from broker.scim.models import ScimLink, ScimToken
from broker.tenants.snapshot import ConnectionView, TenantSnapshot

READ, WRITE = "scim:read", "scim:write"
SCOPES = frozenset({READ, WRITE})
MATCHINGS = frozenset({"external_id", "manual"})
"""What the admin says of ``externalId``: it is the subject of sign-in here, or it tells us nothing."""

PREFIX = "brk_scim_"
"""Scanners of leaked secrets know our tokens by it."""

MAX_LIVE_TOKENS = 10
MAX_DAYS = 730
_USED_SECONDS = 60
_TOKENS = cast(Table, ScimToken.__table__)
_LINKS = cast(Table, ScimLink.__table__)
_FIND_TOKEN = Prepared(
    select(_TOKENS).where(
        _TOKENS.c.tenant_id == bindparam("tenant"),
        _TOKENS.c.secret_hash == bindparam("of_hash"),
        _TOKENS.c.revoked_at.is_(None),
        _TOKENS.c.expires_at > bindparam("now"),
    )
)
_MATCHING = Prepared(
    select(_LINKS.c.matching).where(
        _LINKS.c.tenant_id == bindparam("tenant"), _LINKS.c.connection_id == bindparam("of_connection")
    )
)


def base_url(tenant: TenantSnapshot) -> str:
    """Return the address that an administrator gives to the provider; it has no underscore (Okta)."""
    return f"{tenant.issuer}/scim/v2"


@dataclass(frozen=True, slots=True)
class TokenView:
    """A token without its secret; times are epoch seconds."""

    id: str
    connection_id: str
    name: str
    scopes: frozenset[str]
    created_at: int
    expires_at: int
    last_used_at: int | None
    revoked_at: int | None

    def is_live(self, now: int) -> bool:
        """Whether the token opens anything at ``now``."""
        return self.revoked_at is None and self.expires_at > now


@dataclass(frozen=True, slots=True)
class IssuedScimToken:
    """A new token; the secret is known only here and now."""

    view: TokenView
    secret: str


def issue_token(
    session: Session,
    rt: Runtime,
    ctx: CallContext,
    tenant: TenantSnapshot,
    connection: ConnectionView,
    actor: ActorRef,
    *,
    name: str,
    days: int,
    scopes: Collection[str] = SCOPES,
    matching: str = "external_id",
) -> IssuedScimToken:
    """Return a new token of the connection, to be shown once; others stay good until replaced or revoked.

    Raises ``Refusal(bad_configuration)`` for an unknown scope or matching, ``days`` outside 1 to 730, or
    more than ten live tokens.
    """
    _check(name, days, scopes, matching)
    live = [one for one in list_tokens(session, tenant.id, connection.id) if one.is_live(ctx.now)]
    if len(live) >= MAX_LIVE_TOKENS:
        raise _refuse(f"this connection has {len(live)} live tokens already; revoke one first")
    _put_link(session.connection(), tenant.id, connection.id, matching, ctx.now)
    secret = PREFIX + new_secret()
    row = ScimToken(
        id=new_id("sct"),
        tenant_id=tenant.id,
        connection_id=connection.id,
        name=name,
        secret_hash=sha256_hex(secret),
        scopes=sorted(scopes),
        created_at=ctx.now,
        expires_at=ctx.now + days * 86_400,
    )
    session.add(row)
    session.flush()
    _write_down(session, rt, ctx, tenant.id, AuditEvent.SCIM_TOKEN_CREATED, actor, row, matching)
    return IssuedScimToken(_view(row), secret)


def replace_tokens(
    session: Session,
    rt: Runtime,
    ctx: CallContext,
    tenant: TenantSnapshot,
    connection_id: str,
    actor: ActorRef,
    *,
    keep: str,
    until: int,
) -> int:
    """Let every live token of the connection but ``keep`` end by ``until``; returns how many."""
    ended = (
        session.connection()
        .execute(
            update(ScimToken)
            .where(
                ScimToken.tenant_id == tenant.id,
                ScimToken.connection_id == connection_id,
                ScimToken.id != keep,
                ScimToken.revoked_at.is_(None),
                ScimToken.expires_at > until,
            )
            .values(expires_at=until)
        )
        .rowcount
    )
    if ended:
        record(
            session.connection(),
            ctx,
            tenant_id=tenant.id,
            event=AuditEvent.SCIM_TOKENS_REPLACED,
            writer_id=rt.writer_id,
            actor=actor,
            target_id=keep,
            data={"connection_id": connection_id, "replaced_count": ended, "expires_at": until},
        )
    return ended


def revoke_token(
    session: Session, rt: Runtime, ctx: CallContext, tenant: TenantSnapshot, token_id: str, actor: ActorRef
) -> bool:
    """End a token at once; False if it had ended. With the last one, groups come from sign-in again.

    Raises ``Refusal(not_found)``.
    """
    row = session.scalar(select(ScimToken).where(ScimToken.tenant_id == tenant.id, ScimToken.id == token_id))
    if row is None:
        raise Refusal(ErrorCode.NOT_FOUND, "There is no such token.", reason="unknown_token")
    if row.revoked_at is not None:
        return False
    row.revoked_at = ctx.now
    session.flush()
    others = list_tokens(session, tenant.id, row.connection_id)
    if not any(one.is_live(ctx.now) for one in others):
        _end_link(session.connection(), tenant.id, row.connection_id)
    _write_down(session, rt, ctx, tenant.id, AuditEvent.SCIM_TOKEN_REVOKED, actor, row)
    return True


def end_silent_links(rt: Runtime, now: int) -> int:
    """End the provisioning of connections whose last token has expired; returns how many there were.

    Looks at the connections that provision, of all tenants, and never at their people.
    """
    with rt.database.core_write() as connection:
        live = exists().where(
            ScimToken.tenant_id == ScimLink.tenant_id,
            ScimToken.connection_id == ScimLink.connection_id,
            ScimToken.revoked_at.is_(None),
            ScimToken.expires_at > now,
        )
        silent = connection.execute(select(ScimLink.tenant_id, ScimLink.connection_id).where(~live)).all()
        for tenant_id, connection_id in silent:
            _end_link(connection, tenant_id, connection_id)
    return len(silent)


def _end_link(connection: Connection, tenant_id: str, connection_id: str) -> None:
    # Without this: groups that nobody updates any more would outweigh what each sign-in tells.
    release_groups(connection, tenant_id, connection_id)
    connection.execute(
        delete(ScimLink).where(ScimLink.tenant_id == tenant_id, ScimLink.connection_id == connection_id)
    )


def list_tokens(session: Session, tenant_id: str, connection_id: str = "") -> list[TokenView]:
    """Return a tenant's or one connection's tokens, oldest first, ended ones included."""
    query = select(ScimToken).where(ScimToken.tenant_id == tenant_id)
    if connection_id:
        query = query.where(ScimToken.connection_id == connection_id)
    return [_view(row) for row in session.scalars(query.order_by(ScimToken.created_at, ScimToken.id))]


def find_token(connection: Connection, tenant_id: str, secret: str, now: int) -> TokenView | None:
    """Return this tenant's live token of that secret, or None.

    Without the tenant in the look-up: a token of one customer would open another's directory (C01).
    """
    if not secret.startswith(PREFIX) or len(secret) > 100:
        return None
    wanted = {"tenant": tenant_id, "of_hash": sha256_hex(secret), "now": now}
    return next((_view(row) for row in _FIND_TOKEN.rows(connection, wanted)), None)


def note_use(connection: Connection, tenant_id: str, token: TokenView, now: int) -> None:
    """Write down that a token was used, at most once a minute."""
    if token.last_used_at is not None and token.last_used_at > now - _USED_SECONDS:
        return
    connection.execute(
        update(ScimToken)
        .where(ScimToken.tenant_id == tenant_id, ScimToken.id == token.id)
        .values(last_used_at=now)
    )
    connection.execute(
        update(ScimLink)
        .where(ScimLink.tenant_id == tenant_id, ScimLink.connection_id == token.connection_id)
        .values(last_request_at=now)
    )


def matching_of(connection: Connection, tenant_id: str, connection_id: str) -> str:
    """Return what this connection's ``externalId`` stands for; "manual" where nobody said."""
    wanted = {"tenant": tenant_id, "of_connection": connection_id}
    return next((row.matching for row in _MATCHING.rows(connection, wanted)), "manual")


def _put_link(connection: Connection, tenant_id: str, connection_id: str, matching: str, now: int) -> None:
    insert = dialect_insert(connection)
    connection.execute(
        insert(ScimLink)
        .values(tenant_id=tenant_id, connection_id=connection_id, matching=matching, created_at=now)
        .on_conflict_do_update(index_elements=["tenant_id", "connection_id"], set_={"matching": matching})
    )


def _write_down(
    session: Session,
    rt: Runtime,
    ctx: CallContext,
    tenant_id: str,
    event: AuditEvent,
    actor: ActorRef,
    row: ScimToken,
    matching: str = "",
) -> None:
    record(
        session.connection(),
        ctx,
        tenant_id=tenant_id,
        event=event,
        writer_id=rt.writer_id,
        actor=actor,
        target_id=row.id,
        data={"connection_id": row.connection_id, "scopes": row.scopes, "expires_at": row.expires_at}
        | ({"matching": matching} if matching else {}),
    )


def _view(row: object) -> TokenView:
    names = [name for name in TokenView.__slots__ if name != "scopes"]
    values = {name: getattr(row, name) for name in names}
    return TokenView(scopes=frozenset(row.scopes), **values)  # type: ignore[attr-defined]


def _check(name: str, days: int, scopes: Collection[str], matching: str) -> None:
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise _refuse("name: 1 to 100 printable characters")
    if not 1 <= days <= MAX_DAYS:
        raise _refuse(f"days: 1 to {MAX_DAYS}")
    if not scopes or not SCOPES.issuperset(scopes):
        raise _refuse(f"scopes: one or both of {', '.join(sorted(SCOPES))}")
    if matching not in MATCHINGS:
        raise _refuse(f"matching: one of {', '.join(sorted(MATCHINGS))}")


def _refuse(why: str) -> Refusal:
    return Refusal(ErrorCode.BAD_CONFIGURATION, why, reason="bad_scim_token", whose_move=WhoseMove.ADMIN)

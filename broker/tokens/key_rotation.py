"""Moves signing keys on: published before they sign, retired after their last token, revoked at once.

A verifier that honours the JWK set's max-age never meets a token whose key it could not know, and never
loses a key whose tokens still live. One process at a time does what is due, for all tenants.
"""

from collections import Counter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, select, update
from sqlalchemy.orm import Session

from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.kernel.context import CallContext
from broker.kernel.ids import new_id
from broker.kernel.jobs import acquire_lease
from broker.kernel.runtime import Runtime
from broker.kernel.versions import bump
from broker.tenants.settings import TenantSettings
from broker.tenants.snapshot import TenantSnapshot, get_tenant
from broker.tokens.keys import (
    KEYS,
    KeyDraft,
    connection_of,
    create_key,
    draft_key,
    insert_key,
    wanted_algorithms,
)

MARGIN_SECONDS = 60
"""What a key is published longer than the JWK set may be kept, and kept longer than its tokens live: for
copies in our own processes, verifiers that ask at most twice a minute, and clocks that differ."""

LONGEST_TOKEN_SECONDS = {"access": 3600, "id": 86_400}
"""By use: what a key signed is over after this. Signing out shows an old ID token, as long as a session."""

REVOKED_SECONDS = 30 * 86_400
"""A revoked key is listed for a month; its tokens are over long before."""

DAY_SECONDS = 86_400
LEASE = "keys"
LEASE_SECONDS = 60
MAX_KEYS = 500
"""Keys that are looked at in one run; what is left is first at the next."""

SYSTEM = ActorRef("system", "keys")


def lead_seconds(settings: TenantSettings) -> int:
    """Return how long a key is published before it signs: until every copy of the set without it is stale.

    Without this: a resource that keeps the key set for its max-age would refuse the first tokens.
    """
    return settings.jwks_max_age_seconds + MARGIN_SECONDS


def keep_seconds(use: str) -> int:
    """Return how long a key stays published after its successor began to sign."""
    return LONGEST_TOKEN_SECONDS[use] + MARGIN_SECONDS


def rotate_key(
    rt: Runtime,
    tenant: TenantSnapshot,
    use: str = "access",
    *,
    ctx: CallContext,
    actor: ActorRef,
    algorithm: str = "",
    at_once: bool = False,
) -> list[str]:
    """Publish the next key of ``use`` for each algorithm that the tenant wants; returns their ids.

    A next key that is there already is left as it is. With ``at_once`` it signs now: verifiers that keep
    the former key set refuse its tokens until they ask again. ``algorithm`` is for this key alone.
    """
    kids = []
    for wanted in (algorithm,) if algorithm else wanted_algorithms(tenant.settings, use):
        draft = draft_key(rt, tenant.id, use, wanted)
        with rt.database.core_write() as connection:
            kid = _publish(connection, rt, tenant, draft, ctx, actor)
            if at_once:
                _use(connection, rt, tenant, kid, ctx, actor)
        kids.append(kid)
    return kids


def publish_missing_keys(rt: Runtime, tenant: TenantSnapshot, *, ctx: CallContext, actor: ActorRef) -> int:
    """Publish a key for every algorithm that the tenant wants and has no key of; returns how many."""
    made = 0
    for use in LONGEST_TOKEN_SECONDS:
        for algorithm in _missing(rt, tenant, use):
            draft = draft_key(rt, tenant.id, use, algorithm)
            with rt.database.core_write() as connection:
                made += _publish(connection, rt, tenant, draft, ctx, actor) == draft.kid
    return made


def revoke_key(where: Connection | Session, rt: Runtime, tenant_id: str, kid: str, *, now: int) -> bool:
    """End a key at once: what it signed no longer verifies. Returns whether there was such a key.

    Where nothing is left that signs, the key that was to be next signs from now on, or else a new one.
    """
    connection = connection_of(where)
    this = (KEYS.c.tenant_id == tenant_id) & (KEYS.c.id == kid) & (KEYS.c.state != "revoked")
    row = connection.execute(select(KEYS.c.use, KEYS.c.algorithm).where(this)).first()
    if row is None:
        return False
    # The sealed part is emptied: a key that was revoked must not be restorable from this row.
    connection.execute(
        update(KEYS)
        .where(this)
        .values(state="revoked", sealed_private=b"", changed_at=now, due_at=now + REVOKED_SECONDS)
    )
    bump(connection, tenant_id)
    alike = _alike(tenant_id, row.use, row.algorithm)
    if connection.execute(select(KEYS.c.id).where(alike, KEYS.c.state == "active")).first() is None:
        heir = connection.execute(select(KEYS.c.id).where(alike, KEYS.c.state == "next")).scalar()
        if heir is None:
            create_key(connection, rt, tenant_id, row.use, now=now, algorithm=row.algorithm)
        else:
            connection.execute(
                update(KEYS)
                .where(KEYS.c.tenant_id == tenant_id, KEYS.c.id == heir)
                .values(state="active", changed_at=now, due_at=now)
            )
    return True


def advance_keys(rt: Runtime) -> dict[str, int]:
    """Do what is due for keys of all tenants; returns how many were published, used, retired, removed.

    Does nothing while another process does it. Walks the index of due times, not the tenants.
    """
    now = rt.clock.now()
    with rt.database.core_write() as connection:
        if not acquire_lease(connection, name=LEASE, holder=rt.writer_id, now=now, ttl_seconds=LEASE_SECONDS):
            return {}
    done: Counter[str] = Counter()
    for row in _find_due(rt, now):
        tenant = get_tenant(rt, row.tenant_id)
        if tenant is not None:
            ctx = CallContext(now=now, request_id=new_id("req"))
            done[_advance(rt, tenant, row, ctx)] += 1
    return {what: number for what, number in done.items() if what != "waiting"}


def _find_due(rt: Runtime, now: int) -> list[Any]:
    with rt.database.core_read() as connection:
        rows = connection.execute(
            select(KEYS.c.tenant_id, KEYS.c.id, KEYS.c.use, KEYS.c.algorithm, KEYS.c.state, KEYS.c.changed_at)
            .where(KEYS.c.due_at <= now)
            .order_by(KEYS.c.due_at)
            .limit(MAX_KEYS)
        ).all()
    return list(rows)


def _advance(rt: Runtime, tenant: TenantSnapshot, row: Row[Any], ctx: CallContext) -> str:
    if row.state == "active":
        return _look_at_active(rt, tenant, row, ctx)
    with rt.database.core_write() as connection:
        if row.state == "next":
            _use(connection, rt, tenant, row.id, ctx, SYSTEM)
            return "used"
        _remove(connection, rt, tenant, row, ctx)
    return "removed"


def _look_at_active(rt: Runtime, tenant: TenantSnapshot, row: Row[Any], ctx: CallContext) -> str:
    """Publish a successor when it is time; look again a day later at the latest, for settings change."""
    publish_missing_keys(rt, tenant, ctx=ctx, actor=SYSTEM)
    publish_at = when_to_publish(tenant.settings, row.changed_at)
    wanted = wanted_algorithms(tenant.settings, row.use)
    if publish_at is None or ctx.now < publish_at or not tenant.is_active:
        tomorrow = ctx.now + DAY_SECONDS
        is_sooner = publish_at is not None and ctx.now < publish_at < tomorrow
        _look_again(rt, row, publish_at if is_sooner and publish_at else tomorrow)
        return "waiting"
    # An algorithm that is wanted no more has no successor; an access key's may have another algorithm.
    successor = wanted[0] if row.use == "access" else row.algorithm
    if successor not in wanted:
        with rt.database.core_write() as connection:
            _retire(connection, tenant.id, KEYS.c.id == row.id, row.use, ctx.now)
        return "retired"
    draft = draft_key(rt, tenant.id, row.use, successor)
    with rt.database.core_write() as connection:
        _publish(connection, rt, tenant, draft, ctx, SYSTEM)
    # The successor's first token retires this one; if the successor is revoked, there must be another.
    _look_again(rt, row, ctx.now + lead_seconds(tenant.settings) + DAY_SECONDS)
    return "published"


def when_to_publish(settings: TenantSettings, signs_since: int) -> int | None:
    """Return when the successor of an active key is published, None where keys change by hand only."""
    if not settings.key_rotation_days:
        return None
    return signs_since + settings.key_rotation_days * DAY_SECONDS - lead_seconds(settings)


def _publish(
    connection: Connection,
    rt: Runtime,
    tenant: TenantSnapshot,
    draft: KeyDraft,
    ctx: CallContext,
    actor: ActorRef,
) -> str:
    """Write the next key down unless there is one already; returns the id of the one that is next."""
    alike = _alike(tenant.id, draft.use, draft.algorithm)
    there = connection.execute(select(KEYS.c.id).where(alike, KEYS.c.state == "next")).scalar()
    if there is not None:
        return str(there)
    signs_at = ctx.now + lead_seconds(tenant.settings)
    insert_key(connection, tenant.id, draft, "next", now=ctx.now, due_at=signs_at)
    data = {"use": draft.use, "algorithm": draft.algorithm, "signs_at": signs_at}
    _record(connection, rt, tenant.id, ctx, actor, AuditEvent.KEY_CREATED, draft.kid, data)
    return draft.kid


def _use(
    connection: Connection, rt: Runtime, tenant: TenantSnapshot, kid: str, ctx: CallContext, actor: ActorRef
) -> None:
    """Let a published key sign and retire those that it takes over from; a second call changes nothing."""
    this = (KEYS.c.tenant_id == tenant.id) & (KEYS.c.id == kid) & (KEYS.c.state == "next")
    row = connection.execute(
        update(KEYS)
        .where(this)
        .values(state="active", changed_at=ctx.now, due_at=ctx.now)
        .returning(KEYS.c.use, KEYS.c.algorithm)
    ).first()
    if row is None:
        return
    rivals = _alike(tenant.id, row.use, row.algorithm) & (KEYS.c.id != kid)
    _retire(connection, tenant.id, rivals, row.use, ctx.now)
    data = {"use": row.use, "algorithm": row.algorithm}
    _record(connection, rt, tenant.id, ctx, actor, AuditEvent.KEY_ROTATED, kid, data)


def _retire(connection: Connection, tenant_id: str, which: ColumnElement[bool], use: str, now: int) -> None:
    connection.execute(
        update(KEYS)
        .where(KEYS.c.tenant_id == tenant_id, which, KEYS.c.state == "active")
        .values(state="retiring", changed_at=now, due_at=now + keep_seconds(use))
    )
    bump(connection, tenant_id)


def _remove(
    connection: Connection, rt: Runtime, tenant: TenantSnapshot, row: Row[Any], ctx: CallContext
) -> None:
    gone = connection.execute(
        delete(KEYS).where(KEYS.c.tenant_id == tenant.id, KEYS.c.id == row.id, KEYS.c.due_at <= ctx.now)
    )
    if gone.rowcount:
        bump(connection, tenant.id)
        data = {"use": row.use, "algorithm": row.algorithm, "state": row.state}
        _record(connection, rt, tenant.id, ctx, SYSTEM, AuditEvent.KEY_REMOVED, row.id, data)


def _missing(rt: Runtime, tenant: TenantSnapshot, use: str) -> list[str]:
    """Return the wanted algorithms without a key that signs or will; nothing where no key of the use is.

    An access key of another algorithm does until its time comes: the successor brings the wanted one.
    """
    with rt.database.core_read() as connection:
        there = set(
            connection.execute(
                select(KEYS.c.algorithm).where(
                    KEYS.c.tenant_id == tenant.id, KEYS.c.use == use, KEYS.c.state.in_(("next", "active"))
                )
            ).scalars()
        )
    if use == "access" or not there:
        return []
    return [one for one in wanted_algorithms(tenant.settings, use) if one not in there]


def _look_again(rt: Runtime, row: Row[Any], at: int) -> None:
    with rt.database.core_write() as connection:
        connection.execute(
            update(KEYS)
            .where(KEYS.c.tenant_id == row.tenant_id, KEYS.c.id == row.id, KEYS.c.state == row.state)
            .values(due_at=at)
        )


def _alike(tenant_id: str, use: str, algorithm: str) -> ColumnElement[bool]:
    """Return the condition for keys that take each other's place: one for access, one per ID algorithm."""
    alike = (KEYS.c.tenant_id == tenant_id) & (KEYS.c.use == use)
    return alike if use == "access" else alike & (KEYS.c.algorithm == algorithm)


def _record(
    connection: Connection,
    rt: Runtime,
    tenant_id: str,
    ctx: CallContext,
    actor: ActorRef,
    event: AuditEvent,
    kid: str,
    data: dict[str, Any],
) -> None:
    record(
        connection,
        ctx,
        tenant_id=tenant_id,
        event=event,
        writer_id=rt.writer_id,
        actor=actor,
        target_id=kid,
        data=data,
    )

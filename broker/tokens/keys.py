"""A tenant's signing keys: made here, sealed at rest, published as a JWK set. `key_rotation` moves them on.

next --published long enough--> active --a successor signs--> retiring --its last token is over--> gone
each of them --an emergency--> revoked
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

from sqlalchemy import Connection, Row, Table, select
from sqlalchemy.orm import Session

from broker.kernel.ids import new_id
from broker.kernel.runtime import Runtime
from broker.kernel.versions import bump
from broker.tenants.models import Tenant
from broker.tenants.settings import TenantSettings, parse_settings
from broker.tokens import models
from broker.tokens.key_pairs import (
    ALGORITHMS,
    PrivateKey,
    PublicKey,
    decode_private,
    encode_private,
    generate_private,
    public_jwk_of,
    read_public,
)
from broker.tokens.verified_cache import VerifiedCache

__all__ = ["ALGORITHMS", "PrivateKey", "PublicKey"]

State = Literal["next", "active", "retiring", "revoked"]

KEYS = cast(Table, models.SigningKey.__table__)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs: its id, its one algorithm, the private part in memory and the public JWK."""

    kid: str
    algorithm: str
    private: PrivateKey
    public_jwk: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key that verifies what we issued: its id, its one algorithm and the public part."""

    kid: str
    algorithm: str
    public: PublicKey


@dataclass(frozen=True, slots=True)
class TenantKeys:
    """All keys of a tenant while its version stands, and the tokens that these very keys have verified.

    The two hang together. Without this: a token verified just before its key was revoked could enter a
    cache that outlives the revocation. ``signing`` has the newest active key of each use,
    ``by_algorithm`` the newest of each use and algorithm.
    """

    signing: Mapping[str, SigningKey]
    by_algorithm: Mapping[tuple[str, str], SigningKey]
    access: Mapping[str, VerificationKey]
    every: Mapping[str, VerificationKey]
    revoked: Mapping[str, str]
    jwks: Mapping[str, Any]
    verified: VerifiedCache


@dataclass(frozen=True, slots=True)
class KeyDraft:
    """A key pair that was made but not written yet: large primes are not searched inside a transaction."""

    kid: str
    use: str
    algorithm: str
    public_jwk: Mapping[str, Any]
    sealed_private: bytes


def tenant_keys(rt: Runtime, tenant_id: str) -> TenantKeys:
    """Return the tenant's keys, from the cache while nothing of the tenant changed."""
    return rt.caches.get(tenant_id, "keys", partial(_load, rt))


def signing_key(rt: Runtime, tenant_id: str, use: str = "access") -> SigningKey:
    """Return the tenant's active key for ``use`` (``access`` or ``id``); raises ``LookupError``.

    A tenant without a key of its own for ID tokens signs them with the access key: the ``typ`` of the
    two tells them apart.
    """
    signing = tenant_keys(rt, tenant_id).signing
    key = signing.get(use) or signing.get("access")
    if key is None:
        raise LookupError(f"tenant {tenant_id} has no active signing key")
    return key


def find_signing_key(rt: Runtime, tenant_id: str, use: str, algorithm: str) -> SigningKey | None:
    """Return the active key for ``use`` with that very algorithm, or None.

    A tenant without any key for ``use`` signs with its access key, if that has the algorithm.
    """
    keys = tenant_keys(rt, tenant_id)
    return keys.by_algorithm.get((use if use in keys.signing else "access", algorithm))


def signing_algorithms(rt: Runtime, tenant_id: str, use: str) -> list[str]:
    """Return what the active keys of ``use`` sign with now, in our order of preference."""
    keys = tenant_keys(rt, tenant_id)
    own = use if use in keys.signing else "access"
    return [one for one in ALGORITHMS if (own, one) in keys.by_algorithm]


def public_jwks(rt: Runtime, tenant_id: str) -> Mapping[str, Any]:
    """Return the JWK set that the tenant publishes (RFC 7517 §5): every key that is not revoked."""
    return tenant_keys(rt, tenant_id).jwks


def verification_keys(rt: Runtime, tenant_id: str) -> Mapping[str, VerificationKey]:
    """Return by key id what verifies this tenant's tokens; revoked keys are not there."""
    return tenant_keys(rt, tenant_id).every


def wanted_algorithms(settings: TenantSettings, use: str) -> tuple[str, ...]:
    """Return the algorithms that a tenant wants a key of for ``use``; the first is its default."""
    return (settings.access_token_algorithm,) if use == "access" else settings.id_token_algorithms


def create_key(
    where: Connection | Session,
    rt: Runtime,
    tenant_id: str,
    use: str = "access",
    *,
    now: int,
    algorithm: str = "ES256",
) -> str:
    """Make a key for ``use`` that signs at once, in the caller's transaction, and return its id.

    Only where nobody holds a copy of the tenant's key set yet, or where waiting would be worse.
    Raises ``ValueError`` for an algorithm that we do not sign with.
    """
    draft = draft_key(rt, tenant_id, use, algorithm)
    insert_key(connection_of(where), tenant_id, draft, "active", now=now, due_at=now)
    return draft.kid


def create_first_keys(session: Session, tenant_id: str, *, rt: Runtime, now: int) -> None:
    """Make the keys that a new tenant begins with, in the transaction that makes the tenant."""
    stored = session.connection().execute(select(Tenant.settings).where(Tenant.id == tenant_id)).scalar()
    settings = parse_settings(stored or {})
    for use in ("access", "id"):
        for algorithm in wanted_algorithms(settings, use):
            create_key(session, rt, tenant_id, use, now=now, algorithm=algorithm)


def draft_key(rt: Runtime, tenant_id: str, use: str, algorithm: str) -> KeyDraft:
    """Return a new key pair with its private part sealed; raises ``ValueError`` for another algorithm."""
    private = generate_private(algorithm)
    kid = new_id("key")
    sealed = rt.sealer.seal(encode_private(private), _context(tenant_id, kid))
    return KeyDraft(kid, use, algorithm, public_jwk_of(private, kid, algorithm), sealed)


def insert_key(
    connection: Connection, tenant_id: str, draft: KeyDraft, state: State, *, now: int, due_at: int
) -> None:
    """Write a key down; ``due_at`` (epoch seconds) is when `key_rotation` looks at it next."""
    connection.execute(
        KEYS.insert().values(
            id=draft.kid,
            tenant_id=tenant_id,
            use=draft.use,
            algorithm=draft.algorithm,
            public_jwk=dict(draft.public_jwk),
            sealed_private=draft.sealed_private,
            state=state,
            created_at=now,
            changed_at=now,
            due_at=due_at,
        )
    )
    bump(connection, tenant_id)


def connection_of(where: Connection | Session) -> Connection:
    """Return the Core connection of whatever transaction the caller has."""
    return where.connection() if isinstance(where, Session) else where


def _load(rt: Runtime, tenant_id: str) -> TenantKeys:
    with rt.database.core_read() as connection:
        rows = connection.execute(
            select(KEYS)
            .where(KEYS.c.tenant_id == tenant_id)
            .order_by(KEYS.c.changed_at, KEYS.c.created_at, KEYS.c.id)
        ).all()
    good = [row for row in rows if row.state != "revoked"]
    every = {row.id: VerificationKey(row.id, row.algorithm, read_public(row.public_jwk)) for row in good}
    # Rows come in the order in which they began to sign, so the newest active key of each use stays.
    active = {row.id: _signing_key(rt, tenant_id, row) for row in good if row.state == "active"}
    return TenantKeys(
        signing={row.use: active[row.id] for row in good if row.id in active},
        by_algorithm={(row.use, row.algorithm): active[row.id] for row in good if row.id in active},
        access={row.id: every[row.id] for row in good if row.use == "access"},
        every=every,
        revoked={row.id: row.algorithm for row in rows if row.state == "revoked"},
        jwks={"keys": [row.public_jwk for row in good]},
        verified=VerifiedCache(),
    )


def _signing_key(rt: Runtime, tenant_id: str, row: Row[Any]) -> SigningKey:
    private = decode_private(rt.sealer.open(row.sealed_private, _context(tenant_id, row.id)))
    return SigningKey(row.id, row.algorithm, private, row.public_jwk)


def _context(tenant_id: str, kid: str) -> str:
    return f"{tenant_id}/signing_keys/sealed_private/{kid}"

"""A tenant's signing keys: made here, sealed at rest, published as a JWK set, rotated and revoked."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from sqlalchemy import Connection, Row, Table, select
from sqlalchemy.orm import Session

from broker.kernel.ids import new_id
from broker.kernel.runtime import Runtime
from broker.kernel.versions import bump
from broker.tokens import encoding, models
from broker.tokens.verified_cache import VerifiedCache

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

ALGORITHMS = ("ES256", "EdDSA")
"""What a tenant's key may sign with; the first is the default."""

SETTLED_SECONDS = 86400
"""A key that was retired before a rotation this long ago has outlived every token that it signed."""

_TABLE = cast(Table, models.SigningKey.__table__)


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
    cache that outlives the revocation.
    """

    signing: Mapping[str, SigningKey]
    access: Mapping[str, VerificationKey]
    every: Mapping[str, VerificationKey]
    revoked: Mapping[str, str]
    jwks: Mapping[str, Any]
    verified: VerifiedCache


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


def public_jwks(rt: Runtime, tenant_id: str) -> Mapping[str, Any]:
    """Return the JWK set that the tenant publishes (RFC 7517 §5): every key that is not revoked."""
    return tenant_keys(rt, tenant_id).jwks


def verification_keys(rt: Runtime, tenant_id: str) -> Mapping[str, VerificationKey]:
    """Return by key id what verifies this tenant's tokens; revoked keys are not there."""
    return tenant_keys(rt, tenant_id).every


def create_key(
    where: Connection | Session,
    rt: Runtime,
    tenant_id: str,
    use: str = "access",
    *,
    now: int,
    algorithm: str = "ES256",
) -> str:
    """Make an active key for ``use`` in the caller's transaction and return its id.

    Raises ``ValueError`` for an algorithm that we do not sign with.
    """
    connection = _connection(where)
    kid = new_id("key")
    private = _generate(algorithm)
    sealed = rt.sealer.seal(
        private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), _context(tenant_id, kid)
    )
    connection.execute(
        _TABLE.insert().values(
            id=kid,
            tenant_id=tenant_id,
            use=use,
            algorithm=algorithm,
            public_jwk=_public_jwk(private, kid, algorithm),
            sealed_private=sealed,
            state="active",
            created_at=now,
        )
    )
    bump(connection, tenant_id)
    return kid


def create_first_keys(session: Session, tenant_id: str, *, rt: Runtime, now: int) -> None:
    """Make the keys that a new tenant begins with, in the transaction that makes the tenant."""
    for use in ("access", "id"):
        create_key(session, rt, tenant_id, use, now=now)


def rotate_key(
    where: Connection | Session,
    rt: Runtime,
    tenant_id: str,
    use: str = "access",
    *,
    now: int,
    algorithm: str = "ES256",
) -> str:
    """Make a new active key for ``use``; the former one stays published until the next rotation.

    Keys that an earlier rotation retired leave with this one, unless that was within a day.
    """
    connection = _connection(where)
    mine = (_TABLE.c.tenant_id == tenant_id) & (_TABLE.c.use == use)
    newest = connection.execute(
        select(_TABLE.c.created_at)
        .where(mine, _TABLE.c.state == "active")
        .order_by(_TABLE.c.created_at.desc())
    ).scalar()
    if newest is not None and newest <= now - SETTLED_SECONDS:
        connection.execute(_TABLE.delete().where(mine, _TABLE.c.state == "retiring"))
    connection.execute(_TABLE.update().where(mine, _TABLE.c.state == "active").values(state="retiring"))
    return create_key(connection, rt, tenant_id, use, now=now, algorithm=algorithm)


def revoke_key(where: Connection | Session, rt: Runtime, tenant_id: str, kid: str, *, now: int) -> bool:
    """End a key at once: what it signed no longer verifies. Returns whether there was such a key.

    A tenant whose only active key is revoked gets a new one in the same transaction.
    """
    connection = _connection(where)
    this = (_TABLE.c.tenant_id == tenant_id) & (_TABLE.c.id == kid) & (_TABLE.c.state != "revoked")
    row = connection.execute(select(_TABLE.c.use, _TABLE.c.algorithm).where(this)).first()
    if row is None:
        return False
    # The sealed part is emptied: a key that was revoked must not be restorable from this row.
    connection.execute(_TABLE.update().where(this).values(state="revoked", sealed_private=b""))
    bump(connection, tenant_id)
    is_left = connection.execute(
        select(_TABLE.c.id).where(
            _TABLE.c.tenant_id == tenant_id, _TABLE.c.use == row.use, _TABLE.c.state == "active"
        )
    ).first()
    if is_left is None:
        create_key(connection, rt, tenant_id, row.use, now=now, algorithm=row.algorithm)
    return True


def _load(rt: Runtime, tenant_id: str) -> TenantKeys:
    with rt.database.core_read() as connection:
        rows = connection.execute(
            select(_TABLE).where(_TABLE.c.tenant_id == tenant_id).order_by(_TABLE.c.created_at, _TABLE.c.id)
        ).all()
    good = [row for row in rows if row.state != "revoked"]
    every = {row.id: _verification_key(row) for row in good}
    return TenantKeys(
        # Rows come oldest first, so the newest active key of each use stays.
        signing={row.use: _signing_key(rt, tenant_id, row) for row in good if row.state == "active"},
        access={row.id: every[row.id] for row in good if row.use == "access"},
        every=every,
        revoked={row.id: row.algorithm for row in rows if row.state == "revoked"},
        jwks={"keys": [row.public_jwk for row in good]},
        verified=VerifiedCache(),
    )


def _signing_key(rt: Runtime, tenant_id: str, row: Row[Any]) -> SigningKey:
    private = load_der_private_key(
        rt.sealer.open(row.sealed_private, _context(tenant_id, row.id)), password=None
    )
    return SigningKey(row.id, row.algorithm, cast(PrivateKey, private), row.public_jwk)


def _verification_key(row: Row[Any]) -> VerificationKey:
    jwk = row.public_jwk
    x = encoding.decode(jwk["x"])
    if jwk["kty"] == "OKP":
        return VerificationKey(row.id, row.algorithm, ed25519.Ed25519PublicKey.from_public_bytes(x))
    numbers = ec.EllipticCurvePublicNumbers(
        int.from_bytes(x), int.from_bytes(encoding.decode(jwk["y"])), ec.SECP256R1()
    )
    return VerificationKey(row.id, row.algorithm, numbers.public_key())


def _generate(algorithm: str) -> PrivateKey:
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    raise ValueError(f"{algorithm} is not one of {', '.join(ALGORITHMS)}")


def _public_jwk(private: PrivateKey, kid: str, algorithm: str) -> dict[str, Any]:
    label = {"kid": kid, "alg": algorithm, "use": "sig"}
    if isinstance(private, ed25519.Ed25519PrivateKey):
        raw = private.public_key().public_bytes_raw()
        return {"kty": "OKP", "crv": "Ed25519", "x": encoding.encode(raw).decode(), **label}
    point = private.public_key().public_numbers()
    x, y = (encoding.encode(number.to_bytes(32)).decode() for number in (point.x, point.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, **label}


def _context(tenant_id: str, kid: str) -> str:
    return f"{tenant_id}/signing_keys/sealed_private/{kid}"


def _connection(where: Connection | Session) -> Connection:
    return where.connection() if isinstance(where, Session) else where

"""Our own keys towards a connection's provider: made when first needed, sealed, changed with an overlap.

A change has three steps, because providers learn of a key at their own pace: the next keys are published
beside the ones in use, then used, then the former ones are dropped. Until that, what was encrypted for a
former key is still opened.
"""

import base64
import datetime
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from cryptography.x509.oid import NameOID
from sqlalchemy import Connection as CoreConnection
from sqlalchemy import Row, Table, and_, select

from broker.federation import models
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.ids import new_id
from broker.kernel.runtime import Runtime
from broker.kernel.upsert import dialect_insert
from broker.kernel.versions import bump
from idp_connectors.base import ServiceKey, ServiceKeys

USES = ("signing", "encryption")
RSA_BITS = 3072
CERTIFICATE_SECONDS = 3 * 365 * 86_400
"""How long our certificates last; before their end the connection's page warns."""
OVERLAP_SECONDS = 86_400
"""How long next keys are published before they may be used: providers read metadata once a day."""

_TABLE = cast(Table, models.ServiceKeyPair.__table__)


def get_service_keys(rt: Runtime, tenant_id: str, connection_id: str, now: int) -> ServiceKeys:
    """Return our keys for a connection, made now if it has none; kept while the tenant's version stands."""
    kind = f"service_keys/{connection_id}"
    load = partial(_load, rt, connection_id)
    keys = rt.caches.get(tenant_id, kind, load)
    if keys is None:
        # Made before the transaction: the search for large primes must not hold up whoever else writes.
        drafts = _draft_pairs(rt, tenant_id, connection_id, number=1, state="active", now=now)
        with rt.database.core_write() as core:
            _keep(core, tenant_id, drafts)
        keys = rt.caches.get(tenant_id, kind, load)
    if keys is None:
        raise LookupError(f"connection {connection_id} of {tenant_id} has no keys")
    return keys


def publish_next_keys(core: CoreConnection, rt: Runtime, tenant_id: str, connection_id: str, now: int) -> int:
    """Publish the next keys beside those in use, and return their number.

    Raises ``Refusal(bad_configuration)`` when next ones are published already.
    """
    rows = _rows(core, tenant_id, connection_id)
    if any(row.state == "next" for row in rows):
        raise _refuse("The next keys are published already. Use them, or wait for them.", "keys_published")
    number = max((row.number for row in rows), default=0) + 1
    state = "next" if rows else "active"
    _keep(core, tenant_id, _draft_pairs(rt, tenant_id, connection_id, number=number, state=state, now=now))
    return number


def use_next_keys(
    core: CoreConnection, tenant_id: str, connection_id: str, now: int, *, before_overlap: bool = False
) -> int:
    """Use the next keys from now on, and return their number; the former ones still decrypt.

    ``before_overlap`` is for an administrator who has brought the certificate to the provider by hand.
    Without the overlap: a provider that has not read our new metadata refuses what the new key signed.
    Raises ``Refusal(bad_configuration)``.
    """
    following = [row for row in _rows(core, tenant_id, connection_id) if row.state == "next"]
    if not following:
        raise _refuse("Publish the next keys first.", "no_next_keys")
    ready_at = max(row.created_at for row in following) + OVERLAP_SECONDS
    if now < ready_at and not before_overlap:
        raise _refuse(
            "The next keys have been published for less than a day. The provider may not know them yet.",
            "keys_too_new",
        )
    mine = _of(tenant_id, connection_id)
    core.execute(_TABLE.update().where(mine, _TABLE.c.state == "active").values(state="former"))
    core.execute(_TABLE.update().where(mine, _TABLE.c.state == "next").values(state="active"))
    bump(core, tenant_id)
    return int(following[0].number)


def drop_former_keys(core: CoreConnection, tenant_id: str, connection_id: str) -> int:
    """Delete the keys that are no longer in use, and return how many: nothing opens what they could."""
    done = core.execute(_TABLE.delete().where(_of(tenant_id, connection_id), _TABLE.c.state == "former"))
    if done.rowcount:
        bump(core, tenant_id)
    return done.rowcount


def list_service_keys(core: CoreConnection, tenant_id: str, connection_id: str) -> list[dict[str, Any]]:
    """Return number, use, state, certificate and its end (epoch seconds) of every key, newest first."""
    return [
        {
            "number": row.number,
            "use": row.use,
            "state": row.state,
            "certificate": row.certificate,
            "created_at": row.created_at,
            "expires_at": row.expires_at,
        }
        for row in _rows(core, tenant_id, connection_id)
    ]


def _load(rt: Runtime, connection_id: str, tenant_id: str) -> ServiceKeys | None:
    with rt.database.core_read() as core:
        rows = _rows(core, tenant_id, connection_id)
    if not rows:
        return None
    keys = {row.id: _open(rt, row) for row in rows}
    of = partial(_pick, rows, keys)
    (signing,) = of("signing", "active")
    return ServiceKeys(
        signing=signing,
        published_signing=of("signing", "next", "active"),
        published_encryption=of("encryption", "next", "active"),
        decrypting=of("encryption", "next", "active", "former"),
    )


def _pick(
    rows: Sequence[Row[Any]], keys: dict[str, ServiceKey], use: str, *states: str
) -> tuple[ServiceKey, ...]:
    return tuple(keys[row.id] for row in rows if row.use == use and row.state in states)


def _open(rt: Runtime, row: Row[Any]) -> ServiceKey:
    opened = rt.sealer.open(row.sealed_private, _context(row.tenant_id, row.id))
    private = cast(RSAPrivateKey, load_der_private_key(opened, password=None))
    return ServiceKey(id=row.id, certificate=row.certificate, private=private)


def _keep(core: CoreConnection, tenant_id: str, drafts: list[dict[str, Any]]) -> None:
    """Write the pairs; of two that are made under the same number, the first one stands."""
    statement = dialect_insert(core)(models.ServiceKeyPair).values(drafts)
    core.execute(
        statement.on_conflict_do_nothing(index_elements=["tenant_id", "connection_id", "use", "number"])
    )
    bump(core, tenant_id)


def _draft_pairs(
    rt: Runtime, tenant_id: str, connection_id: str, *, number: int, state: str, now: int
) -> list[dict[str, Any]]:
    return [_draft(rt, tenant_id, connection_id, use, number, state, now) for use in USES]


def _draft(
    rt: Runtime, tenant_id: str, connection_id: str, use: str, number: int, state: str, now: int
) -> dict[str, Any]:
    private = generate_private_key(65537, RSA_BITS)
    key_id = new_id("spk")
    plain = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return {
        "id": key_id,
        "tenant_id": tenant_id,
        "connection_id": connection_id,
        "use": use,
        "number": number,
        "state": state,
        "certificate": _certify(private, f"{use} key {number} of {connection_id}", now),
        "sealed_private": rt.sealer.seal(plain, _context(tenant_id, key_id)),
        "created_at": now,
        "expires_at": now + CERTIFICATE_SECONDS,
    }


def _certify(private: RSAPrivateKey, name: str, now: int) -> str:
    """Return a certificate that the key signs for itself: providers take keys in no other form."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    # A day earlier, for providers whose clock is behind.
    start, end = (
        datetime.datetime.fromtimestamp(moment, datetime.UTC)
        for moment in (now - 86_400, now + CERTIFICATE_SECONDS)
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .sign(private, SHA256())
    )
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()


def _rows(core: CoreConnection, tenant_id: str, connection_id: str) -> Sequence[Row[Any]]:
    statement = select(_TABLE).where(_of(tenant_id, connection_id))
    return core.execute(statement.order_by(_TABLE.c.number.desc(), _TABLE.c.use)).all()


def _of(tenant_id: str, connection_id: str) -> Any:
    return and_(_TABLE.c.tenant_id == tenant_id, _TABLE.c.connection_id == connection_id)


def _context(tenant_id: str, key_id: str) -> str:
    return f"{tenant_id}/service_keys/sealed_private/{key_id}"


def _refuse(why: str, reason: str) -> Refusal:
    return Refusal(ErrorCode.BAD_CONFIGURATION, why, reason=reason, whose_move=WhoseMove.ADMIN)

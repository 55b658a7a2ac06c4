"""What an administrator should know of a connection before people are locked out, as data for pages."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection as CoreConnection
from sqlalchemy import select

from broker.federation.models import MetadataReading, ServiceKeyPair
from broker.tenants.snapshot import ConnectionView
from idp_connectors.base import CertificateFacts, read_certificate

SOON_SECONDS = 30 * 86_400
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]{1,32768})-----END CERTIFICATE-----")

WarningCode = Literal[
    "certificate_ends",
    "certificate_ended",
    "own_certificate_ends",
    "metadata_failed",
    "metadata_unsigned_change",
    "metadata_ends",
]


@dataclass(frozen=True, slots=True)
class ConnectionWarning:
    """One thing to look at; ``at`` is when it ends or was last good (epoch seconds), if there is a time."""

    code: WarningCode
    detail: str = ""
    at: int | None = None


def list_warnings(
    core: CoreConnection, tenant_id: str, connection: ConnectionView, now: int
) -> list[ConnectionWarning]:
    """Return what is wrong or will be within thirty days, the provider's own certificates first."""
    return [
        *_of_certificates(connection, now),
        *_of_metadata(core, tenant_id, connection.id, now),
        *_of_own_keys(core, tenant_id, connection.id, now),
    ]


def certificates_of(connection: ConnectionView) -> list[CertificateFacts]:
    """Return the provider's signing certificates, soonest end first, without those that cannot be read."""
    return read_certificates(connection.config.get("certificates", ()))


def read_certificates(texts: Iterable[str]) -> list[CertificateFacts]:
    """Return what these certificates say of themselves, soonest end first; others are left out."""
    found = []
    for text in texts:
        try:
            found.append(read_certificate(text))
        except ValueError:
            continue
    return sorted(found, key=lambda one: (one.expires_at, one.subject))


def read_pasted(value: Any) -> list[CertificateFacts]:
    """Return the certificates in a setting that holds some as PEM, one or a list; else nothing."""
    texts = value if isinstance(value, list | tuple) else [value]
    pasted = [part for text in texts if isinstance(text, str) for part in _PEM.findall(text)]
    return read_certificates(pasted)


def _of_certificates(connection: ConnectionView, now: int) -> list[ConnectionWarning]:
    found = certificates_of(connection)
    # One that lasts is enough: the other is the one before a change, or the one after it.
    if not found or found[-1].expires_at > now + SOON_SECONDS:
        return []
    code: WarningCode = "certificate_ended" if found[-1].expires_at <= now else "certificate_ends"
    return [ConnectionWarning(code, found[-1].subject, found[-1].expires_at)]


def _of_metadata(
    core: CoreConnection, tenant_id: str, connection_id: str, now: int
) -> list[ConnectionWarning]:
    row = core.execute(
        select(MetadataReading.problem, MetadataReading.read_at, MetadataReading.valid_until).where(
            MetadataReading.tenant_id == tenant_id, MetadataReading.connection_id == connection_id
        )
    ).first()
    if row is None:
        return []
    if row.problem == "unsigned_change":
        return [ConnectionWarning("metadata_unsigned_change", at=row.read_at)]
    if row.problem:
        return [ConnectionWarning("metadata_failed", row.problem, row.read_at)]
    if row.valid_until is not None and row.valid_until <= now + 86_400:
        return [ConnectionWarning("metadata_ends", at=row.valid_until)]
    return []


def _of_own_keys(
    core: CoreConnection, tenant_id: str, connection_id: str, now: int
) -> list[ConnectionWarning]:
    end = core.execute(
        select(ServiceKeyPair.expires_at)
        .where(
            ServiceKeyPair.tenant_id == tenant_id,
            ServiceKeyPair.connection_id == connection_id,
            ServiceKeyPair.state != "former",
        )
        .order_by(ServiceKeyPair.expires_at.desc())
    ).scalar()
    if end is None or end > now + SOON_SECONDS:
        return []
    return [ConnectionWarning("own_certificate_ends", at=end)]

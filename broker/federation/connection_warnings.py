"""What an administrator should know of a connection before people are locked out, as data for pages."""

import base64
import binascii
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection as CoreConnection
from sqlalchemy import select

from broker.federation.models import MetadataReading, ServiceKeyPair
from broker.tenants.snapshot import ConnectionView

SOON_SECONDS = 30 * 86_400

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


@dataclass(frozen=True, slots=True, order=True)
class ProviderCertificate:
    """A signing certificate of a provider: its end (epoch seconds), and its subject, which may be empty."""

    expires_at: int
    subject: str


def certificates_of(connection: ConnectionView) -> list[ProviderCertificate]:
    """Return the provider's signing certificates, soonest end first, without those that cannot be read."""
    # Imported here: it takes longer than all of a page, and a start should not wait for it.
    from cryptography import x509

    found = []
    for text in connection.config.get("certificates", ()):
        try:
            certificate = x509.load_der_x509_certificate(base64.b64decode(text))
        except (ValueError, binascii.Error):
            continue
        end = int(certificate.not_valid_after_utc.timestamp())
        found.append(ProviderCertificate(end, certificate.subject.rfc4514_string()))
    return sorted(found)


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

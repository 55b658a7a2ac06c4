"""Reading a provider's own document into a form that is not saved yet: metadata handed over, or discovery."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker.admin.changes import Desk, bad_form
from broker.admin.connection_form import FormValues, given_so_far, with_settings
from broker.federation.deps import connector_deps
from broker.kernel.errors import Refusal
from idp_connectors.base import (
    CertificateFacts,
    Connector,
    ConnectorError,
    DiscoversProvider,
    FollowsMetadata,
    ProviderPreview,
    ReadsMetadata,
)
from idp_connectors.presets.preset import Side

METADATA_URL, METADATA_TEXT, METADATA_FILE = "metadata-url", "metadata-text", "metadata-file"
MAX_METADATA_BYTES = 256 * 1024
SOON_SECONDS = 30 * 86_400
"""A certificate that ends within this time needs somebody's attention."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The form with what was read filled in, the preview, or in its place what went wrong."""

    form: FormValues
    preview: ProviderPreview | None = None
    error: str = ""
    left: tuple[str, ...] = ()


def way_of_reading(connector: Connector) -> str:
    """Return how the provider's own words are read: "metadata", "discovery", or an empty string."""
    if isinstance(connector, ReadsMetadata):
        return "metadata"
    return "discovery" if isinstance(connector, DiscoversProvider) else ""


def read_provider(
    desk: Desk, connector: Connector, side: Side | None, form: FormValues, upload: bytes
) -> Reading:
    """Return what the provider says of itself, filled into the form; nothing is stored and nothing trusted.

    Whatever goes wrong is a sentence in the answer, and the form stays as it was.
    """
    try:
        preview = _preview(desk, connector, side, form, upload)
    except (ConnectorError, Refusal) as error:
        return Reading(form, error=error.public)
    settings = dict(preview.settings)
    if isinstance(connector, FollowsMetadata) and not upload and not form.get(METADATA_TEXT).strip():
        # Read once by hand and never again, the next certificate of the provider would lock everybody out.
        settings["metadata_url"] = form.get(METADATA_URL).strip()
    filled, left = with_settings(connector.config_model, side, form, settings)
    return Reading(filled, preview, left=left)


def read_edited(desk: Desk, connector: Connector, form: FormValues, upload: bytes) -> Reading:
    """Return what the provider says, filled into the form of a stored connection; nothing is stored."""
    return read_provider(desk, connector, None, form, upload)


def reading_context(
    desk: Desk, connector: Connector, form: FormValues, reading: Reading | None
) -> dict[str, Any]:
    """Return what ``parts/fields.html`` needs to offer a reading and to show one."""
    preview = reading.preview if reading else None
    return {
        "reads": way_of_reading(connector),
        "metadata_url": form.get(METADATA_URL),
        "read_error": reading.error if reading else "",
        "left": list(reading.left) if reading else [],
        "preview": _words(preview, desk.now) if preview else None,
    }


def _words(preview: ProviderPreview, now: int) -> dict[str, Any]:
    return {
        "facts": [{"label": label, "value": value} for label, value in preview.facts],
        "certificates": [certificate_words(one, now) for one in preview.certificates],
        "warnings": list(preview.warnings),
    }


def certificate_words(one: CertificateFacts, now: int) -> dict[str, Any]:
    """Return a certificate as ``parts/fields.html`` shows it."""
    return {
        "subject": one.subject,
        "key": one.key,
        "fingerprint": one.fingerprint,
        "expires_at": one.expires_at,
        "is_expired": one.expires_at <= now,
        "ends_soon": one.expires_at - now < SOON_SECONDS,
    }


def _preview(
    desk: Desk, connector: Connector, side: Side | None, form: FormValues, upload: bytes
) -> ProviderPreview:
    if isinstance(connector, ReadsMetadata):
        return connector.read_metadata(_document(desk, form, upload), desk.now)
    if isinstance(connector, DiscoversProvider):
        given: Mapping[str, Any] = given_so_far(connector.config_model, side, form)
        return connector.discover(given, connector_deps(desk.rt, desk.tenant.id, desk.now))
    raise bad_form("This kind of connection has nothing to read.")


def _document(desk: Desk, form: FormValues, upload: bytes) -> bytes:
    text, url = form.get(METADATA_TEXT).strip(), form.get(METADATA_URL).strip()
    if upload:
        return upload
    if text:
        return text.encode()
    if url:
        # The egress checks where the address leads. Without this: an administrator of one tenant could
        # have the broker read the machines around it.
        return desk.rt.egress.fetch(url, max_bytes=MAX_METADATA_BYTES)
    raise bad_form("Give the address of the metadata, choose its file, or paste it.")

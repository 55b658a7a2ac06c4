"""What a provider's own document says, put so that an administrator can look at it before it is used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from idp_connectors.base import Deps


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """One signing certificate; times are epoch seconds, the fingerprint is SHA-256 in hex."""

    subject: str
    fingerprint: str
    not_before: int
    expires_at: int
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderPreview:
    """A provider by its document: `settings` for the connector's model, and what to look at beside them.

    Nothing in it is proven: whoever decides to use it vouches for where the document came from.
    """

    settings: Mapping[str, Any]
    facts: tuple[tuple[str, str], ...]
    certificates: tuple[CertificateFacts, ...] = ()
    warnings: tuple[str, ...] = field(default=())


@runtime_checkable
class ReadsMetadata(Protocol):
    """Is implemented by connectors whose provider describes itself in a document that is handed over."""

    def read_metadata(self, document: bytes, now: int) -> ProviderPreview:
        """Return what the document says (epoch seconds `now`); raises ConnectorError."""


@runtime_checkable
class DiscoversProvider(Protocol):
    """Is implemented by connectors that find their provider's description by settings alone."""

    def discover(self, given: Mapping[str, Any], deps: "Deps") -> ProviderPreview:
        """Return what is found for the settings `given`, which may be incomplete; raises ConnectorError."""

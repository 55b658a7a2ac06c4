"""What a provider publishes of itself, as the broker asks for it again and again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedMetadata:
    """A provider's document as it fits one connection.

    `changes` holds the fields of the connection's configuration that the document would have otherwise;
    `is_proven` says whether a signature that the connection trusts covers it. `valid_until` is in epoch
    seconds.
    """

    changes: Mapping[str, Any]
    is_proven: bool
    valid_until: int | None


@runtime_checkable
class FollowsMetadata(Protocol):
    """Is implemented by connectors whose provider publishes its keys in a document at an address."""

    def metadata_url(self, config: Mapping[str, Any]) -> str:
        """Return where the connection's provider publishes the document; empty if it is not followed."""

    def follow_metadata(self, config: Mapping[str, Any], document: bytes, now: int) -> FollowedMetadata:
        """Return what `document` says for stored `config` at `now`; raises ConnectorError.

        A document that is expired, another provider's, without a usable key, or signed by a key that the
        connection does not trust, is refused.
        """

"""Remembers tokens that were verified, so that a token presented again costs one hash."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_TOKENS = 2_000
"""Per tenant; the oldest leave first."""


@dataclass(frozen=True, slots=True)
class VerifiedAccessToken:
    """An access token of ours whose signature, issuer and times were right; its audience was not judged.

    ``expires_at`` and ``issued_at`` are epoch seconds. Whether it still counts is for the liveness gate.
    """

    jti: str
    kid: str
    claims: Mapping[str, Any]
    issued_at: int
    expires_at: int

    @property
    def jkt(self) -> str:
        """The thumbprint of the key that the token is bound to, empty for a bearer token (RFC 9449 §6.1)."""
        bound = self.claims.get("cnf")
        return str(bound.get("jkt", "")) if isinstance(bound, dict) else ""


class VerifiedCache:
    """A bounded map from the hash of a token to what was verified. Readers take no lock."""

    def __init__(self, max_tokens: int = MAX_TOKENS) -> None:
        self._max_tokens = max_tokens
        self._lock = threading.Lock()
        self._tokens: dict[bytes, VerifiedAccessToken] = {}

    def find(self, digest: bytes) -> VerifiedAccessToken | None:
        """Return what was verified under this hash, or None. The caller compares the expiry."""
        return self._tokens.get(digest)

    def keep(self, digest: bytes, token: VerifiedAccessToken) -> None:
        """Remember a verified token. Only what we signed gets here, so strangers cannot fill the map."""
        with self._lock:
            while len(self._tokens) >= self._max_tokens:
                del self._tokens[next(iter(self._tokens))]
            self._tokens[digest] = token

    def drop(self, digest: bytes) -> None:
        """Forget a token, for one that has expired."""
        with self._lock:
            self._tokens.pop(digest, None)

"""The issuer's public keys: found by metadata, cached, refreshed with restraint."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from broker.resource_server.issuer_client import IssuerClient, IssuerUnavailable

ALGORITHMS = ("ES256", "EdDSA", "PS256", "RS256")
REFRESH_PAUSE_SECONDS = 30
FIRST_FETCH_PAUSE_SECONDS = 1
DEFAULT_MAX_AGE_SECONDS = 300
LONGEST_MAX_AGE_SECONDS = 3600
LONGEST_OUTAGE_SECONDS = 24 * 3600
MIN_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """An admitted public key and the algorithms that may be used with it."""

    key: Key
    algorithms: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Snapshot:
    keys: dict[str, PublishedKey] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    fetched_at: float = float("-inf")
    fresh_until: float = float("-inf")


class IssuerKeys:
    """Finds the key for a `kid`, at the price of at most one request per 30 seconds whatever callers send.

    Keys are cached for the answer's max-age (at most one hour). While the issuer is down the last good keys
    keep working for up to 24 hours, so a restart of the broker does not stop a resource server.
    """

    def __init__(self, client: IssuerClient, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._refreshing = threading.Lock()
        self._snapshot = _Snapshot()
        self._attempted_at = float("-inf")

    def find(self, kid: str) -> PublishedKey | None:
        """The key named `kid`, or None when the issuer does not publish it. Raises IssuerUnavailable."""
        now = self._clock()
        if kid not in self._snapshot.keys:
            self._refresh(now, wait=True)
        elif now >= self._snapshot.fresh_until:
            self._refresh(now, wait=False)
        return self._usable_snapshot(now).keys.get(kid)

    def introspection_endpoint(self) -> str:
        """The issuer's introspection endpoint. Raises IssuerUnavailable when it is unknown."""
        now = self._clock()
        if not self._snapshot.metadata:
            self._refresh(now, wait=True)
        endpoint = self._usable_snapshot(now).metadata.get("introspection_endpoint")
        if not isinstance(endpoint, str):
            raise IssuerUnavailable("The metadata has no introspection_endpoint.")
        return endpoint

    def _usable_snapshot(self, now: float) -> _Snapshot:
        snapshot = self._snapshot
        # Without this: whoever can keep us from the issuer could keep a withdrawn key alive for ever.
        if now - snapshot.fetched_at > LONGEST_OUTAGE_SECONDS:
            raise IssuerUnavailable("There are no keys of the issuer that are recent enough.")
        return snapshot

    def _refresh(self, now: float, *, wait: bool) -> None:
        """Ask the issuer again unless that was done just now; one thread asks, `wait` makes others wait."""
        if not self._refreshing.acquire(blocking=wait):
            return
        try:
            # Without this: a flood of tokens with invented kids would become a flood against the issuer.
            pause = REFRESH_PAUSE_SECONDS if self._snapshot.keys else FIRST_FETCH_PAUSE_SECONDS
            if now - self._attempted_at < pause:
                return
            self._attempted_at = now
            self._snapshot = self._fetch(now)
        except IssuerUnavailable:
            return  # The last good snapshot stays.
        finally:
            self._refreshing.release()

    def _fetch(self, now: float) -> _Snapshot:
        metadata = self._client.get_metadata()
        document, max_age = self._client.get_key_set(metadata.get("jwks_uri", ""))
        keys = admit_keys(document)
        if not keys:
            raise IssuerUnavailable("The issuer publishes no usable key.")
        age = DEFAULT_MAX_AGE_SECONDS if max_age is None else min(max_age, LONGEST_MAX_AGE_SECONDS)
        return _Snapshot(keys, metadata, now, now + max(age, REFRESH_PAUSE_SECONDS))


def admit_keys(document: dict[str, Any]) -> dict[str, PublishedKey]:
    """The usable keys of a JWK set by `kid`: public, for signatures, strong enough, and named only once."""
    entries = document.get("keys")
    entries = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    names = Counter(entry.get("kid") for entry in entries if isinstance(entry.get("kid"), str))
    admitted: dict[str, PublishedKey] = {}
    for entry in entries:
        kid = entry.get("kid")
        # Without this: of two keys with one name, the order in the document would decide who is trusted.
        if not isinstance(kid, str) or names[kid] != 1:
            continue
        key = admit_key(entry)
        if key is not None:
            admitted[kid] = key
    return admitted


def admit_key(entry: dict[str, Any]) -> PublishedKey | None:
    """The key of a JWK that is public, for signatures and strong enough; None for any other."""
    if entry.get("use", "sig") != "sig" or "d" in entry or "k" in entry:
        return None
    try:
        key, algorithms = _import_public(entry)
    except (JoseError, ValueError, KeyError, TypeError):
        return None
    if key is None:
        return None
    declared = entry.get("alg")
    allowed = algorithms if declared is None else algorithms & {declared}
    return PublishedKey(key, frozenset(allowed)) if allowed else None


def _import_public(entry: dict[str, Any]) -> tuple[Key | None, frozenset[str]]:
    """The key and what it may verify; symmetric keys have no branch here, which stops HS256 confusion."""
    kind, curve = entry.get("kty"), entry.get("crv")
    if kind == "EC" and curve == "P-256":
        return ECKey.import_key(entry), frozenset({"ES256"})
    if kind == "OKP" and curve == "Ed25519":
        return OKPKey.import_key(entry), frozenset({"EdDSA"})
    if kind == "RSA":
        key = RSAKey.import_key(entry)
        if key.public_key.key_size >= MIN_RSA_BITS:
            return key, frozenset({"PS256", "RS256"})
    return None, frozenset()

"""Proofs of possession (RFC 9449 §7): a token that is bound to a key counts only with a new proof of it."""

import base64
import hashlib
import hmac
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from joserfc import jws
from joserfc.errors import JoseError

from broker.resource_server.issuer_keys import ALGORITHMS, PublishedKey, admit_key
from broker.resource_server.jwt_parsing import decode_object
from broker.resource_server.refusals import TokenRefused, bad_proof, malformed, nonce_wanted

MAX_PROOF_CHARS = 8 * 1024
MAX_JTI_CHARS = 256
NONCE_SECONDS = 120
_REGISTRY = jws.JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
_REGISTRY.max_header_length = MAX_PROOF_CHARS


class ReplayMarks(Protocol):
    """Remembers proofs that were used. Processes that serve one resource should share one, say in Redis."""

    def spend(self, key: str, until: float) -> bool:
        """Return True exactly once for `key`, up to `until` in epoch seconds."""


class MemoryReplayMarks:
    """Marks in the memory of one process; when `limit` of them are alive, further proofs are refused."""

    def __init__(self, limit: int = 100_000, clock: Callable[[], float] = time.time) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}

    def spend(self, key: str, until: float) -> bool:
        """Return True exactly once for `key`, up to `until`; False when there is no room for the mark."""
        with self._lock:
            if key in self._until:
                return False
            if len(self._until) >= self._limit:
                now = self._clock()
                self._until = {each: end for each, end in self._until.items() if end > now}
            # Without this: whoever floods us with proofs could push out the mark of one, and use it again.
            if len(self._until) >= self._limit:
                return False
            self._until[key] = until
            return True


@dataclass(frozen=True)
class DpopPolicy:
    """How a resource deals with proofs; they are always accepted.

    `is_required` refuses bearer tokens. `base_url` is the external address of the application's root, if it
    is not the root of the resource's host. With a `nonce_key`, which all processes share, every proof must
    carry a nonce of ours.
    """

    is_required: bool = False
    base_url: str = ""
    window_seconds: int = 300
    marks: ReplayMarks = field(default_factory=MemoryReplayMarks)
    nonce_key: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What a proof must fit: the method, the path as the application sees it, and all DPoP headers."""

    method: str = ""
    path: str = ""
    proofs: tuple[str, ...] = ()


class ProofVerifier:
    """Checks the proof of one request to one resource."""

    def __init__(self, policy: DpopPolicy, resource: str, clock: Callable[[], float]) -> None:
        parts = urlsplit(resource)
        self._base = policy.base_url.rstrip("/") or f"{parts.scheme}://{parts.netloc}"
        self._policy = policy
        self._clock = clock

    def check(self, token: str, jkt: str, facts: RequestFacts) -> None:
        """Raise TokenRefused unless `facts` hold one good, new proof of the key `jkt` for `token`."""
        claims, thumbprint = _read(_only_proof(facts.proofs))
        # Without this: any key would do, and a stolen token with it (RFC 9449 §7.1).
        if thumbprint != jkt:
            raise bad_proof("key_differs")
        if claims.get("htm") != facts.method or not self._is_here(claims.get("htu"), facts.path):
            raise bad_proof("other_request")
        if claims.get("ath") != _hash_of(token):
            raise bad_proof("other_token")
        now, issued_at, jti = self._clock(), claims.get("iat"), claims.get("jti")
        if isinstance(issued_at, bool) or not isinstance(issued_at, int | float):
            raise bad_proof("no_iat")
        # Without this: proofs could be kept for later, longer than their marks are.
        if not abs(now - issued_at) <= self._policy.window_seconds:
            raise bad_proof("stale")
        if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI_CHARS:
            raise bad_proof("no_jti")
        self._require_nonce(claims.get("nonce"), now)
        # Without this: whoever sees a request could send it again.
        if not self._policy.marks.spend(f"{jkt}|{jti}", issued_at + self._policy.window_seconds):
            raise bad_proof("replayed")

    def nonce(self) -> str:
        """The nonce that proofs shall carry now."""
        return self._nonce_of(int(self._clock()) // NONCE_SECONDS)

    def _require_nonce(self, nonce: object, now: float) -> None:
        period = int(now) // NONCE_SECONDS
        if self._policy.nonce_key and nonce not in (self._nonce_of(period), self._nonce_of(period - 1)):
            raise nonce_wanted()

    def _nonce_of(self, period: int) -> str:
        return _encode(hmac.digest(self._policy.nonce_key, str(period).encode(), "sha256"))

    def _is_here(self, htu: object, path: str) -> bool:
        """The address comes from the configuration; a Host header is the caller's to choose (DP-08)."""
        if not isinstance(htu, str):
            return False
        base = urlsplit(self._base)
        return _address(htu) == _place(base.scheme, base.netloc, f"{unquote(base.path)}{path}")


def _only_proof(proofs: tuple[str, ...]) -> str:
    sent = ",".join(proofs)
    if not sent:
        raise bad_proof("no_proof")
    # Servers join repeated headers. Without this: a proxy could check one proof and we another.
    if "," in sent:
        raise malformed("several_proofs", "Send one DPoP header.")
    return sent.strip()


def _read(proof: str) -> tuple[dict[str, Any], str]:
    """The claims of a proof and the thumbprint of the key that it carries and is signed with."""
    segments = proof.split(".")
    if len(proof) > MAX_PROOF_CHARS or len(segments) != 3:
        raise bad_proof("not_a_jwt")
    try:
        header, claims = decode_object(segments[0]), decode_object(segments[1])
    except TokenRefused as refusal:
        raise bad_proof("not_a_jwt") from refusal
    key = _own_key(header)
    try:
        jws.deserialize_compact(proof, key.key, algorithms=[header["alg"]], registry=_REGISTRY)
        return claims, key.key.thumbprint()
    except (JoseError, ValueError, TypeError) as error:
        raise bad_proof("bad_signature") from error


def _own_key(header: dict[str, Any]) -> PublishedKey:
    # Without this: an access token or a client assertion could serve as a proof (RFC 8725 §3.11).
    if header.get("typ") != "dpop+jwt" or "crit" in header or "b64" in header:
        raise bad_proof("wrong_header")
    jwk = header.get("jwk")
    key = admit_key(jwk) if isinstance(jwk, dict) else None
    if key is None or header.get("alg") not in key.algorithms:
        raise bad_proof("no_key")
    return key


def _address(url: str) -> tuple[str, str, int | None, str] | None:
    """What of an address counts: neither query nor fragment (RFC 9449 §4.3)."""
    try:
        parts = urlsplit(url)
        return _place(parts.scheme, parts.netloc, unquote(parts.path))
    except ValueError:
        return None


def _place(scheme: str, netloc: str, path: str) -> tuple[str, str, int | None, str] | None:
    parts = urlsplit(f"{scheme}://{netloc}")
    if "@" in netloc or not parts.hostname:
        return None
    return scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(scheme), path or "/"


def _hash_of(token: str) -> str:
    return _encode(hashlib.sha256(token.encode("utf-8", "replace")).digest())


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

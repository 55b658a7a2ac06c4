"""DPoP at the authorization server (RFC 9449): a proof, made for one request, that the caller holds a key.

A token that is bound to a key is worth nothing to whoever copies it. Nothing here runs, and no statement is
added to a request, where no proof is sent.
"""

import base64
import hashlib
import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import Connection

from broker.agents.snapshot import AgentView, ClientView, ResourceView
from broker.kernel import replay
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.plain import PlainRequest
from broker.kernel.runtime import Runtime
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.profiles import ProofProfile, verify_proof

ALGORITHMS = ("ES256", "EdDSA", "PS256", "RS256")
TOKEN_TYPE = "DPoP"  # noqa: S105 (a type, not a secret)
PROOF_SECONDS = 60
"""How old a proof may be, beside the tolerated difference of clocks."""

NONCE_SECONDS = 120
"""A nonce is given out for this long and accepted for twice as long."""

_PROFILE = ProofProfile(
    typ=frozenset({"dpop+jwt"}),
    algorithms=frozenset(ALGORITHMS),
    required=frozenset({"jti", "htm", "htu", "iat"}),
)
_MAX_JTI_CHARS = 256


@dataclass(frozen=True, slots=True)
class Proof:
    """A good proof for the request at hand; ``jkt`` is the thumbprint of the caller's key."""

    jkt: str
    tenant_id: str
    jti: str
    expires_at: int

    def spend(self, connection: Connection) -> None:
        """Mark the proof used, inside the caller's transaction; raises ``Refusal(invalid_dpop_proof)``."""
        fresh = replay.spend(
            connection,
            kind="dpop",
            tenant_id=self.tenant_id,
            key=f"{self.jkt}|{self.jti}",
            expires_at=self.expires_at,
        )
        # Without this: whoever sees one request could send its proof again with a stolen token (O58).
        if not fresh:
            raise refused("proof_replayed")


def read_proof(
    rt: Runtime, tenant: TenantSnapshot, request: PlainRequest, endpoint: str, *, access_token: str = ""
) -> Proof | None:
    """Return the proof that came with a request to ``endpoint`` of the tenant, None when none was sent.

    ``access_token`` is the token that the proof must be tied to, where one is presented. Checked as RFC 9449
    §4.3 says, but for the single use: call ``spend``. Raises ``Refusal`` (``invalid_dpop_proof``,
    ``use_dpop_nonce``, ``invalid_request``).
    """
    text = request.headers.get("dpop")
    if text is None:
        return None
    # Servers join repeated headers with a comma. Without this: a proxy could look at one, and we at another.
    if "," in text:
        raise Refusal(ErrorCode.INVALID_REQUEST, "Send one DPoP header.", reason="several_proofs")
    try:
        claims, jkt = verify_proof(text.strip(), _PROFILE)
    except Refusal as refusal:
        raise refused(refusal.reason, refusal.detail) from refusal
    # Without this: a proof for another method or address, even of another tenant, would count here. The
    # address is that of the configuration: behind a proxy, what the request says is not ours to believe.
    if claims["htm"] != request.method:
        raise refused("wrong_htm")
    if not _is_same_address(claims["htu"], f"{tenant.issuer}/{endpoint}"):
        raise refused("wrong_htu")
    expires_at = _require_young(claims["iat"], rt, request.ctx.now)
    jti = claims["jti"]
    if not isinstance(jti, str) or len(jti) > _MAX_JTI_CHARS:
        raise refused("bad_jti")
    # Without this: a proof made for one token would serve another that the attacker holds.
    if access_token and claims.get("ath") != _hash_of(access_token):
        raise refused("wrong_ath")
    if tenant.settings.dpop_nonces:
        _require_nonce(rt, tenant, claims.get("nonce"), request.ctx.now)
    return Proof(jkt, tenant.id, jti, expires_at)


def require_binding(
    proof: Proof | None,
    tenant: TenantSnapshot,
    client: ClientView,
    agent: AgentView | None,
    resource: ResourceView | None,
) -> None:
    """Raise ``Refusal(invalid_dpop_proof)`` where a token must be bound and no key was proven.

    Tenant, client, agent and resource may each demand it. Without this: a bearer token would be issued to
    somebody who is held to DPoP, by leaving the header out.
    """
    if proof is not None:
        return
    if (
        tenant.settings.dpop == "required"
        or client.options.dpop_bound_access_tokens
        or (agent is not None and agent.options.dpop_required)
        or (resource is not None and resource.options.dpop_bound_access_tokens_required)
    ):
        raise Refusal(
            ErrorCode.INVALID_DPOP_PROOF, "Send a DPoP proof: this token must be bound.", reason="no_proof"
        )


def current_nonce(rt: Runtime, tenant: TenantSnapshot, now: int) -> str:
    """Return the nonce that proofs for this tenant shall carry now; any process of the broker knows it."""
    return _nonce(rt, tenant, now // NONCE_SECONDS)


def nonce_headers(
    rt: Runtime, tenant: TenantSnapshot, proof: Proof | None, now: int
) -> list[tuple[str, str]]:
    """Return the header of a good answer that spares the client its next round for a nonce."""
    if proof is None or not tenant.settings.dpop_nonces:
        return []
    return [("DPoP-Nonce", current_nonce(rt, tenant, now))]


def refused(reason: str, detail: str = "") -> Refusal:
    """Return the refusal of a proof; why is in the log and the audit event."""
    return Refusal(
        ErrorCode.INVALID_DPOP_PROOF, "The DPoP proof is not valid here.", reason=reason, detail=detail
    )


def _require_young(iat: Any, rt: Runtime, now: int) -> int:
    """Return when the proof stops counting; its mark must stay until then."""
    if isinstance(iat, bool) or not isinstance(iat, int | float) or not math.isfinite(iat):
        raise refused("bad_iat")
    skew = rt.settings.clock_skew_seconds
    # Without this: proofs could be made in advance while somebody has the use of the key, or kept for later.
    if not now - PROOF_SECONDS - skew <= iat <= now + skew:
        raise refused("stale_iat")
    return math.ceil(iat) + PROOF_SECONDS + skew


def _require_nonce(rt: Runtime, tenant: TenantSnapshot, nonce: Any, now: int) -> None:
    period = now // NONCE_SECONDS
    # Without this: a key that is only borrowed could make proofs for any later time.
    if nonce not in (_nonce(rt, tenant, period), _nonce(rt, tenant, period - 1)):
        raise Refusal(
            ErrorCode.USE_DPOP_NONCE,
            "Send the proof again, with the nonce of the DPoP-Nonce header.",
            reason="nonce_wrong" if nonce else "nonce_missing",
        )


def _nonce(rt: Runtime, tenant: TenantSnapshot, period: int) -> str:
    return rt.sealer.fingerprint("dpop_nonce", f"{tenant.id}|{period}")


def _hash_of(access_token: str) -> str:
    digest = hashlib.sha256(access_token.encode("utf-8", "replace")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _is_same_address(htu: Any, here: str) -> bool:
    return htu == here or (isinstance(htu, str) and _address(htu) == _address(here) is not None)


def _address(url: str) -> tuple[str, str, int | None, str] | None:
    """Return what of an address counts: neither query nor fragment (RFC 9449 §4.3, RFC 3986 §6.2)."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return None
    if "@" in parts.netloc or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port, unquote(parts.path)

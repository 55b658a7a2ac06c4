"""One object that stands for a protected resource: it verifies, challenges and describes itself."""

import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2

from broker.resource_server.dpop import DpopPolicy, MemoryReplayMarks, ProofVerifier, RequestFacts
from broker.resource_server.issuer_client import (
    IssuerClient,
    IssuerUnavailable,
    require_safe_url,
    well_known_url,
)
from broker.resource_server.issuer_keys import ALGORITHMS, REFRESH_PAUSE_SECONDS, IssuerKeys
from broker.resource_server.refusals import (
    TokenRefused,
    bound_token_wanted,
    insufficient_scope,
    insufficient_sign_in,
    issuer_unavailable,
    malformed,
    no_credentials,
)
from broker.resource_server.values import ClientCredentials, VerifiedToken
from broker.resource_server.verifier import Verifier, compare_with_introspection

_METADATA_SUFFIX = "oauth-protected-resource"
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+", re.ASCII)
_CREDENTIALS = re.compile(r"(bearer|dpop) +([A-Za-z0-9\-._~+/]+=*) *", re.ASCII | re.IGNORECASE)
Headers = list[tuple[str, str]]


class ResourceServer:
    """A protected resource: accepts tokens of `issuer` whose audience is exactly `resource`.

    With `introspection` every request also asks the issuer (RFC 7662), so a revocation is felt at once;
    without it tokens are verified offline and a revoked one works until it expires. `actor_required` refuses
    tokens that no agent acts with. Bound tokens are always accepted with a DPoP proof; `dpop` says more.
    Raises ValueError for addresses that are neither https nor loopback.
    """

    def __init__(
        self,
        *,
        resource: str,
        issuer: str,
        scopes_supported: Sequence[str],
        introspection: ClientCredentials | None = None,
        actor_required: bool = False,
        dpop: DpopPolicy | None = None,
        name: str = "",
        http: httpx2.Client | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.resource = require_safe_url(resource, "resource")
        self.issuer = require_safe_url(issuer, "issuer")
        self.scopes_supported = tuple(scopes_supported)
        # offline_access belongs to the conversation with the issuer, not to a resource (MCP-07).
        if "offline_access" in self.scopes_supported or not all(map(_SCOPE.fullmatch, self.scopes_supported)):
            raise ValueError("scopes_supported takes OAuth scopes of this resource, without offline_access.")
        self.actor_required = actor_required
        self._name = name
        self._introspection = introspection
        self._client = IssuerClient(issuer, http)
        self._clock = clock
        self._dpop = dpop or DpopPolicy(marks=MemoryReplayMarks(clock=clock))
        self._proofs = ProofVerifier(self._dpop, resource, clock)
        self._keys = IssuerKeys(self._client, clock)
        self._verifier = Verifier(
            resource=resource, issuer=issuer, keys=self._keys, clock=clock, actor_required=actor_required
        )
        self.metadata_url = well_known_url(resource, _METADATA_SUFFIX)
        root_path = f"/.well-known/{_METADATA_SUFFIX}"
        self.metadata_paths = frozenset({urlsplit(self.metadata_url).path, root_path})

    def verify(self, token: str) -> VerifiedToken:
        """Return what a bearer token says after every check. Raises TokenRefused.

        A bound token is refused: it needs the request that it came with, see `authenticate`.
        """
        verified = self._verifier.verify(token)
        # Without this: whoever copied a bound token could use it as a bearer token (RFC 9449 §7.2).
        if verified.jkt or self._dpop.is_required:
            raise bound_token_wanted()
        return self._ask_issuer(verified, token)

    def authenticate(
        self,
        authorization: Sequence[str],
        query_string: str,
        scopes: Iterable[str] = (),
        *,
        facts: RequestFacts = RequestFacts(),  # noqa: B008 (frozen, and empty)
    ) -> VerifiedToken:
        """Verify the credentials of one request and demand `scopes`.

        `authorization` is every Authorization header of the request, `query_string` the raw query; without
        `facts` no bound token is accepted. Raises TokenRefused: 400 for a malformed request, 401, 403 or
        503 otherwise.
        """
        needed = tuple(scopes)
        scheme, text = self._read_credentials(authorization, query_string, needed)
        token = self.verify(text) if scheme == "bearer" else self._verify_bound(text, facts)
        self.require_scopes(token, needed)
        return token

    def require_scopes(self, token: VerifiedToken, scopes: Iterable[str]) -> None:
        """Raise TokenRefused (403) naming all of `scopes` unless the token carries every one (MCP-09)."""
        needed = tuple(scopes)
        if not token.scopes.issuperset(needed):
            refusal = insufficient_scope(needed)
            refusal.is_bound = bool(token.jkt)
            raise refusal

    def require_sign_in(
        self,
        token: VerifiedToken,
        *,
        acr_values: Iterable[str] = (),
        max_age: int | None = None,
        scopes: Iterable[str] = (),
    ) -> None:
        """Raise TokenRefused (401) unless the person signed in as the operation needs it (RFC 9470 §3).

        One of `acr_values` must have been reached, at most `max_age` seconds ago. The challenge tells the
        client what to ask the issuer for, with `scopes`.
        """
        wanted, signed_in_at = tuple(acr_values), token.claims.get("auth_time")
        is_young = max_age is None or (
            isinstance(signed_in_at, int | float) and signed_in_at >= self._clock() - max_age
        )
        if not is_young or (wanted and token.claims.get("acr") not in wanted):
            refusal = insufficient_sign_in(wanted, max_age, scopes)
            refusal.is_bound = bool(token.jkt)
            raise refusal

    def metadata_document(self) -> dict[str, Any]:
        """The RFC 9728 §2 description of this resource."""
        document: dict[str, Any] = {
            "resource": self.resource,
            "authorization_servers": [self.issuer],
            "scopes_supported": list(self.scopes_supported),
            "bearer_methods_supported": ["header"],
            "resource_signing_alg_values_supported": list(ALGORITHMS),
            "resource_name": self._name,
            "dpop_signing_alg_values_supported": list(ALGORITHMS),
            "dpop_bound_access_tokens_required": self._dpop.is_required,
            "actor_profile_required": self.actor_required,
        }
        return {name: value for name, value in document.items() if value not in ("", [])}

    def metadata_reply(self) -> tuple[int, Headers, bytes]:
        """The metadata document as status, headers and body; any web page may read it."""
        headers = [
            ("Content-Type", "application/json"),
            ("Cache-Control", "public, max-age=300"),
            ("Access-Control-Allow-Origin", "*"),
        ]
        return 200, headers, json.dumps(self.metadata_document()).encode()

    def challenge(self, refusal: TokenRefused) -> str:
        """The WWW-Authenticate value for a refusal (RFC 6750 §3, 9449 §7.1, 9470 §3, 9728 §5.1)."""
        is_bound = refusal.is_bound or self._dpop.is_required
        scopes = refusal.scopes or (self.scopes_supported if refusal.status == 401 else ())
        members = [
            ("error", refusal.error),
            ("error_description", refusal.description if refusal.error else ""),
            ("resource_metadata", self.metadata_url),
            ("scope", " ".join(scopes)),
            ("acr_values", " ".join(refusal.acr_values)),
            ("max_age", "" if refusal.max_age is None else str(refusal.max_age)),
            ("algs", " ".join(ALGORITHMS) if is_bound else ""),
        ]
        told = ", ".join(f'{name}="{value}"' for name, value in members if value)
        return f"{'DPoP' if is_bound else 'Bearer'} {told}"

    def refusal_reply(self, refusal: TokenRefused) -> tuple[int, Headers, bytes]:
        """A refusal as status, headers and JSON body."""
        headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        if refusal.status == 503:
            headers.append(("Retry-After", str(REFRESH_PAUSE_SECONDS)))
        else:
            headers.append(("WWW-Authenticate", self.challenge(refusal)))
        if refusal.error == "use_dpop_nonce":
            headers.append(("DPoP-Nonce", self._proofs.nonce()))
        body = {"error": refusal.error or "unauthorized", "error_description": refusal.description}
        return refusal.status, headers, json.dumps(body).encode()

    def _introspect(self, token: str, caller: ClientCredentials) -> dict[str, Any]:
        try:
            endpoint = self._keys.introspection_endpoint()
            return self._client.introspect(endpoint, caller.client_id, caller.client_secret, token)
        # Without this: cutting the connection to the issuer would bring revoked tokens back to life.
        except IssuerUnavailable as error:
            raise issuer_unavailable("introspection_unavailable") from error

    def _verify_bound(self, text: str, facts: RequestFacts) -> VerifiedToken:
        try:
            token = self._verifier.verify(text)
            if not token.jkt:
                raise bound_token_wanted()
            self._proofs.check(text, token.jkt, facts)
            return self._ask_issuer(token, text)
        except TokenRefused as refusal:
            refusal.is_bound = True
            raise

    def _ask_issuer(self, token: VerifiedToken, text: str) -> VerifiedToken:
        if self._introspection is not None:
            compare_with_introspection(token, self._introspect(text, self._introspection))
        return token

    @staticmethod
    def _read_credentials(
        authorization: Sequence[str], query_string: str, scopes: Sequence[str]
    ) -> tuple[str, str]:
        # Without this: tokens would end up in access logs, browser histories and Referer headers.
        if any(name == "access_token" for name, _ in parse_qsl(query_string, keep_blank_values=True)):
            raise malformed("token_in_query", "Send the token in the Authorization header, never in the URL.")
        # Without this: a proxy could check one header and we another.
        if len(authorization) > 1:
            raise malformed("several_credentials", "Send one Authorization header.")
        value = authorization[0].strip() if authorization else ""
        if not value or value.split(" ", 1)[0].lower() not in {"bearer", "dpop"}:
            raise no_credentials(scopes)
        match = _CREDENTIALS.fullmatch(value)
        if match is None:
            raise malformed("malformed_header", "The Authorization header is not well formed.")
        return match.group(1).lower(), match.group(2)

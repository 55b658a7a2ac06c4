"""One object that stands for a protected resource: it verifies, challenges and describes itself."""

import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2

from broker.resource_server.issuer_client import (
    IssuerClient,
    IssuerUnavailable,
    require_safe_url,
    well_known_url,
)
from broker.resource_server.issuer_keys import ALGORITHMS, REFRESH_PAUSE_SECONDS, IssuerKeys
from broker.resource_server.refusals import (
    TokenRefused,
    insufficient_scope,
    issuer_unavailable,
    malformed,
    no_credentials,
)
from broker.resource_server.values import ClientCredentials, VerifiedToken
from broker.resource_server.verifier import Verifier, compare_with_introspection

_METADATA_SUFFIX = "oauth-protected-resource"
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+", re.ASCII)
_BEARER = re.compile(r"bearer +([A-Za-z0-9\-._~+/]+=*) *", re.ASCII | re.IGNORECASE)
Headers = list[tuple[str, str]]


class ResourceServer:
    """A protected resource: accepts tokens of `issuer` whose audience is exactly `resource`.

    With `introspection` every request also asks the issuer (RFC 7662), so a revocation is felt at once;
    without it tokens are verified offline and a revoked one works until it expires. `actor_required` refuses
    tokens that no agent acts with. Raises ValueError for addresses that are neither https nor loopback.
    """

    def __init__(
        self,
        *,
        resource: str,
        issuer: str,
        scopes_supported: Sequence[str],
        introspection: ClientCredentials | None = None,
        actor_required: bool = False,
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
        self._keys = IssuerKeys(self._client, clock)
        self._verifier = Verifier(
            resource=resource, issuer=issuer, keys=self._keys, clock=clock, actor_required=actor_required
        )
        self.metadata_url = well_known_url(resource, _METADATA_SUFFIX)
        root_path = f"/.well-known/{_METADATA_SUFFIX}"
        self.metadata_paths = frozenset({urlsplit(self.metadata_url).path, root_path})

    def verify(self, token: str) -> VerifiedToken:
        """Return what `token` says after every check. Raises TokenRefused."""
        verified = self._verifier.verify(token)
        if self._introspection is not None:
            compare_with_introspection(verified, self._introspect(token, self._introspection))
        return verified

    def authenticate(
        self, authorization: Sequence[str], query_string: str, scopes: Iterable[str] = ()
    ) -> VerifiedToken:
        """Verify the credentials of one request and demand `scopes`.

        `authorization` is every Authorization header of the request, `query_string` the raw query.
        Raises TokenRefused: 400 for a malformed request, 401, 403 or 503 otherwise.
        """
        needed = tuple(scopes)
        token = self.verify(self._read_bearer(authorization, query_string, needed))
        self.require_scopes(token, needed)
        return token

    def require_scopes(self, token: VerifiedToken, scopes: Iterable[str]) -> None:
        """Raise TokenRefused (403) naming all of `scopes` unless the token carries every one (MCP-09)."""
        needed = tuple(scopes)
        if not token.scopes.issuperset(needed):
            raise insufficient_scope(needed)

    def metadata_document(self) -> dict[str, Any]:
        """The RFC 9728 §2 description of this resource."""
        document: dict[str, Any] = {
            "resource": self.resource,
            "authorization_servers": [self.issuer],
            "scopes_supported": list(self.scopes_supported),
            "bearer_methods_supported": ["header"],
            "resource_signing_alg_values_supported": list(ALGORITHMS),
            "resource_name": self._name,
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
        """The WWW-Authenticate value for a refusal (RFC 6750 §3, RFC 9728 §5.1)."""
        scopes = refusal.scopes or (self.scopes_supported if refusal.status == 401 else ())
        members = [
            ("error", refusal.error),
            ("error_description", refusal.description if refusal.error else ""),
            ("resource_metadata", self.metadata_url),
            ("scope", " ".join(scopes)),
        ]
        return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in members if value)

    def refusal_reply(self, refusal: TokenRefused) -> tuple[int, Headers, bytes]:
        """A refusal as status, headers and JSON body."""
        headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        if refusal.status == 503:
            headers.append(("Retry-After", str(REFRESH_PAUSE_SECONDS)))
        else:
            headers.append(("WWW-Authenticate", self.challenge(refusal)))
        body = {"error": refusal.error or "unauthorized", "error_description": refusal.description}
        return refusal.status, headers, json.dumps(body).encode()

    def _introspect(self, token: str, caller: ClientCredentials) -> dict[str, Any]:
        try:
            endpoint = self._keys.introspection_endpoint()
            return self._client.introspect(endpoint, caller.client_id, caller.client_secret, token)
        # Without this: cutting the connection to the issuer would bring revoked tokens back to life.
        except IssuerUnavailable as error:
            raise issuer_unavailable("introspection_unavailable") from error

    @staticmethod
    def _read_bearer(authorization: Sequence[str], query_string: str, scopes: Sequence[str]) -> str:
        # Without this: tokens would end up in access logs, browser histories and Referer headers.
        if any(name == "access_token" for name, _ in parse_qsl(query_string, keep_blank_values=True)):
            raise malformed("token_in_query", "Send the token in the Authorization header, never in the URL.")
        # Without this: a proxy could check one header and we another.
        if len(authorization) > 1:
            raise malformed("several_credentials", "Send one Authorization header.")
        value = authorization[0].strip() if authorization else ""
        if not value or value.split(" ", 1)[0].lower() != "bearer":
            raise no_credentials(scopes)
        match = _BEARER.fullmatch(value)
        if match is None:
            raise malformed("malformed_header", "The Authorization header is not well formed.")
        return match.group(1)

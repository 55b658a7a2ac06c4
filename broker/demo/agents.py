"""Two agents as anybody could write them: plain OAuth clients that know one address, the MCP server's."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey

from broker.demo.wire import Recorder, recording_client

ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
MCP_VERSION = "2025-06-18"


class OAuthRefused(Exception):
    """The authorization server said no; `error` is its OAuth code, `description` its sentence."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(f"{status} {error}: {description}")
        self.status = status
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What came back from an MCP server: the HTTP status, the tool's result, or the challenge."""

    status: int
    result: dict[str, Any]
    challenge: str = ""

    @property
    def is_allowed(self) -> bool:
        """Whether the tool ran."""
        return self.status == 200


class ClientAuthentication(Protocol):
    """How an agent proves who it is at the token endpoint."""

    def apply(self, issuer: str) -> tuple[dict[str, str], dict[str, str]]:
        """Headers and form fields to send to the server named `issuer`."""


@dataclass(frozen=True, slots=True)
class SecretBasic:
    """client_secret_basic (RFC 6749 §2.3.1)."""

    client_id: str
    client_secret: str

    def apply(self, issuer: str) -> tuple[dict[str, str], dict[str, str]]:
        """The Authorization header with form-encoded id and secret."""
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}, {}


@dataclass(frozen=True, slots=True)
class PrivateKeyJwt:
    """private_key_jwt (RFC 7523): a short assertion that is good for one request at one server."""

    client_id: str
    key: ECKey

    def apply(self, issuer: str) -> tuple[dict[str, str], dict[str, str]]:
        """The client assertion as form fields."""
        now = int(time.time())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": issuer,
            "jti": secrets.token_urlsafe(16),
            "iat": now,
            "exp": now + 60,
        }
        header = {"alg": "ES256", "typ": "client-authentication+jwt", "kid": self.key.kid}
        assertion = jwt.encode(header, claims, self.key, algorithms=["ES256"])
        return {}, {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}


@dataclass(slots=True)
class _PendingSignIn:
    state: str
    verifier: str


class DemoAgent:
    """An agent with one client at the broker. It learns every address from the MCP server's challenge."""

    def __init__(
        self,
        *,
        name: str,
        client_id: str,
        authentication: ClientAuthentication,
        mcp_url: str,
        redirect_uri: str = "",
    ) -> None:
        self.name = name
        self.client_id = client_id
        self.mcp_url = mcp_url
        self.recorder = Recorder()
        self._http = recording_client(self.recorder)
        self._authentication = authentication
        self._redirect_uri = redirect_uri
        self._metadata: dict[str, Any] | None = None
        self._pending: _PendingSignIn | None = None

    def discover(self) -> dict[str, Any]:
        """Follow 401 → resource metadata → server metadata (RFC 9728 §5, RFC 8414 §3); cached."""
        if self._metadata is None:
            challenge = self._http.post(self.mcp_url, json={}).headers.get("www-authenticate", "")
            where = challenge.partition('resource_metadata="')[2].partition('"')[0]
            resource = self._http.get(where).json()
            # Without this: a server could send us to fetch a token for somebody else's resource.
            if resource["resource"] != self.mcp_url:
                raise ValueError("The metadata describes another resource.")
            issuer = resource["authorization_servers"][0]
            parts = urlsplit(issuer)
            well_known = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path}"
            metadata: dict[str, Any] = self._http.get(well_known).json()
            if metadata["issuer"] != issuer:
                raise ValueError("The metadata names another issuer.")
            self._metadata = metadata
        return self._metadata

    def begin(self, scope: str) -> str:
        """The address to which a person's browser goes to allow this agent (RFC 6749 §4.1.1 with PKCE)."""
        verifier = secrets.token_urlsafe(48)
        self._pending = _PendingSignIn(secrets.token_urlsafe(24), verifier)
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": scope,
            "resource": self.mcp_url,
            "state": self._pending.state,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
        }
        return f"{self.discover()['authorization_endpoint']}?{urlencode(query)}"

    def finish(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Redeem what came back to the redirect URI. Raises OAuthRefused, ValueError for somebody else's."""
        pending, self._pending = self._pending, None
        if pending is None or not hmac.compare_digest(query.get("state", ""), pending.state):
            raise ValueError("This answer belongs to no sign-in that was begun here.")
        # Without this: the answer of another server could be mixed into this sign-in (RFC 9207).
        if query.get("iss") != self.discover()["issuer"]:
            raise ValueError("The answer is from another issuer.")
        if "error" in query:
            raise OAuthRefused(400, query["error"], query.get("error_description", ""))
        return self._token(
            grant_type="authorization_code",
            code=query["code"],
            redirect_uri=self._redirect_uri,
            code_verifier=pending.verifier,
            resource=self.mcp_url,
        )

    def token_of_its_own(self, scope: str) -> dict[str, Any]:
        """A token in which the agent speaks for itself, for use as an actor token (RFC 6749 §4.4)."""
        return self._token(grant_type="client_credentials", scope=scope, resource=self.mcp_url)

    def join_chain(self, subject_token: str, actor_token: str, scope: str) -> dict[str, Any]:
        """Exchange another agent's token for one in which this agent acts now (RFC 8693)."""
        return self._token(
            grant_type=EXCHANGE,
            subject_token=subject_token,
            subject_token_type=ACCESS_TOKEN_TYPE,
            actor_token=actor_token,
            actor_token_type=ACCESS_TOKEN_TYPE,
            resource=self.mcp_url,
            scope=scope,
        )

    def give_back(self, token: str) -> int:
        """Revoke a token of this client (RFC 7009); the HTTP status."""
        headers, fields = self._authentication.apply(self.discover()["issuer"])
        endpoint = self.discover()["revocation_endpoint"]
        return self._http.post(endpoint, data={"token": token, **fields}, headers=headers).status_code

    def call_tool(self, token: str, tool: str, **arguments: Any) -> ToolAnswer:
        """Call a tool of the MCP server with `token`."""
        call = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": tool, "arguments": arguments},
        }
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": MCP_VERSION,
        }
        response = self._http.post(self.mcp_url, json=call, headers=headers)
        if response.status_code != 200:
            return ToolAnswer(response.status_code, {}, response.headers.get("www-authenticate", ""))
        return ToolAnswer(200, response.json()["result"].get("structuredContent", {}))

    def close(self) -> None:
        """Close the agent's connections."""
        self._http.close()

    def _token(self, **form: str) -> dict[str, Any]:
        metadata = self.discover()
        headers, fields = self._authentication.apply(metadata["issuer"])
        response = self._http.post(metadata["token_endpoint"], data={**form, **fields}, headers=headers)
        document = _json(response)
        if response.status_code != 200:
            error = str(document.get("error", "server_error"))
            raise OAuthRefused(response.status_code, error, str(document.get("error_description", "")))
        return document


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a token for display; a client has no business relying on them (RFC 9068 §6)."""
    return _decode(token.split(".")[1])


def header_of(token: str) -> dict[str, Any]:
    """The header of a token for display, empty when there is no token."""
    return _decode(token.split(".")[0]) if token else {}


def _decode(segment: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    return value


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _json(response: httpx2.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}

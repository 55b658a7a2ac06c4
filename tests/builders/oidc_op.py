"""An OpenID provider in this process that signs real ID tokens and can be told to bend them."""

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

import httpx2
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from idp_connectors.base import Begun, Callback
from tests.builders.connector_deps import NOW

ISSUER = "https://op.example"
CLIENT_ID = "broker"
CLIENT_SECRET = "s3cret:with+odd%characters"
CALLBACK_URL = "https://broker.example/t/acme/oidc/con_1/callback"

_RSA_KEYS: dict[str, RSAKey] = {}


def rsa_key(kid: str = "rsa-1", bits: int = 2048) -> RSAKey:
    """Return an RSA key under `kid`, made once per test process because making one is slow."""
    if kid not in _RSA_KEYS:
        _RSA_KEYS[kid] = RSAKey.generate_key(bits, {"kid": kid, "use": "sig"}, private=True)
    return _RSA_KEYS[kid]


def ec_key(kid: str = "ec-1", curve: str = "P-256") -> ECKey:
    """Return a new elliptic curve key under `kid`."""
    return ECKey.generate_key(curve, {"kid": kid, "use": "sig"}, private=True)


def segment(value: Any) -> str:
    """Return one base64url segment of a token; bytes are taken as they are."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(header: dict[str, Any], claims: Any, key: Any) -> str:
    """Return a token signed by `key` with the algorithm that the header names, weak ones included."""
    registry = jws.JWSRegistry(algorithms=[header["alg"]], strict_check_header=False)
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return jws.serialize_compact(header, payload, key, registry=registry)


class OpenIdProvider:
    """Discovery, keys, token and userinfo endpoints behind a mock transport; also an `HttpClient`."""

    def __init__(self, issuer: str = ISSUER, key: RSAKey | ECKey | OKPKey | None = None) -> None:
        self.issuer = issuer
        self.key = key or rsa_key()
        self.alg = "RS256"
        self.published: list[dict[str, Any]] = [self.key.as_dict(private=False)]
        self.metadata_extra: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.requests: list[str] = []
        self.down: set[str] = set()
        self.now = NOW
        self.bend_claims: Callable[[dict[str, Any]], Any] = lambda claims: None
        self.bend_token: Callable[[dict[str, Any], dict[str, Any]], str] | None = None
        self._codes: dict[str, dict[str, Any]] = {}

    # --- HttpClient -----------------------------------------------------------------------------

    def client(self) -> httpx2.Client:
        """Return a client that talks to this provider only."""
        return httpx2.Client(transport=httpx2.MockTransport(self._answer))

    def fetch_json(self, url: str, *, max_bytes: int = 1 << 20, headers=None) -> dict[str, Any]:
        """Return the JSON object at `url`, as the broker's egress does."""
        response = self.client().get(url, headers=dict(headers or {})).raise_for_status()
        if len(response.content) > max_bytes:
            raise ValueError("too long")
        return response.json()

    # --- the browser's part ---------------------------------------------------------------------

    def sign_in(self, begun: Begun, *, sub: str = "u-1", **claims: Any) -> Callback:
        """Act as browser and person: return the callback that the provider's redirect would cause."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(begun.redirect_url).query).items()}
        code = f"code-{len(self._codes) + 1}"
        self._codes[code] = {"asked": asked, "claims": {"sub": sub, **claims}}
        query = {"code": code, "state": asked["state"], "iss": self.issuer}
        return Callback(method="GET", query=query, private=begun.private, callback_url=CALLBACK_URL)

    def claims_for(self, asked: dict[str, str], claims: dict[str, Any]) -> dict[str, Any]:
        """Return the claims of the ID token for an authorization request, bent as told."""
        full = {
            "iss": self.issuer,
            "aud": asked["client_id"],
            "iat": self.now,
            "exp": self.now + 300,
            "nonce": asked["nonce"],
            **claims,
        }
        self.bend_claims(full)
        return full

    def id_token(self, claims: dict[str, Any]) -> str:
        """Return an ID token over `claims`, bent as told."""
        header = {"alg": self.alg, "kid": self.key.kid, "typ": "JWT"}
        if self.bend_token:
            return self.bend_token(header, claims)
        return compact(header, claims, self.key)

    # --- endpoints ------------------------------------------------------------------------------

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        self.requests.append(str(request.url))
        if path in self.down:
            return httpx2.Response(503, text="<html>down</html>")
        if path == "/.well-known/openid-configuration":
            return httpx2.Response(200, json=self.metadata())
        if path == "/jwks":
            return httpx2.Response(200, json={"keys": self.published})
        if path == "/token":
            return self._token(request)
        if path == "/userinfo":
            return httpx2.Response(200, json=self.userinfo)
        return httpx2.Response(404)

    def metadata(self) -> dict[str, Any]:
        """Return the discovery document."""
        endpoints = {
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/jwks",
        }
        return {"issuer": self.issuer, **endpoints, **self.metadata_extra}

    def _token(self, request: httpx2.Request) -> httpx2.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        if not self._is_client(request.headers.get("authorization", ""), form):
            return httpx2.Response(401, json={"error": "invalid_client"})
        issued = self._codes.pop(form.get("code", ""), None)
        if issued is None or form.get("redirect_uri") != issued["asked"]["redirect_uri"]:
            return httpx2.Response(400, json={"error": "invalid_grant"})
        challenge = segment(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (
            issued["asked"]["code_challenge_method"] != "S256"
            or issued["asked"]["code_challenge"] != challenge
        ):
            return httpx2.Response(400, json={"error": "invalid_grant", "error_description": "PKCE"})
        token = self.id_token(self.claims_for(issued["asked"], issued["claims"]))
        answer = {"access_token": "at-1", "token_type": "Bearer", "expires_in": 300, "id_token": token}
        return httpx2.Response(200, json=answer)

    def _is_client(self, authorization: str, form: dict[str, str]) -> bool:
        if authorization.startswith("Basic "):
            client_id, _, secret = base64.b64decode(authorization[6:]).decode().partition(":")
            return (unquote_plus(client_id), unquote_plus(secret)) == (CLIENT_ID, CLIENT_SECRET)
        return (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)


def oct_key(secret: bytes | str) -> OctKey:
    """Return a symmetric key over `secret`, for attacks that pass a public key off as one."""
    return OctKey.import_key(secret)

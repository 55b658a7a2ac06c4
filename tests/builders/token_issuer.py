"""A token issuer for tests of the resource-server kit: it signs, publishes keys, can be switched off."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

NOW = 1_795_503_600
RESOURCE = "https://mcp.tickets.example/mcp"
AGENT = {"iss": "https://broker.example/t/acme", "sub": "agt_writer", "sub_profile": "ai_agent"}


class TokenIssuer:
    """Signs access tokens, answers metadata, JWKS and introspection, and counts what it was asked."""

    def __init__(self, issuer: str = "https://broker.example/t/acme") -> None:
        self.issuer = issuer
        self.keys: dict[str, Key] = {"k1": ECKey.generate_key("P-256")}
        self.published: list[dict[str, Any]] | None = None
        self.is_up = True
        self.max_age = 300
        self.introspection: dict[str, Any] | None = None
        self.requests: list[str] = []
        self.forms: list[dict[str, list[str]]] = []
        self.authorizations: list[str] = []
        self.metadata_issuer = issuer

    def add_key(self, kid: str, algorithm: str) -> None:
        """Publish one more key, made for `algorithm`."""
        if algorithm == "ES256":
            self.keys[kid] = ECKey.generate_key("P-256")
        elif algorithm == "EdDSA":
            self.keys[kid] = OKPKey.generate_key("Ed25519")
        else:
            self.keys[kid] = RSAKey.generate_key(2048)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of a good delegated token; a change to None removes a claim."""
        claims = {
            "iss": self.issuer,
            "sub": "usr_maya",
            "aud": RESOURCE,
            "client_id": "cli_writer",
            "jti": "at_1",
            "iat": NOW,
            "nbf": NOW,
            "exp": NOW + 300,
            "scope": "tickets:read",
            "roles": ["support"],
            "act": dict(AGENT),
        }
        claims.update(changes)
        return {name: value for name, value in claims.items() if value is not None}

    def sign(self, claims: dict[str, Any] | None = None, *, kid: str = "k1", **header: Any) -> str:
        """A signed token; keyword arguments replace members of the header, None removes one."""
        wished = {"typ": "at+jwt", "alg": "ES256", "kid": kid, **header}
        members = {name: value for name, value in wished.items() if value is not None}
        registry = jws.JWSRegistry(algorithms=[members["alg"]], strict_check_header=False)
        body = json.dumps(claims if claims is not None else self.claims())
        return jws.serialize_compact(members, body, self.keys[kid], registry=registry)

    def key_set(self) -> dict[str, Any]:
        """The published JWK set."""
        if self.published is not None:
            return {"keys": self.published}
        return {
            "keys": [
                {**key.as_dict(private=False), "kid": kid, "use": "sig"} for kid, key in self.keys.items()
            ]
        }

    def answer(
        self, method: str, url: str, body: bytes = b"", authorization: str = ""
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON document for one request to the issuer."""
        path = urlsplit(url).path
        self.requests.append(path)
        base = urlsplit(self.issuer).path
        if path == f"/.well-known/oauth-authorization-server{base}":
            return 200, {
                "issuer": self.metadata_issuer,
                "jwks_uri": f"{self.issuer}/jwks",
                "introspection_endpoint": f"{self.issuer}/introspect",
            }
        if path == f"{base}/jwks":
            return 200, self.key_set()
        if path == f"{base}/introspect" and method == "POST":
            self.forms.append(parse_qs(body.decode()))
            self.authorizations.append(authorization)
            return 200, self.introspection if self.introspection is not None else {"active": False}
        return 404, {}

    def http(self) -> httpx2.Client:
        """An HTTP client that reaches this issuer without a network."""

        def handle(request: httpx2.Request) -> httpx2.Response:
            if not self.is_up:
                self.requests.append(request.url.path)
                raise httpx2.ConnectError("down")
            authorization = request.headers.get("authorization", "")
            status, document = self.answer(request.method, str(request.url), request.content, authorization)
            return httpx2.Response(
                status, json=document, headers={"Cache-Control": f"public, max-age={self.max_age}"}
            )

        return httpx2.Client(transport=httpx2.MockTransport(handle))


class ManualClock:
    """Epoch seconds that move only when told."""

    def __init__(self, at: float = NOW) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


@contextmanager
def served_issuer() -> Iterator[TokenIssuer]:
    """A TokenIssuer on a loopback port, for code that brings its own HTTP client."""
    holder: dict[str, TokenIssuer] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            authorization = self.headers.get("authorization", "")
            status, document = holder["issuer"].answer(self.command, self.path, body, authorization)
            payload = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: a test's output is for the test."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    holder["issuer"] = TokenIssuer(f"http://127.0.0.1:{server.server_port}/t/acme")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield holder["issuer"]
    finally:
        server.shutdown()
        server.server_close()


def segment(value: Any) -> str:
    """One base64url segment of a hand-made JWT."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

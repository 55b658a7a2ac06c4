"""How an agent proves who it is at its authorization server."""

import base64
import secrets
import time
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote_plus

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS = 60


class ClientAuthentication(Protocol):
    """One way of proving; it names the client too."""

    @property
    def client_id(self) -> str:
        """The client that is proven."""

    def apply(self, issuer: str) -> tuple[dict[str, str], dict[str, str]]:
        """Return headers and form fields to send to the server named ``issuer``."""


@dataclass(frozen=True, slots=True)
class SecretBasic:
    """client_secret_basic (RFC 6749 §2.3.1)."""

    client_id: str
    client_secret: str

    def apply(self, issuer: str) -> tuple[dict[str, str], dict[str, str]]:
        """Return the Authorization header with the form-encoded id and secret."""
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}, {}


@dataclass(frozen=True, slots=True)
class PrivateKeyJwt:
    """private_key_jwt (RFC 7523): a short assertion that is good for one request at one server."""

    client_id: str
    key: ECKey | OKPKey

    def apply(self, issuer: str) -> tuple[dict[str, str], dict[str, str]]:
        """Return the client assertion as form fields; its audience is the issuer alone (RFC 10070)."""
        now = int(time.time())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": issuer,
            "jti": secrets.token_urlsafe(16),
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        }
        algorithm = "ES256" if isinstance(self.key, ECKey) else "EdDSA"
        header = {"alg": algorithm, "typ": "client-authentication+jwt", "kid": self.key.kid}
        assertion = jwt.encode(header, claims, self.key, algorithms=[algorithm])
        return {}, {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}


@dataclass(frozen=True, slots=True)
class PublicClient:
    """No proof (``none``): an application that could keep no secret; PKCE protects its codes."""

    client_id: str

    def apply(self, issuer: str) -> tuple[dict[str, str], dict[str, str]]:
        """Return the client's name as a form field."""
        return {}, {"client_id": self.client_id}

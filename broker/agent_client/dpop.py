"""A key of the agent's own, to which its tokens are bound: a copied token is worth nothing (RFC 9449)."""

import base64
import hashlib
import secrets
import time
from urllib.parse import urlsplit, urlunsplit

from joserfc import jwt
from joserfc.jwk import ECKey


class DpopKey:
    """Proves, for one request at a time, that the agent holds the key; made anew where none is given."""

    def __init__(self, key: ECKey | None = None) -> None:
        self._key = key or ECKey.generate_key("P-256")
        public = self._key.as_dict(private=False)
        self._public = {name: value for name, value in public.items() if name != "kid"}

    @property
    def thumbprint(self) -> str:
        """The key's name in tokens and in ``dpop_jkt`` (RFC 7638)."""
        return self._key.thumbprint()

    def proof(self, method: str, url: str, *, token: str = "", nonce: str = "") -> str:
        """Return a proof for one request, tied to ``token`` where one is sent along."""
        claims: dict[str, object] = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": _without_query(url),
            "iat": int(time.time()),
        }
        if token:
            claims["ath"] = _encode(hashlib.sha256(token.encode()).digest())
        if nonce:
            claims["nonce"] = nonce
        header = {"alg": "ES256", "typ": "dpop+jwt", "jwk": self._public}
        return jwt.encode(header, claims, self._key, algorithms=["ES256"])


def _without_query(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

"""A client's DPoP key, and proofs made with it (RFC 9449), honest or wrong in one way."""

import hashlib
import json
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from broker.kernel.ids import new_id
from tests.builders.forgery import b64


class Prover:
    """Holds one key and makes a new proof for every request."""

    def __init__(self, algorithm: str = "ES256") -> None:
        self.algorithm = algorithm
        self.key: Key
        if algorithm == "ES256":
            self.key = ECKey.generate_key("P-256")
        elif algorithm == "EdDSA":
            self.key = OKPKey.generate_key("Ed25519")
        else:
            self.key = RSAKey.generate_key(2048)

    @property
    def jkt(self) -> str:
        """The thumbprint that tokens carry (RFC 7638)."""
        return self.key.thumbprint()

    @property
    def jwk(self) -> dict[str, Any]:
        """The public key."""
        return {name: value for name, value in self.key.as_dict(private=False).items() if name != "kid"}

    def proof(
        self,
        method: str,
        url: str,
        *,
        now: int,
        token: str = "",
        header: dict[str, Any] | None = None,
        **changes: Any,
    ) -> str:
        """A proof for one request; changed claims and header members replace, None removes."""
        claims = {"jti": new_id("jti"), "htm": method, "htu": url, "iat": now}
        if token:
            claims["ath"] = hash_of(token)
        claims |= changes
        members = {"typ": "dpop+jwt", "alg": self.algorithm, "jwk": self.jwk, **(header or {})}
        body = json.dumps({name: value for name, value in claims.items() if value is not None})
        kept = {name: value for name, value in members.items() if value is not None}
        signed = f"{b64(json.dumps(kept).encode())}.{b64(body.encode())}"
        # By the algorithm itself: the library would refuse to make what it would refuse to read.
        signature = jws.JWSRegistry.algorithms[self.algorithm].sign(signed.encode(), self.key)
        return f"{signed}.{b64(signature)}"


def hash_of(token: str) -> str:
    """The ``ath`` of an access token (RFC 9449 §4.2)."""
    return b64(hashlib.sha256(token.encode()).digest())

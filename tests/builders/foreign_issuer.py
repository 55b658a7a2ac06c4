"""Somebody outside who signs: an identity provider's ID-JAGs, a platform's tokens for its workloads."""

import json
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey

from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.ids import new_id
from tests.builders.oauth import Answer, Scene
from tests.builders.world import TICKETS

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
KEYS_AT = "https://idp.example/keys"
ALL_GRANTS = ("authorization_code", "refresh_token", "client_credentials", JWT_BEARER)


class ForeignIssuer:
    """An issuer with one key, and the egress that reaches it; counts how often it was asked."""

    def __init__(self, issuer: str = "https://idp.example", kid: str = "f1") -> None:
        self.issuer = issuer
        self.key = ECKey.generate_key("P-256", {"kid": kid, "use": "sig"})
        self.is_up = True
        self.asked = 0

    @property
    def jwks(self) -> dict[str, Any]:
        """Its public keys."""
        return {"keys": [self.key.as_dict(private=False)]}

    def fetch_json(self, url: str, **_: Any) -> dict[str, Any]:
        """Answer as the broker's egress does."""
        self.asked += 1
        if not self.is_up or url != KEYS_AT:
            raise Refusal(ErrorCode.EGRESS_REFUSED, "The other server could not be reached.")
        return self.jwks

    def sign(self, claims: dict[str, Any], *, key: Any = None, **header: Any) -> str:
        """A signed token; a claim or header member that is None is left out."""
        protected = {"alg": "ES256", "kid": "f1", "typ": "JWT", **header}
        body = json.dumps({name: value for name, value in claims.items() if value is not None}).encode()
        given = {name: value for name, value in protected.items() if value is not None}
        return jws.serialize_compact(given, body, key or self.key, algorithms=["ES256", "RS256", "HS256"])

    def id_jag(
        self, scene: Scene, *, header: dict[str, Any] | None = None, key: Any = None, **changes: Any
    ) -> str:
        """An ID-JAG for Maya and the client of agent a."""
        now = scene.world.now
        claims = {
            "iss": self.issuer,
            "sub": "maya",
            "aud": scene.tenant.issuer,
            "client_id": "cli_a",
            "jti": new_id("idj"),
            "iat": now,
            "exp": now + 300,
            "scope": "tickets:read tickets:write",
            "resource": TICKETS,
            "auth_time": now - 60,
            "acr": "phr",
            "amr": ["hwk"],
            **changes,
        }
        return self.sign(claims, key=key, **{"typ": "oauth-id-jag+jwt", **(header or {})})

    def workload(
        self, scene: Scene, *, header: dict[str, Any] | None = None, key: Any = None, **changes: Any
    ) -> str:
        """A platform's token for the workload of agent a."""
        now = scene.world.now
        claims = {
            "iss": self.issuer,
            "sub": "system:serviceaccount:agents:a",
            "aud": scene.tenant.issuer,
            "jti": new_id("wlt"),
            "iat": now,
            "exp": now + 600,
            **changes,
        }
        return self.sign(claims, key=key, **(header or {}))


def redeem(scene: Scene, assertion: str, *, client: str | None = "cli_a", **changes: Any) -> Answer:
    """Bring an assertion to the jwt-bearer grant; None leaves a parameter out."""
    params = {"grant_type": JWT_BEARER, "assertion": assertion, **changes}
    return scene.call("token", {k: v for k, v in params.items() if v is not None}, client=client)

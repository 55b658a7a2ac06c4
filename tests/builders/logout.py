"""Messages with which an OpenID provider tells that somebody signed out, bent as told."""

from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from werkzeug.test import TestResponse

from tests.builders.oidc_op import CLIENT_ID, OpenIdProvider, segment
from tests.builders.site import Site

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_PATH = "/t/acme/oidc/okta/backchannel-logout"

_count = iter(range(1, 1_000_000))


def logout_claims(provider: OpenIdProvider, **changes: Any) -> dict[str, Any]:
    """Return the claims of an honest logout token; None leaves one out."""
    claims = {
        "iss": provider.issuer,
        "aud": CLIENT_ID,
        "iat": provider.now,
        "exp": provider.now + 120,
        "jti": f"logout-{next(_count)}",
        "events": {LOGOUT_EVENT: {}},
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}


def rs256(header: dict[str, Any], claims: Any, key: Any) -> str:
    """Return a token signed under any header, also one that no library would write."""
    message = f"{segment(header)}.{segment(claims)}"
    return f"{message}.{segment(key.private_key.sign(message.encode(), PKCS1v15(), SHA256()))}"


def logout_token(
    provider: OpenIdProvider,
    *,
    header: dict[str, Any] | None = None,
    sign: Callable[..., str] = rs256,
    **changes: Any,
) -> str:
    """Return a signed logout token; `header` changes its header, None in it leaves a member out."""
    head = {"alg": provider.alg, "kid": provider.key.kid, "typ": "logout+jwt", **(header or {})}
    told = {name: value for name, value in head.items() if value is not None}
    return sign(told, logout_claims(provider, **changes), provider.key)


def tell(site: Site, token: str, path: str = LOGOUT_PATH) -> TestResponse:
    """Bring a logout token as a provider's server does: without a browser."""
    return site.browser().post_from_elsewhere(path, {"logout_token": token}, origin="null")

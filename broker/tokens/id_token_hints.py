"""ID tokens of ours that come back as hints: verified, but allowed to have expired."""

from dataclasses import dataclass
from typing import Any

import orjson

from broker.kernel.errors import Refusal
from broker.kernel.runtime import Runtime
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens import encoding
from broker.tokens.access import check_signature
from broker.tokens.encoding import MAX_TOKEN_CHARS
from broker.tokens.keys import verification_keys
from broker.tokens.signing import ID_TOKEN_TYP, header_segment


@dataclass(frozen=True, slots=True)
class Hint:
    """Whom a client was told about: the person, the client itself, and the session it was in."""

    user_id: str
    client_id: str
    session_id: str


def read_hint(rt: Runtime, tenant: TenantSnapshot, token: str) -> Hint | None:
    """Return what an ID token of this tenant says, expired or not; None for anything else.

    A token that is not ours is no error: the caller asks the person instead. Without the signature:
    anybody could make a hint about anybody, and sign people out with a link.
    """
    parts = token.split(".")
    if len(token) > MAX_TOKEN_CHARS or len(parts) != 3:
        return None
    claims = _verified(rt, tenant, *parts)
    if claims is None or claims.get("iss") != tenant.issuer:
        return None
    user_id, client_id = claims.get("sub"), claims.get("aud")
    if not isinstance(user_id, str) or not isinstance(client_id, str):
        return None
    return Hint(user_id, client_id, str(claims.get("sid", "")))


def _verified(
    rt: Runtime, tenant: TenantSnapshot, header: str, payload: str, signature: str
) -> dict[str, Any] | None:
    given = header.encode("utf-8", "replace")
    for key in verification_keys(rt, tenant.id).values():
        # Byte for byte: another ``typ``, ``alg`` or key of the sender's choice is not what we wrote (O35).
        if given == header_segment(ID_TOKEN_TYP, key.algorithm, key.kid):
            try:
                check_signature(key, f"{header}.{payload}".encode(), encoding.decode(signature))
                claims = orjson.loads(encoding.decode(payload))
            except (Refusal, ValueError):
                return None
            return claims if isinstance(claims, dict) else None
    return None

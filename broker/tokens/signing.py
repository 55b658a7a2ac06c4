"""Signs our own JWTs by hand: header bytes are made once per key and kind, the rest is one signature.

Only for what we issue. What others sign is verified by a library, in ``profiles``.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from broker.tokens import encoding
from broker.tokens.keys import SigningKey

ACCESS_TOKEN_TYP = "at+jwt"  # noqa: S105 (a media type)
LOGOUT_TOKEN_TYP = "logout+jwt"  # noqa: S105 (a media type)
ID_TOKEN_TYP = "JWT"  # noqa: S105 (a media type)
ID_JAG_TYP = "oauth-id-jag+jwt"

_SHA256 = SHA256()
_ES256 = ec.ECDSA(_SHA256)
RSA_PADDINGS = {
    "PS256": padding.PSS(padding.MGF1(_SHA256), padding.PSS.DIGEST_LENGTH),
    "RS256": padding.PKCS1v15(),
}
"""How RSA keys sign, by algorithm (RFC 7518 §3.3, §3.5)."""


def sign_jwt(key: SigningKey, typ: str, claims: Mapping[str, Any]) -> str:
    """Return ``claims`` as a signed compact JWT (RFC 7515 §7.1) of the kind ``typ``."""
    signed = header_segment(typ, key.algorithm, key.kid) + b"." + encoding.encode(orjson.dumps(claims))
    return (signed + b"." + encoding.encode(_sign(key, signed))).decode()


@lru_cache(maxsize=4096)
def header_segment(typ: str, algorithm: str, kid: str) -> bytes:
    """Return the one header, encoded, that a JWT of ours has for this kind and key."""
    return encoding.encode(orjson.dumps({"typ": typ, "alg": algorithm, "kid": kid}))


def _sign(key: SigningKey, message: bytes) -> bytes:
    if isinstance(key.private, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.private.sign(message, _ES256))
        return r.to_bytes(32) + s.to_bytes(32)
    if isinstance(key.private, rsa.RSAPrivateKey):
        return key.private.sign(message, RSA_PADDINGS[key.algorithm], _SHA256)
    return key.private.sign(message)

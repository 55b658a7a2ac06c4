"""Verifies access tokens that we issued ourselves, fast."""

import hashlib
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.runtime import Runtime
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens import encoding
from broker.tokens.encoding import MAX_TOKEN_CHARS
from broker.tokens.keys import TenantKeys, VerificationKey, tenant_keys
from broker.tokens.signing import ACCESS_TOKEN_TYP, RSA_PADDINGS, header_segment
from broker.tokens.verified_cache import VerifiedAccessToken

__all__ = ["MAX_TOKEN_CHARS", "VerifiedAccessToken", "verify_access_token"]

_SHA256 = SHA256()
_ES256 = ec.ECDSA(_SHA256)


def verify_access_token(rt: Runtime, tenant: TenantSnapshot, token: str, *, now: int) -> VerifiedAccessToken:
    """Return what an access token of this tenant says, if we signed it and it has not expired.

    Neither its audience nor whether it was revoked is judged here: the caller does the first, the
    liveness gate the second. Raises ``Refusal(invalid_token)`` with a reason.
    """
    # Without this: a header of many megabytes would be hashed and decoded for a stranger (O07).
    if len(token) > MAX_TOKEN_CHARS:
        raise _refuse("token_too_large")
    keys = tenant_keys(rt, tenant.id)
    digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
    verified = keys.verified.find(digest)
    if verified is None:
        verified = _verify(keys, tenant, token)
        if verified.expires_at > now:
            keys.verified.keep(digest, verified)
    if verified.expires_at <= now:
        keys.verified.drop(digest)
        raise _refuse("token_expired")
    if verified.issued_at <= tenant.cutoff_at:
        raise _refuse("tenant_cutoff")
    return verified


def _verify(keys: TenantKeys, tenant: TenantSnapshot, token: str) -> VerifiedAccessToken:
    header, dot, rest = token.partition(".")
    payload, last_dot, signature = rest.partition(".")
    if not dot or not last_dot:
        raise _refuse("not_a_jwt")
    key = _key_for(keys, header)
    try:
        signature_bytes, claims = encoding.decode(signature), orjson.loads(encoding.decode(payload))
    except ValueError:
        raise _refuse("not_a_jwt") from None
    check_signature(key, f"{header}.{payload}".encode(), signature_bytes)
    return _read(tenant, key, claims)


def _key_for(keys: TenantKeys, header: str) -> VerificationKey:
    """Return the key whose one possible header this is, byte for byte.

    Without this: ``alg`` none or HS256, an embedded ``jwk``, ``jku``, ``crit`` or another ``typ`` would
    each need a check of its own (O01 to O06, O35); a header that we would not write is simply not ours.
    """
    given = header.encode("utf-8", "replace")
    for key in keys.access.values():
        if given == header_segment(ACCESS_TOKEN_TYP, key.algorithm, key.kid):
            return key
    for kid, algorithm in keys.revoked.items():
        if given == header_segment(ACCESS_TOKEN_TYP, algorithm, kid):
            raise _refuse("key_revoked")
    raise _refuse("not_our_token")


def check_signature(key: VerificationKey, message: bytes, signature: bytes) -> None:
    """Return when ``signature`` over ``message`` is that of ``key``; raises ``Refusal(invalid_token)``."""
    try:
        if isinstance(key.public, rsa.RSAPublicKey):
            key.public.verify(signature, message, RSA_PADDINGS[key.algorithm], _SHA256)
            return
        if len(signature) != 64:
            raise InvalidSignature
        if isinstance(key.public, ec.EllipticCurvePublicKey):
            r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
            key.public.verify(encode_dss_signature(r, s), message, _ES256)
        else:
            key.public.verify(signature, message)
    except InvalidSignature:
        raise _refuse("bad_signature") from None


def _read(tenant: TenantSnapshot, key: VerificationKey, claims: dict[str, Any]) -> VerifiedAccessToken:
    # The signature is ours, so the shape is too; the issuer differs only if a tenant was renamed.
    if claims["iss"] != tenant.issuer:
        raise _refuse("wrong_issuer")
    return VerifiedAccessToken(claims["jti"], key.kid, claims, claims["iat"], claims["exp"])


def _refuse(reason: str) -> Refusal:
    return Refusal(ErrorCode.INVALID_TOKEN, "The access token is not valid.", reason=reason)

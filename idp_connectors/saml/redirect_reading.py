"""Reads a signed message out of an address (HTTP-Redirect binding): signature first, then the message."""

import base64
import binascii
import zlib
from collections.abc import Collection
from functools import cache
from urllib.parse import unquote_plus

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from lxml import etree

from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.saml.names import SIGNATURE_METHODS
from idp_connectors.saml.prescreen import parse_strictly, refuse, screen_bytes

MAX_MESSAGE_BYTES = 64 * 1024
_PARAMETERS = ("SAMLRequest", "SAMLResponse", "RelayState", "SigAlg", "Signature")
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def read_redirect(query_string: str, parameter: str, certificates: Collection[str]) -> etree._Element:
    """Return the root of the message in `parameter`, whose signature one of `certificates` verifies.

    The signature covers the octets as they were sent (Bindings 3.4.4.1), so the raw query is read, never
    one that was decoded and encoded again. Raises ConnectorError.
    """
    raw = _read_parameters(query_string)
    if parameter not in raw or ("SAMLRequest" in raw and "SAMLResponse" in raw):
        raise _malformed(f"no {parameter}, or both kinds of message", parameter)
    _require_signature(raw, parameter, certificates)
    # Only now. Without this order: whoever likes has us inflate a bomb and parse what is in it.
    document = _inflate(_decode(raw[parameter], parameter))
    screen_bytes(document)
    return parse_strictly(document)


def read_relay_state(query_string: str) -> str:
    """Return the decoded `RelayState` of a query, or an empty string."""
    return unquote_plus(_read_parameters(query_string).get("RelayState", ""))


def _read_parameters(query_string: str) -> dict[str, str]:
    """Return the binding's parameters as they were sent; others are ignored."""
    found: dict[str, str] = {}
    for pair in query_string.split("&"):
        name, _, value = pair.partition("=")
        if name in _PARAMETERS:
            # Without this: one of two values is verified and the other is read.
            if name in found:
                raise _malformed(f"{name} occurs twice", name)
            found[name] = value
    return found


def _require_signature(raw: dict[str, str], parameter: str, certificates: Collection[str]) -> None:
    # Without this: a message without a signature, or without a named algorithm, passes for a signed one.
    if not raw.get("SigAlg") or not raw.get("Signature"):
        raise _unsigned("no SigAlg or no Signature")
    algorithm = unquote_plus(raw["SigAlg"])
    # Without this: SHA-1 collides, and HMAC takes the public certificate as its secret.
    if algorithm not in SIGNATURE_METHODS:
        raise ConnectorError(
            ConnectorErrorCode.ALGORITHM_REFUSED,
            "The identity provider signs with an algorithm that is not accepted. Use SHA-256.",
            detail=f"SigAlg {algorithm!r:.120}",
            field="SigAlg",
        )
    signed = "&".join(
        f"{name}={raw[name]}" for name in (parameter, "RelayState", "SigAlg") if name in raw
    ).encode()
    signature = _decode(raw["Signature"], "Signature")
    if not any(_verifies(certificate, algorithm, signature, signed) for certificate in certificates):
        raise _unsigned("no certificate of the connection verifies the signature")


def _verifies(certificate: str, algorithm: str, signature: bytes, signed: bytes) -> bool:
    key = _public_key(certificate)
    family, _, digest = algorithm.rpartition("#")[2].partition("-")
    hash_algorithm = _HASHES[digest]
    try:
        if isinstance(key, rsa.RSAPublicKey) and family == "rsa":
            key.verify(signature, signed, PKCS1v15(), hash_algorithm)
            return True
        if isinstance(key, ec.EllipticCurvePublicKey) and family == "ecdsa":
            half = (key.curve.key_size + 7) // 8
            if len(signature) != 2 * half:
                return False
            r, s = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
            key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hash_algorithm))
            return True
    except InvalidSignature:
        return False
    return False


@cache
def _public_key(certificate: str) -> object:
    return x509.load_der_x509_certificate(base64.b64decode(certificate)).public_key()


def _decode(raw: str, name: str) -> bytes:
    if len(raw) > MAX_MESSAGE_BYTES:
        raise refuse(f"{name} is longer than 64 KiB")
    try:
        return base64.b64decode("".join(unquote_plus(raw).split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise refuse(f"{name}: base64: {error}") from error


def _inflate(packed: bytes) -> bytes:
    # Without the bound: a few kilobytes unfold to gigabytes (CVE-2025-25293).
    inflater = zlib.decompressobj(-15)
    try:
        document = inflater.decompress(packed, MAX_MESSAGE_BYTES)
    except zlib.error as error:
        raise refuse(f"deflate: {error}") from error
    if inflater.unconsumed_tail or inflater.unused_data or not inflater.eof:
        raise refuse("the message is cut off, has something behind it, or unfolds to more than 64 KiB")
    return document


def _unsigned(detail: str) -> ConnectorError:
    return ConnectorError(
        ConnectorErrorCode.SIGNATURE_INVALID,
        "The identity provider's message is not signed by a key of this connection.",
        detail=detail,
        field="Signature",
    )


def _malformed(detail: str, field: str) -> ConnectorError:
    return ConnectorError(
        ConnectorErrorCode.CALLBACK_MALFORMED,
        "The identity provider's message is incomplete.",
        detail=detail,
        field=field,
    )

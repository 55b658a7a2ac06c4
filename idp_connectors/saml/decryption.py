"""Opens an encrypted assertion: AES-GCM under a key that was wrapped for us by RSA-OAEP, and nothing else.

The frame of XML Encryption is read here, strictly; the cryptography is the library's. libxmlsec is not asked,
because it acts on whatever algorithm, key reference or nesting the message names.
"""

import base64
import binascii
import secrets as random_secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512, HashAlgorithm
from lxml import etree

from idp_connectors.base import ServiceKey
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.saml.names import (
    CONTENT_CIPHERS,
    ENCRYPTION,
    ENCRYPTION_11,
    KEY_TRANSPORTS,
    SIGNATURE,
    assertion,
    signature,
)

_NONCE, _TAG = 12, 16
# OAEP needs no collision resistance of its hash: SHA-1, which several providers cannot change, is sound here.
_DIGESTS: dict[str, type[HashAlgorithm]] = {
    SIGNATURE + "sha1": SHA1,
    ENCRYPTION + "sha256": SHA256,
    "http://www.w3.org/2001/04/xmldsig-more#sha384": SHA384,
    ENCRYPTION + "sha512": SHA512,
}
_MASKS: dict[str, type[HashAlgorithm]] = {
    ENCRYPTION_11 + "mgf1sha1": SHA1,
    ENCRYPTION_11 + "mgf1sha256": SHA256,
    ENCRYPTION_11 + "mgf1sha384": SHA384,
    ENCRYPTION_11 + "mgf1sha512": SHA512,
}


@dataclass(frozen=True, slots=True)
class _Sealed:
    """What an EncryptedAssertion of the accepted shape holds."""

    key_bytes: int
    content: bytes
    wrapped_key: bytes
    padding: OAEP


def decrypt_assertion(encrypted: etree._Element, keys: Sequence[ServiceKey]) -> bytes:
    """Return the bytes of the assertion inside an `EncryptedAssertion`; raises ConnectorError.

    Every way in which the decryption itself fails gives the same answer after the same work. Without this:
    whoever may send us messages learns from the differences what is inside somebody else's (S44).
    """
    sealed = _read_frame(encrypted)
    content_key = _unwrap(sealed, keys) or random_secrets.token_bytes(sealed.key_bytes)
    nonce, rest = sealed.content[:_NONCE], sealed.content[_NONCE:]
    try:
        return AESGCM(content_key).decrypt(nonce, rest, None)
    except (InvalidTag, ValueError):
        raise ConnectorError(
            ConnectorErrorCode.DECRYPTION_FAILED,
            "The identity provider's answer is not encrypted for this connection's current certificate.",
            detail="neither key nor content could be opened, or one of them",
        ) from None


def _unwrap(sealed: _Sealed, keys: Sequence[ServiceKey]) -> bytes | None:
    """Return the content key if one of ours opens it and its length is the cipher's."""
    found: bytes | None = None
    for key in keys:
        try:
            opened = key.private.decrypt(sealed.wrapped_key, sealed.padding)
        except ValueError:
            continue
        found = opened if len(opened) == sealed.key_bytes else found
    return found


def _read_frame(encrypted: etree._Element) -> _Sealed:
    """Return the parts of the one accepted frame: one EncryptedData, one EncryptedKey in or beside it."""
    children = list(encrypted)
    if (
        encrypted.tag != assertion("EncryptedAssertion")
        or not children
        or children[0].tag != _xenc("EncryptedData")
    ):
        _refuse("an EncryptedAssertion without EncryptedData")
    data, beside = children[0], children[1:]
    inside = list(data.iter(_xenc("EncryptedKey")))
    # Without this: keys that wrap keys, and keys fetched from elsewhere, are work that a stranger orders.
    if len(beside) > 1 or len(inside) + len(beside) != 1:
        _refuse("there is not exactly one EncryptedKey")
    wrapped = (inside or beside)[0]
    _screen_key_info(data, wrapped)
    method = _child(data, "EncryptionMethod")
    cipher = method.get("Algorithm", "")
    # Without this: CBC tells an attacker, padding by padding, what another message holds (S44).
    if cipher not in CONTENT_CIPHERS:
        _refuse_algorithm(cipher, "AES-GCM")
    if len(method):
        _refuse("a content cipher with parameters")
    content = _cipher_value(data)
    if len(content) <= _NONCE + _TAG:
        _refuse("too short a ciphertext")
    return _Sealed(CONTENT_CIPHERS[cipher], content, _cipher_value(wrapped), _read_padding(wrapped))


def _screen_key_info(data: etree._Element, wrapped: etree._Element) -> None:
    """Let a KeyInfo hold the key itself, or a reference to the one beside it; it may point nowhere else."""
    if wrapped.tag != _xenc("EncryptedKey"):
        _refuse(f"{wrapped.tag!r:.120} beside EncryptedData")
    for info in data.findall(signature("KeyInfo")):
        for child in info:
            points_beside = (
                child.tag == signature("RetrievalMethod")
                and len(child) == 0
                and child.get("URI") == f"#{wrapped.get('Id')}"
                and wrapped.getparent() is data.getparent()
            )
            if child is not wrapped and not points_beside:
                _refuse(f"KeyInfo holds {child.tag!r:.120}")
    if wrapped.getparent() is not data.getparent() and wrapped.getparent() is not data.find(
        signature("KeyInfo")
    ):
        _refuse("an EncryptedKey in an odd place")


def _read_padding(wrapped: etree._Element) -> OAEP:
    method = _child(wrapped, "EncryptionMethod")
    transport = method.get("Algorithm", "")
    # Without this: PKCS #1 v1.5 lets an attacker unwrap a key by a few thousand questions (Bleichenbacher).
    if transport not in KEY_TRANSPORTS:
        _refuse_algorithm(transport, "RSA-OAEP")
    digest: type[HashAlgorithm] = SHA1
    mask: type[HashAlgorithm] = SHA1
    for child in method:
        algorithm = child.get("Algorithm", "")
        if child.tag == signature("DigestMethod") and algorithm in _DIGESTS:
            digest = _DIGESTS[algorithm]
        elif child.tag == f"{{{ENCRYPTION_11}}}MGF" and algorithm in _MASKS and "xmlenc11" in transport:
            mask = _MASKS[algorithm]
        else:
            _refuse_algorithm(f"{child.tag} {algorithm}", "RSA-OAEP with SHA-256")
    return OAEP(mgf=MGF1(algorithm=mask()), algorithm=digest(), label=None)


def _cipher_value(element: etree._Element) -> bytes:
    data = _child(element, "CipherData")
    values = list(data)
    # Without this: a CipherReference has us fetch an address, or transform what is found there.
    if len(values) != 1 or values[0].tag != _xenc("CipherValue") or len(values[0]):
        _refuse("CipherData holds something else than one CipherValue")
    try:
        return base64.b64decode("".join((values[0].text or "").split()), validate=True)
    except (binascii.Error, ValueError) as error:
        _refuse(f"CipherValue: {error}")


def _child(element: etree._Element, name: str) -> etree._Element:
    found = element.findall(_xenc(name))
    if len(found) != 1:
        _refuse(f"{len(found)} {name} elements in {etree.QName(element).localname}")
    return found[0]


def _xenc(name: str) -> str:
    return f"{{{ENCRYPTION}}}{name}"


def _refuse(detail: str) -> NoReturn:
    raise ConnectorError(
        ConnectorErrorCode.DOCUMENT_REFUSED,
        "The identity provider's answer has a shape that is not accepted.",
        detail=f"encryption: {detail}",
    )


def _refuse_algorithm(found: str, wanted: str) -> NoReturn:
    raise ConnectorError(
        ConnectorErrorCode.ALGORITHM_REFUSED,
        f"The identity provider encrypts with an algorithm that is not accepted. Use {wanted}.",
        detail=f"encryption: {found!r:.200}",
    )

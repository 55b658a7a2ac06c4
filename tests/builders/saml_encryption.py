"""Encrypts the assertion of a response, in the ways that providers do and in ways that they must not."""

import base64
import os
from copy import deepcopy
from dataclasses import dataclass

import xmlsec
from cryptography.hazmat.primitives import padding as block_padding
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from lxml import etree

from tests.builders.saml_idp import DS, SAML, find, key_and_certificate
from tests.builders.service_keys import service_key

XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"
GCM = {XENC11 + f"aes{bits}-gcm": bits // 8 for bits in (128, 192, 256)}
CBC = {XENC + f"aes{bits}-cbc": bits // 8 for bits in (128, 256)}


@dataclass
class Encryption:
    """How an assertion is encrypted; the defaults are what current providers do."""

    key_name: str = "sp-encryption"
    cipher: str = XENC11 + "aes256-gcm"
    transport: str = XENC + "rsa-oaep-mgf1p"
    digest: str = ""
    mask: str = ""
    is_beside: bool = False
    key: RSAPublicKey | None = None

    def __call__(self, root: etree._Element) -> None:
        """Put an EncryptedAssertion where the assertion is."""
        assertion = find(root, "./saml:Assertion")
        root.replace(assertion, self.seal(etree.tostring(assertion)))

    def seal(self, plain: bytes) -> etree._Element:
        """Return an EncryptedAssertion that holds ``plain``."""
        content_key = os.urandom({**GCM, **CBC}.get(self.cipher, 32))
        holder = etree.Element(f"{{{SAML}}}EncryptedAssertion", nsmap={"saml": SAML})
        data = etree.SubElement(holder, f"{{{XENC}}}EncryptedData", {"Type": XENC + "Element"})
        etree.SubElement(data, f"{{{XENC}}}EncryptionMethod", {"Algorithm": self.cipher})
        info = etree.SubElement(data, f"{{{DS}}}KeyInfo")
        place = info
        if self.is_beside:
            etree.SubElement(
                info, f"{{{DS}}}RetrievalMethod", {"URI": "#key1", "Type": XENC + "EncryptedKey"}
            )
            place = holder
        _add_value(data, self._encrypt(content_key, plain))
        wrapped = etree.SubElement(place, f"{{{XENC}}}EncryptedKey", {"Id": "key1"})
        method = etree.SubElement(wrapped, f"{{{XENC}}}EncryptionMethod", {"Algorithm": self.transport})
        if self.digest:
            etree.SubElement(method, f"{{{DS}}}DigestMethod", {"Algorithm": self.digest})
        if self.mask:
            etree.SubElement(method, f"{{{XENC11}}}MGF", {"Algorithm": self.mask})
        public = self.key or service_key(self.key_name).private.public_key()
        _add_value(wrapped, public.encrypt(content_key, self._padding()))
        return holder

    def _encrypt(self, key: bytes, plain: bytes) -> bytes:
        if self.cipher not in CBC:
            nonce = os.urandom(12)
            return nonce + AESGCM(key).encrypt(nonce, plain, None)
        padder, vector = block_padding.PKCS7(128).padder(), os.urandom(16)
        encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
        return vector + encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()

    def _padding(self) -> padding.AsymmetricPadding:
        if self.transport.endswith("rsa-1_5"):
            return padding.PKCS1v15()
        digest, mask = (SHA256() if name.endswith("sha256") else SHA1() for name in (self.digest, self.mask))
        return padding.OAEP(mgf=padding.MGF1(mask), algorithm=digest, label=None)


def encrypt_with_libxmlsec(root: etree._Element) -> None:
    """Put an EncryptedAssertion there as another library writes it."""
    assertion = find(root, "./saml:Assertion")
    constants = xmlsec.constants
    data = xmlsec.template.encrypted_data_create(
        assertion, constants.TransformAes128Gcm, type=constants.TypeEncElement, ns="xenc"
    )
    xmlsec.template.encrypted_data_ensure_cipher_value(data)
    info = xmlsec.template.encrypted_data_ensure_key_info(data, ns="ds")
    wrapped = xmlsec.template.add_encrypted_key(info, constants.TransformRsaOaep)
    xmlsec.template.encrypted_data_ensure_cipher_value(wrapped)
    manager = xmlsec.KeysManager()
    certificate = key_and_certificate("sp-encryption")[1]
    manager.add_key(xmlsec.Key.from_memory(certificate, constants.KeyDataFormatCertPem))
    context = xmlsec.EncryptionContext(manager)
    context.key = xmlsec.Key.generate(constants.KeyDataAes, 128, constants.KeyDataTypeSession)
    sealed = context.encrypt_xml(data, deepcopy(assertion))
    holder = etree.Element(f"{{{SAML}}}EncryptedAssertion", nsmap={"saml": SAML})
    holder.append(sealed)
    root.replace(assertion, holder)


def _add_value(element: etree._Element, value: bytes) -> None:
    data = etree.SubElement(element, f"{{{XENC}}}CipherData")
    etree.SubElement(data, f"{{{XENC}}}CipherValue").text = base64.b64encode(value).decode()

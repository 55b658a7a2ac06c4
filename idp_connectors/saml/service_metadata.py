"""Writes the service provider's metadata: where answers go, what is signed, and our public keys."""

from lxml import etree

from idp_connectors.base import ServiceKey, ServiceKeys
from idp_connectors.saml.config import SamlConfig
from idp_connectors.saml.names import (
    BINDING_POST,
    BINDING_REDIRECT,
    CONTENT_CIPHERS,
    KEY_TRANSPORTS,
    METADATA,
    NAMEID_PERSISTENT,
    PROTOCOL,
    SIGNATURE,
    signature,
)


def build_service_metadata(
    config: SamlConfig, *, entity_id: str, callback_url: str, keys: ServiceKeys, sign_out_url: str = ""
) -> bytes:
    """Return the metadata (Metadata 2.4.4): every published signing key, and what may encrypt for us.

    An encryption key stands in it only when the connection takes encrypted assertions: several providers
    encrypt as soon as they see one, some of them by ciphers that are refused here.
    """
    root = etree.Element(
        _md("EntityDescriptor"), {"entityID": entity_id}, nsmap={"md": METADATA, "ds": SIGNATURE}
    )
    service = etree.SubElement(
        root,
        _md("SPSSODescriptor"),
        {
            "AuthnRequestsSigned": "true" if config.sign_requests else "false",
            "WantAssertionsSigned": "true",
            "protocolSupportEnumeration": PROTOCOL,
        },
    )
    for key in keys.published_signing:
        _add_key(service, "signing", key)
    if config.encryption != "off":
        for key in keys.published_encryption:
            _add_key(service, "encryption", key)
    if sign_out_url:
        attributes = {"Binding": BINDING_REDIRECT, "Location": sign_out_url}
        etree.SubElement(service, _md("SingleLogoutService"), attributes)
    etree.SubElement(service, _md("NameIDFormat")).text = NAMEID_PERSISTENT
    etree.SubElement(
        service,
        _md("AssertionConsumerService"),
        {"Binding": BINDING_POST, "Location": callback_url, "index": "0", "isDefault": "true"},
    )
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _add_key(service: etree._Element, use: str, key: ServiceKey) -> None:
    descriptor = etree.SubElement(service, _md("KeyDescriptor"), {"use": use})
    info = etree.SubElement(descriptor, signature("KeyInfo"))
    etree.SubElement(info, signature("KeyName")).text = key.id
    data = etree.SubElement(info, signature("X509Data"))
    etree.SubElement(data, signature("X509Certificate")).text = key.certificate
    if use == "encryption":
        for algorithm in (*CONTENT_CIPHERS, *KEY_TRANSPORTS):
            etree.SubElement(descriptor, _md("EncryptionMethod"), {"Algorithm": algorithm})


def _md(name: str) -> str:
    return f"{{{METADATA}}}{name}"

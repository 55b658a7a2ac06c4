"""Writes the service provider's metadata: where answers go, what is signed, and our public keys."""

from lxml import etree

from idp_connectors.base import ServiceKey, ServiceKeys
from idp_connectors.saml.config import SamlConfig
from idp_connectors.saml.names import (
    BINDING_POST,
    METADATA,
    NAMEID_PERSISTENT,
    PROTOCOL,
    SIGNATURE,
    signature,
)


def build_service_metadata(
    config: SamlConfig, *, entity_id: str, callback_url: str, keys: ServiceKeys
) -> bytes:
    """Return the metadata (Metadata 2.4.4) with every published signing key: a change is seen ahead."""
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


def _md(name: str) -> str:
    return f"{{{METADATA}}}{name}"

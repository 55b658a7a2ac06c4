"""Metadata of a SAML provider as bytes, and ways to bend it."""

import base64

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.builders.saml_idp import IDP_ENTITY_ID, SSO_URL, key_and_certificate

MD = "urn:oasis:names:tc:SAML:2.0:metadata"
REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"


def certificate_text(name: str = "idp", bits: int = 2048) -> str:
    """A certificate as metadata holds it: base64 of its DER form."""
    found = x509.load_pem_x509_certificate(key_and_certificate(name, bits)[1])
    return base64.b64encode(found.public_bytes(Encoding.DER)).decode()


def key(name: str = "idp", use: str = "signing", bits: int = 2048) -> str:
    """A KeyDescriptor."""
    attribute = f' use="{use}"' if use else ""
    return (
        f'<md:KeyDescriptor{attribute}><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data>'
        f"<ds:X509Certificate>\n{certificate_text(name, bits)}\n</ds:X509Certificate>"
        "</ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
    )


def service(name: str, binding: str, location: str) -> str:
    """A SingleSignOnService or SingleLogoutService."""
    return f'<md:{name} Binding="{binding}" Location="{location}"/>'


def entity(
    entity_id: str = IDP_ENTITY_ID,
    *,
    keys: str | None = None,
    services: str | None = None,
    role: str = "IDPSSODescriptor",
    protocol: str = "urn:oasis:names:tc:SAML:2.0:protocol",
    attributes: str = "",
) -> str:
    """One EntityDescriptor."""
    offered = services
    if offered is None:
        offered = service("SingleSignOnService", POST, f"{SSO_URL}/post")
        offered += service("SingleSignOnService", REDIRECT, SSO_URL)
    return (
        f'<md:EntityDescriptor xmlns:md="{MD}" entityID="{entity_id}" {attributes}>'
        f'<md:{role} protocolSupportEnumeration="{protocol}">{key() if keys is None else keys}'
        "<md:NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:persistent</md:NameIDFormat>"
        f"{offered}</md:{role}></md:EntityDescriptor>"
    )


def document(*entities: str) -> bytes:
    """A whole document: one entity, or several in an EntitiesDescriptor."""
    found = entities or (entity(),)
    inner = "".join(found)
    if len(found) > 1:
        inner = f'<md:EntitiesDescriptor xmlns:md="{MD}">{inner}</md:EntitiesDescriptor>'
    return f"<?xml version='1.0' encoding='UTF-8'?>\n<!-- made by a test -->\n{inner}".encode()

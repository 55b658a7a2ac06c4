"""Writes what the broker says to a SAML provider: the AuthnRequest and the service's metadata."""

import base64
import time
import zlib
from urllib.parse import urlencode

from lxml import etree

from idp_connectors.saml.names import (
    ASSERTION,
    BINDING_POST,
    METADATA,
    NAMEID_PERSISTENT,
    PROTOCOL,
    assertion,
    protocol,
)


def build_authn_request(
    *, request_id: str, sso_url: str, entity_id: str, callback_url: str, now: int
) -> bytes:
    """Return an AuthnRequest (Core 3.4.1) that asks for an answer by HTTP-POST.

    It names no NameIDPolicy and no authentication context: providers refuse people whose sign-in does not
    match one exactly. The tree is built, not formatted, so that no value can become markup.
    """
    request = etree.Element(
        protocol("AuthnRequest"),
        {
            "ID": request_id,
            "Version": "2.0",
            "IssueInstant": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
            "Destination": sso_url,
            "ProtocolBinding": BINDING_POST,
            "AssertionConsumerServiceURL": callback_url,
        },
        nsmap={"samlp": PROTOCOL, "saml": ASSERTION},
    )
    etree.SubElement(request, assertion("Issuer")).text = entity_id
    return etree.tostring(request)


def build_redirect_url(sso_url: str, request: bytes, relay_state: str) -> str:
    """Return the address that carries `request` by HTTP-Redirect (Bindings 3.4.4.1)."""
    squeezed = zlib.compress(request, wbits=-15)
    query = urlencode({"SAMLRequest": base64.b64encode(squeezed).decode(), "RelayState": relay_state})
    return f"{sso_url}{'&' if '?' in sso_url else '?'}{query}"


def build_service_metadata(*, entity_id: str, callback_url: str) -> bytes:
    """Return the service provider's metadata; it needs no key, because requests are not signed."""
    root = etree.Element(f"{{{METADATA}}}EntityDescriptor", {"entityID": entity_id}, nsmap={"md": METADATA})
    service = etree.SubElement(
        root,
        f"{{{METADATA}}}SPSSODescriptor",
        {
            "AuthnRequestsSigned": "false",
            "WantAssertionsSigned": "true",
            "protocolSupportEnumeration": PROTOCOL,
        },
    )
    etree.SubElement(service, f"{{{METADATA}}}NameIDFormat").text = NAMEID_PERSISTENT
    etree.SubElement(
        service,
        f"{{{METADATA}}}AssertionConsumerService",
        {"Binding": BINDING_POST, "Location": callback_url, "index": "0", "isDefault": "true"},
    )
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)

"""Writes the request that sends a person to a SAML provider."""

import time
from collections.abc import Sequence

from lxml import etree

from idp_connectors.saml.names import ASSERTION, BINDING_POST, PROTOCOL, assertion, protocol


def build_authn_request(
    *,
    request_id: str,
    sso_url: str,
    entity_id: str,
    callback_url: str,
    now: int,
    force_authn: bool = False,
    contexts: Sequence[str] = (),
) -> bytes:
    """Return an AuthnRequest (Core 3.4.1) that asks for an answer by HTTP-POST.

    It names no NameIDPolicy, and an authentication context only where one is to be proven: providers refuse
    people whose sign-in does not match it exactly. The tree is built, not formatted, so that no value can
    become markup.
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
    if force_authn:
        request.set("ForceAuthn", "true")
    etree.SubElement(request, assertion("Issuer")).text = entity_id
    if contexts:
        asked = etree.SubElement(request, protocol("RequestedAuthnContext"), {"Comparison": "exact"})
        for context in contexts:
            etree.SubElement(asked, assertion("AuthnContextClassRef")).text = context
    return etree.tostring(request)

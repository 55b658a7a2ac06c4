"""Namespaces and identifiers of SAML 2.0 and XML Signature, spelled once."""

PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol"
ASSERTION = "urn:oasis:names:tc:SAML:2.0:assertion"
METADATA = "urn:oasis:names:tc:SAML:2.0:metadata"
SIGNATURE = "http://www.w3.org/2000/09/xmldsig#"
EXCLUSIVE_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = SIGNATURE + "enveloped-signature"
ENCRYPTION = "http://www.w3.org/2001/04/xmlenc#"
ENCRYPTION_11 = "http://www.w3.org/2009/xmlenc11#"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"

BINDING_REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
BINDING_POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
STATUS_SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
NAMEID_PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
NAMEID_TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
ENTITY_FORMAT = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"

DIGESTS = frozenset(
    {
        "http://www.w3.org/2001/04/xmlenc#sha256",
        "http://www.w3.org/2001/04/xmldsig-more#sha384",
        "http://www.w3.org/2001/04/xmlenc#sha512",
    }
)
SIGNATURE_METHODS = frozenset(
    {
        RSA_SHA256,
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512",
    }
)
CONTENT_CIPHERS = {
    ENCRYPTION_11 + "aes256-gcm": 32,
    ENCRYPTION_11 + "aes192-gcm": 24,
    ENCRYPTION_11 + "aes128-gcm": 16,
}
"""Ciphers of encrypted assertions, best first, and the length of their keys in bytes."""
KEY_TRANSPORTS = (ENCRYPTION_11 + "rsa-oaep", ENCRYPTION + "rsa-oaep-mgf1p")
"""How the key of an encrypted assertion may be wrapped for us, best first."""


def protocol(name: str) -> str:
    """Return the qualified tag of a protocol element."""
    return f"{{{PROTOCOL}}}{name}"


def assertion(name: str) -> str:
    """Return the qualified tag of an assertion element."""
    return f"{{{ASSERTION}}}{name}"


def signature(name: str) -> str:
    """Return the qualified tag of an XML Signature element."""
    return f"{{{SIGNATURE}}}{name}"

"""Which upstream claim or attribute fills which field of an identity: one table, first match wins."""

from collections.abc import Mapping, Sequence

CLAIMS: Mapping[str, tuple[str, ...]] = {
    "email": (
        "email",
        "mail",
        "emailAddress",
        "urn:oid:0.9.2342.19200300.100.1.3",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
    ),
    "display_name": (
        "name",
        "displayName",
        "urn:oid:2.16.840.1.113730.3.1.241",
        "http://schemas.microsoft.com/identity/claims/displayname",
        "cn",
        "urn:oid:2.5.4.3",
    ),
    "given_name": (
        "given_name",
        "givenName",
        "firstName",
        "urn:oid:2.5.4.42",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname",
    ),
    "family_name": (
        "family_name",
        "sn",
        "lastName",
        "urn:oid:2.5.4.4",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname",
    ),
}
"""Field of `VerifiedIdentity` to the names it goes by at providers, in order of preference."""


def pick(field: str, claims: Mapping[str, object], preferred: str = "") -> str:
    """Return the first non-empty text for `field`, looking at the connection's `preferred` name first.

    A list of texts counts by its first entry. Returns "" when there is none.
    """
    for name in ((preferred,) if preferred else ()) + CLAIMS[field]:
        value = claims.get(name)
        if isinstance(value, Sequence) and not isinstance(value, str):
            value = next(iter(value), None)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return ""

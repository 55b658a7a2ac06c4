"""Search filters with a fixed shape (RFC 4515): every value is escaped here, whoever it comes from."""

from collections.abc import Iterable

from ldap3.core.exceptions import LDAPExceptionError
from ldap3.operation.search import parse_filter

IN_CHAIN = "1.2.840.113556.1.4.1941"
"""Active Directory's rule that follows nested membership (LDAP_MATCHING_RULE_IN_CHAIN)."""

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")


def escape_value(value: str | bytes) -> str:
    """Return `value` with every byte escaped that is not an ASCII letter or digit (section 3)."""
    # Without this: a user name such as `*` or `a)(uid=admin` changes what the filter asks (L01).
    octets = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return "".join(chr(octet) if octet in _PLAIN else f"\\{octet:02x}" for octet in octets)


def equals(attribute: str, value: str | bytes) -> str:
    """Return the filter for entries whose `attribute` holds exactly `value`."""
    return f"({attribute}={escape_value(value)})"


def in_chain(attribute: str, dn: str) -> str:
    """Return the filter for entries that reach `dn` through any number of steps of `attribute`."""
    return f"({attribute}:{IN_CHAIN}:={escape_value(dn)})"


def any_of(filters: Iterable[str]) -> str:
    """Return the filter for entries that match at least one of `filters`."""
    parts = list(filters)
    return parts[0] if len(parts) == 1 else f"(|{''.join(parts)})"


def all_of(*filters: str) -> str:
    """Return the filter for entries that match every one of `filters`."""
    return f"(&{''.join(filters)})"


def starts_with(attribute: str, prefix: str) -> str:
    """Return the filter for entries whose `attribute` begins with `prefix`, or just has a value."""
    return f"({attribute}={escape_value(prefix)}*)"


def none_of(filters: Iterable[str]) -> str:
    """Return the filter for entries that match not one of `filters`."""
    return f"(!{any_of(filters)})"


def is_filter(text: str) -> bool:
    """Return whether `text` is one whole filter."""
    try:
        return len(parse_filter(text, None, False, False, None, False).elements) == 1
    except (LDAPExceptionError, AttributeError, IndexError, ValueError):
        # ldap3 stumbles over some unbalanced texts instead of refusing them.
        return False

"""Names for things: opaque ids that are safe to log, and secrets that are not."""

import hashlib
import secrets

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_ID_CHARS = 20


def new_id(prefix: str) -> str:
    """Return ``prefix_`` and 20 random base32 characters (100 bits); never starts like a URL."""
    bits = secrets.randbits(5 * _ID_CHARS)
    chars = []
    for _ in range(_ID_CHARS):
        chars.append(_ALPHABET[bits & 31])
        bits >>= 5
    return f"{prefix}_{''.join(chars)}"


def new_secret() -> str:
    """Return a URL-safe secret of 256 random bits; store only its hash."""
    return secrets.token_urlsafe(32)


def sha256_hex(text: str) -> str:
    """Return the hexadecimal SHA-256 of ``text``.

    Enough for stored secrets of 256 random bits: there is nothing to guess, so a slow hash buys nothing.
    """
    return hashlib.sha256(text.encode()).hexdigest()

"""Names for things: opaque ids that are safe to log, and secrets that are not."""

import hashlib
import os
import secrets

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_ID_CHARS = 20
# Each of 256 byte values stands for one of 32 characters, each of them eight times: no character is likelier.
_CHARACTER_OF = bytes(ord(_ALPHABET[value % 32]) for value in range(256))


def new_id(prefix: str) -> str:
    """Return ``prefix_`` and 20 random base32 characters (100 bits); never starts like a URL."""
    return f"{prefix}_{os.urandom(_ID_CHARS).translate(_CHARACTER_OF).decode()}"


def new_secret() -> str:
    """Return a URL-safe secret of 256 random bits; store only its hash."""
    return secrets.token_urlsafe(32)


def sha256_hex(text: str) -> str:
    """Return the hexadecimal SHA-256 of ``text``.

    Enough for stored secrets of 256 random bits: there is nothing to guess, so a slow hash buys nothing.
    """
    return hashlib.sha256(text.encode()).hexdigest()

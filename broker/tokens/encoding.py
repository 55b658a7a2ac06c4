"""Base64url as JOSE has it: no padding, and one spelling per value."""

import binascii
import re

MAX_TOKEN_CHARS = 16_384
"""Larger tokens are refused before anything of them is decoded."""

_SPELLED = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_TO_URL = bytes.maketrans(b"+/", b"-_")


def encode(raw: bytes) -> bytes:
    """Return ``raw`` in base64url without padding (RFC 7515 §2)."""
    return binascii.b2a_base64(raw, newline=False).translate(_TO_URL).rstrip(b"=")


def decode(text: str) -> bytes:
    """Return the bytes of canonical base64url; raises ``ValueError`` for any other spelling.

    Without this: padding, line breaks and unused bits would give one signed token many texts.
    """
    if _SPELLED.fullmatch(text) is None:
        raise ValueError("not base64url")
    raw = binascii.a2b_base64(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))
    if encode(raw) != text.encode():
        raise ValueError("not canonical base64url")
    return raw

"""How names, ids and texts of a push are compared and bounded; knows nothing of SCIM's own models."""

import unicodedata


def key_of(text: str) -> str:
    """Return the form in which names are compared: case and spelling of accents do not count."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


def is_plain_id(text: str) -> bool:
    """Whether the text could be the id of a row here; what could not is never asked of a database."""
    return len(text) <= 40 and text.isascii() and text.isprintable()


def is_storable(text: str) -> bool:
    """Whether both databases can hold the text."""
    return not any(ord(char) < 32 or 0xD800 <= ord(char) <= 0xDFFF for char in text)

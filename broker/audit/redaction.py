"""What may stand in an event: plain, bounded values, and no secrets (security T13, T14)."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

MAX_TEXT = 300
MAX_DATA_BYTES = 4_096
REDACTED = "[redacted]"

_SECRET_WORDS = frozenset(
    {
        *("assertion", "authorization", "bearer", "code", "cookie", "credential", "jwt", "passphrase"),
        *("password", "private", "secret", "token", "verifier"),
    }
)
# A name that ends so describes a secret and does not hold it: token_type, code_id, secret_count.
_DESCRIBING = frozenset(["at", "count", "id", "ids", "kind", "method", "seconds", "state", "type"])
_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
# A JWT, an authorization header, a PEM block, whoever put it where a name was expected.
_SECRET_VALUE = re.compile(
    r"eyJ[\w-]{8,}\.[\w-]*\.|\b(?:bearer|basic|dpop)\s+\S{8,}|-----BEGIN [A-Z ]*PRIVATE", re.IGNORECASE
)


class SecretInAudit(ValueError):  # noqa: N818 (names what was found)
    """Code tried to write a field whose name says that it holds a secret."""


def clean_text(text: str, limit: int = MAX_TEXT) -> str:
    """Return `text` as every database can store it, at most `limit` characters, secrets replaced."""
    # Without this: a token sent in the place of a client id is kept for years and read by many (T14, A17).
    if _may_hold_secret(text) and _SECRET_VALUE.search(text):
        return REDACTED
    if text.isascii() and "\x00" not in text and len(text) <= limit:
        return text
    storable = text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
    return storable if len(storable) <= limit else storable[: limit - 1] + "…"


def _may_hold_secret(text: str) -> bool:
    """Return False only for what the pattern cannot match; ids, addresses and scopes are not searched."""
    is_one_word = text.isascii() and text.isprintable() and " " not in text
    return not is_one_word or "-----" in text or "eyj" in text.lower()


def clean_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return `data` as plain JSON values of bounded size.

    Raises `SecretInAudit` for a key that names a secret: that is a fault in the code, found by its tests.
    """
    cleaned = _plain(data)
    size = len(canonical(cleaned))
    # Without this: one request with a megabyte of scopes fills the disk with its refusal (T13).
    return cleaned if size <= MAX_DATA_BYTES else {"omitted_bytes": size}


def canonical(value: Any) -> bytes:
    """Return the one JSON encoding of a plain value: keys sorted, no white space, UTF-8."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Say whether a field of this name would hold a secret rather than describe one."""
    words = [word.lower() for word in _WORDS.findall(name)]
    singular = {word.removesuffix("s") for word in words} | set(words)
    return bool(_SECRET_WORDS & singular) and words[-1] not in _DESCRIBING


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(str(value))
    if isinstance(value, Mapping):
        for name in value:
            if is_secret_name(str(name)):
                raise SecretInAudit(f"an event must not hold {name!r}")
        return {clean_text(str(name)): _plain(member) for name, member in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(_plain(member) for member in map(str, value))
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**53):
        return value
    return clean_text(str(value))

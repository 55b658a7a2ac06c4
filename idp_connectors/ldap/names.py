"""Distinguished names (RFC 4514): read, written, compared, and kept below a base."""

import re

_PLAIN_ESCAPES = frozenset(' "#+,;<=>\\')
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*")
_SPACES = re.compile(" +")
_HEX_PAIR = re.compile(r"[0-9A-Fa-f]{2}")

Rdn = tuple[tuple[str, str], ...]
"""One step of a name: its (type, value) pairs, sorted; types in lower case."""


def escape_dn_value(value: str) -> str:
    """Return `value` so that it can stand in a name and be read back as it was (section 2.4)."""
    # Without this: a name with a comma becomes two steps of the path, and lands elsewhere in the tree (L02).
    escaped = "".join(
        "\\00" if character == "\0" else f"\\{character}" if character in '"+,;<=>\\' else character
        for character in value
    )
    if escaped[:1] in ("#", " "):
        escaped = f"\\{escaped}"
    if escaped.endswith(" ") and value != " ":
        escaped = f"{escaped[:-1]}\\ "
    return escaped


def parse_dn(text: str) -> tuple[Rdn, ...]:
    """Return the steps of a distinguished name, the entry's own first; raises ValueError."""
    if not text.strip(" "):
        return ()
    steps: list[Rdn] = []
    pairs: list[tuple[str, str]] = []
    position = 0
    while True:
        name, position = _read_type(text, position)
        value, position = _read_value(text, position)
        pairs.append((name, value))
        if position == len(text):
            return (*steps, tuple(sorted(pairs)))
        if text[position] != "+":
            steps.append(tuple(sorted(pairs)))
            pairs = []
        position += 1


def canonical_dn(text: str) -> str:
    """Return one spelling for all spellings of a name, for comparison only; raises ValueError.

    Letter case and runs of spaces do not count, as directories compare names without them.
    """
    return ",".join(
        "+".join(f"{name}={escape_dn_value(value)}" for name, value in step) for step in _fold(text)
    )


def is_within(dn: str, base: str) -> bool:
    """Return whether `dn` is `base` or below it; a name that cannot be read is not."""
    try:
        steps, root = _fold(dn), _fold(base)
    except ValueError:
        return False
    return len(steps) >= len(root) and steps[len(steps) - len(root) :] == root


def _fold(text: str) -> tuple[Rdn, ...]:
    return tuple(
        tuple(sorted((name, _SPACES.sub(" ", value.lower()).strip(" ")) for name, value in step))
        for step in parse_dn(text)
    )


def _read_type(text: str, position: int) -> tuple[str, int]:
    while text[position : position + 1] == " ":
        position += 1
    found = _TYPE.match(text, position)
    if found is None:
        raise ValueError("a step of the name has no attribute type")
    position = found.end()
    while text[position : position + 1] == " ":
        position += 1
    if text[position : position + 1] != "=":
        raise ValueError("a step of the name has no value")
    return found.group().lower(), position + 1


def _read_value(text: str, position: int) -> tuple[str, int]:
    """Return the value that starts at `position`, and where it ends."""
    while text[position : position + 1] == " ":
        position += 1
    octets = bytearray()
    kept = 0  # up to here, spaces belong to the value
    while position < len(text) and text[position] not in ",;+":
        character = text[position]
        if character == "\\":
            escaped, position = _read_escape(text, position + 1)
            octets += escaped
            kept = len(octets)
            continue
        if character in '"<>\0':
            raise ValueError("a value holds a character that must be escaped")
        octets += character.encode("utf-8", "surrogatepass")
        position += 1
        if character != " ":
            kept = len(octets)
    return octets[:kept].decode("utf-8", "surrogatepass"), position


def _read_escape(text: str, position: int) -> tuple[bytes, int]:
    if _HEX_PAIR.match(text, position):
        return bytes.fromhex(text[position : position + 2]), position + 2
    if text[position : position + 1] in _PLAIN_ESCAPES and position < len(text):
        return text[position].encode(), position + 1
    raise ValueError("a backslash escapes nothing")

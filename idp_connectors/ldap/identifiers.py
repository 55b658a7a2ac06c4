"""Identifiers that directories keep for good: GUIDs and SIDs, between their bytes and their text."""

import re
import uuid

SUBJECT_ATTRIBUTES = ("objectGUID", "entryUUID", "nsUniqueId", "ipaUniqueID", "ibm-entryUUID")
"""Attributes that the directory assigns, never changes and never hands out again."""

_NS_UNIQUE_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{8}){3}")
_SID = re.compile(r"S-1-(\d{1,15})((?:-\d{1,10}){1,15})")


def guid_text(octets: bytes) -> str:
    """Return an objectGUID as text; its first three fields are little-endian. Raises ValueError."""
    return str(uuid.UUID(bytes_le=octets))


def read_subject(attribute: str, octets: bytes) -> str:
    """Return the stable identifier in `octets` as lower-case text; raises ValueError."""
    if attribute == "objectGUID":
        return guid_text(octets)
    return check_subject(attribute, octets.decode("ascii").lower())


def check_subject(attribute: str, text: str) -> str:
    """Return `text` if it is written as `read_subject` writes it for `attribute`; raises ValueError."""
    written = text if attribute == "nsUniqueId" and _NS_UNIQUE_ID.fullmatch(text) else str(uuid.UUID(text))
    if written != text:
        raise ValueError("the identifier is not in its usual spelling")
    return text


def subject_value(attribute: str, text: str) -> str | bytes:
    """Return what a filter compares `attribute` with to find `text`; raises ValueError."""
    check_subject(attribute, text)
    return uuid.UUID(text).bytes_le if attribute == "objectGUID" else text


def sid_text(octets: bytes) -> str:
    """Return a binary SID as text ([MS-DTYP] section 2.4.2); raises ValueError."""
    if len(octets) < 8 or octets[0] != 1 or len(octets) != 8 + 4 * octets[1]:
        raise ValueError("not a security identifier")
    parts = [int.from_bytes(octets[at : at + 4], "little") for at in range(8, len(octets), 4)]
    return "-".join(map(str, ["S-1", int.from_bytes(octets[2:8], "big"), *parts]))


def sid_octets(text: str) -> bytes:
    """Return the binary form of a SID; raises ValueError."""
    found = _SID.fullmatch(text)
    if found is None:
        raise ValueError("not a security identifier")
    parts = [int(part) for part in found[2].split("-")[1:]]
    if int(found[1]) >= 1 << 48 or any(part >= 1 << 32 for part in parts):
        raise ValueError("not a security identifier")
    head = bytes([1, len(parts)]) + int(found[1]).to_bytes(6, "big")
    return head + b"".join(part.to_bytes(4, "little") for part in parts)


def primary_group_sid(object_sid: bytes, primary_group_id: int) -> bytes:
    """Return the SID of an account's primary group: its own, with the last part exchanged."""
    sid_text(object_sid)
    return object_sid[:-4] + primary_group_id.to_bytes(4, "little")

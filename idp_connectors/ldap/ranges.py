"""Attributes with many values, which Active Directory hands out in portions (`member;range=0-1499`)."""

import re

from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.ldap.wire import Deadline, Entry, Session

MAX_VALUES = 50_000
MAX_PORTIONS = 200


def values_so_far(entry: Entry, attribute: str) -> tuple[bytes, ...]:
    """Return the values of `attribute` that this entry carries, whole or the first portion."""
    portion = _portion_of(entry, attribute)
    return portion[2] if portion else entry.all(attribute)


def read_all_values(
    session: Session, entry: Entry, attribute: str, deadline: Deadline, *, max_values: int = MAX_VALUES
) -> tuple[tuple[bytes, ...], bool]:
    """Return every value of `attribute`, fetching the portions that are missing, and whether that is all.

    What is beyond `max_values` is left out.

    Raises ConnectorError if the portions do not follow each other, OutOfTime.
    """
    portion = _portion_of(entry, attribute)
    if portion is None:
        return entry.all(attribute), True
    values: list[bytes] = []
    for _ in range(MAX_PORTIONS * max_values // MAX_VALUES):
        first, last, found = portion
        # Without this: a server that repeats or skips portions is asked forever, or lends foreign values.
        if first != len(values) or not found or (last is not None and last != first + len(found) - 1):
            raise _broken(f"{entry.dn!r:.200}: portion {first}-{last} with {len(found)} values")
        values += found
        if last is None:
            return tuple(values), True
        if len(values) >= max_values:
            break
        wanted = f"{attribute};range={len(values)}-*"
        page = session.search(entry.dn, "(objectClass=*)", (wanted,), deadline, is_base_only=True)
        following = _portion_of(page.entries[0], attribute) if len(page.entries) == 1 else None
        if following is None:
            raise _broken(f"{entry.dn!r:.200}: no portion from {len(values)} on")
        portion = following
    return tuple(values), False


def _portion_of(entry: Entry, attribute: str) -> tuple[int, int | None, tuple[bytes, ...]] | None:
    """Return (first index, last index or None for the end, values) of the portion in `entry`."""
    for name, values in entry.values.items():
        found = re.fullmatch(rf"{re.escape(attribute.lower())};range=(\d{{1,9}})-(\d{{1,9}}|\*)", name)
        if found is not None:
            return int(found[1]), None if found[2] == "*" else int(found[2]), values
    return None


def _broken(detail: str) -> ConnectorError:
    return ConnectorError(
        ConnectorErrorCode.UPSTREAM_UNREACHABLE,
        "The directory's answer about a long list of members is inconsistent.",
        detail=detail,
    )

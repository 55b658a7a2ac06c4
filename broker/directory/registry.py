"""Making and changing roles and group mappings, for administration and ``broker apply``."""

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from broker.directory.models import GroupMapping, Role
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.ids import new_id
from broker.tenants.rows import Change, find_row, put
from broker.tenants.spelling import did_you_mean

GROUP_KINDS = frozenset({"name", "id", "email", "dn", "path"})
MATCHES = frozenset({"exact", "prefix", "glob"})

_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_ROLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/\-]{0,99}")


def save_role(
    session: Session, tenant_id: str, name: str, given: Mapping[str, Any]
) -> tuple[Role, Change | None]:
    """Return the tenant's role, made or changed to ``given`` (description, scopes).

    Raises ``Refusal(bad_configuration)``.
    """
    check_role_name("name", name)
    if len(given.get("description", "")) > 500:
        raise _refuse("description: at most 500 characters")
    key = {"tenant_id": tenant_id, "name": name}
    row = find_row(session, Role, key)
    wanted = given if row is not None else {"description": "", "scopes": [], **given}
    first = {"id": new_id("rol")}
    return put(session, row, Role, key=key, wanted=wanted, first=first, noun="role", name=name)


def save_mapping(
    session: Session, tenant_id: str, connection_id: str, kind: str, match: str, pattern: str, role: str
) -> tuple[GroupMapping, Change | None]:
    """Return the rule, made if absent; a rule has no other fields that could change.

    Raises ``Refusal(bad_configuration)``.
    """
    check_mapping(kind, match, pattern, role)
    pattern = spell_pattern(kind, pattern)
    key = {
        "tenant_id": tenant_id,
        "connection_id": connection_id,
        "kind": kind,
        "match": match,
        "pattern": pattern,
        "role": role,
    }
    row = find_row(session, GroupMapping, key)
    first = {"id": new_id("map")}
    name = f"{kind} {match} {pattern!r} -> {role}"
    return put(session, row, GroupMapping, key=key, wanted={}, first=first, noun="group mapping", name=name)


def spell_pattern(kind: str, pattern: str) -> str:
    """Return a rule's pattern as providers spell it: GUIDs, which consoles show in capitals too, in small."""
    return pattern.lower() if kind == "id" and _GUID.fullmatch(pattern) else pattern


def check_mapping(kind: str, match: str, pattern: str, role: str) -> None:
    """Accept a rule's own words; a pattern without a literal character is refused.

    Raises ``Refusal(bad_configuration)``.
    """
    _check_choice("kind", kind, GROUP_KINDS)
    _check_choice("match", match, MATCHES)
    check_role_name("role", role)
    # Without this: "*" would give the role to everybody whose groups are known (A09).
    if not pattern.strip("*") or len(pattern) > 500 or not pattern.isprintable():
        raise _refuse("pattern: needs 1 to 500 printable characters, and more than wildcards")


def check_role_name(field: str, role: str) -> None:
    """Accept a role's name: letters, digits and . _ : / - ; raises ``Refusal(bad_configuration)``."""
    if not _ROLE.fullmatch(role):
        raise _refuse(f"{field}: {role[:80]!r} is not a role name (letters, digits and . _ : / -)")


def _check_choice(field: str, value: str, known: frozenset[str]) -> None:
    if value not in known:
        hint = did_you_mean(value, known) or f"; known are {', '.join(sorted(known))}"
        raise _refuse(f"{field}: {value!r} is not known{hint}")


def _refuse(why: str) -> Refusal:
    return Refusal(ErrorCode.BAD_CONFIGURATION, why, reason="bad_role", whose_move=WhoseMove.ADMIN)

"""May this account sign in at all: what the directory says in flags and dates beside the password (L11)."""

from collections.abc import Mapping

from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.ldap.traits import Traits
from idp_connectors.ldap.wire import Entry

ACCOUNT_ATTRIBUTES = (
    "userAccountControl",
    "msDS-User-Account-Control-Computed",
    "accountExpires",
    "pwdLastSet",
    "nsAccountLock",
    "pwdAccountLockedTime",
    "pwdReset",
)
DISABLED = 0x2
LOCKED = 0x10
NEVER_EXPIRES = 0x10000
PASSWORD_EXPIRED = 0x800000

_SECONDS_FROM_1601_TO_1970 = 11_644_473_600
_NEVER = frozenset({0, 0x7FFF_FFFF_FFFF_FFFF})
LOCKED_FOR_GOOD = "000001010000z"

SENTENCES: Mapping[str, str] = {
    "disabled": "Your account is switched off in the directory.",
    "locked": "Your account is locked in the directory.",
    "expired": "Your account in the directory has expired.",
    "password expired": "Your password has expired. Change it, then sign in again.",
    "password must be changed": "Your password must be changed before you can sign in here.",
    "state unreadable": "The directory does not tell whether your account is in use.",
}
"""What a person is told who has proved the password of an account that is not in use."""

OWN_MOVE = frozenset({"password expired", "password must be changed"})
"""What the person can put right without an administrator."""


def refuse_account(obstacle: str) -> ConnectorError:
    """Return the refusal for somebody who proved their password, by a key of SENTENCES."""
    code = (
        ConnectorErrorCode.UPSTREAM_REFUSED if obstacle in OWN_MOVE else ConnectorErrorCode.ACCOUNT_UNUSABLE
    )
    return ConnectorError(code, SENTENCES[obstacle], detail=obstacle, field="username")


def find_obstacle(entry: Entry, traits: Traits, now: int) -> str:
    """Return why this account may not sign in at `now` (epoch seconds), a key of SENTENCES, or ""."""
    return _in_active_directory(entry, now) if traits.is_active_directory else _elsewhere(entry)


def filetime_seconds(value: int) -> int:
    """Return a FILETIME (100 ns since 1601) in epoch seconds, rounded down."""
    return value // 10_000_000 - _SECONDS_FROM_1601_TO_1970


def _in_active_directory(entry: Entry, now: int) -> str:
    flags = _number(entry, "userAccountControl")
    # Without this: a bind account that may not read the flags makes every disabled account look well.
    if flags is None:
        return "state unreadable"
    computed = _number(entry, "msDS-User-Account-Control-Computed") or 0
    if (flags | computed) & DISABLED:
        return "disabled"
    if (flags | computed) & LOCKED:
        return "locked"
    expires = _number(entry, "accountExpires")
    if expires is not None and expires not in _NEVER and filetime_seconds(expires) <= now:
        return "expired"
    if _number(entry, "pwdLastSet") == 0 and not flags & NEVER_EXPIRES:
        return "password must be changed"
    if (flags | computed) & PASSWORD_EXPIRED:
        return "password expired"
    return ""


def _elsewhere(entry: Entry) -> str:
    """Read the flags of 389ds and of OpenLDAP's password policy; dated locks are the server's own affair."""
    if entry.text("nsAccountLock").lower() == "true":
        return "disabled"
    if entry.text("pwdAccountLockedTime").lower() == LOCKED_FOR_GOOD:
        return "locked"
    if entry.text("pwdReset").lower() == "true":
        return "password must be changed"
    return ""


def _number(entry: Entry, attribute: str) -> int | None:
    text = entry.text(attribute)
    return int(text) if text.lstrip("-").isascii() and text.lstrip("-").isdigit() else None

"""How many passwords may be tried: per account and per address, counted in the database before each try.

A count starts with its first try and is over ``WINDOW_SECONDS`` later, whatever happens in between; so
nobody is locked out for longer than the window, however often somebody else guesses at their password.
"""

import ipaddress
import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, Connection, case, delete, select, update

from broker.federation.models import PasswordAttempts
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.runtime import Runtime
from broker.kernel.upsert import dialect_insert

Kind = Literal["account", "address"]

WINDOW_SECONDS = 900
MAX_TRIES: Mapping[Kind, int] = {"account": 5, "address": 30}
"""Fewer per account than what makes directories lock it; more per address, as offices share one."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One counted try; ``used_up`` names what may not be tried again within the window."""

    tenant_id: str
    keys: dict[Kind, str]
    used_up: tuple[Kind, ...]


class TooManyAttempts(Refusal):
    """The refusal before a password is looked at; ``retry_after`` (seconds) is when the window ends."""

    def __init__(self, retry_after: int) -> None:
        minutes = math.ceil(retry_after / 60)
        super().__init__(
            ErrorCode.TOO_MANY_ATTEMPTS,
            f"Too many attempts. Try again in {minutes} minute{'' if minutes == 1 else 's'}.",
            reason="too_many_attempts",
            whose_move=WhoseMove.YOU,
        )
        self.retry_after = retry_after


def take_attempt(
    rt: Runtime, tenant_id: str, connection_id: str, username: str, ip: str, now: int
) -> Attempt:
    """Count one try for an account and an address before its password is looked at; raises TooManyAttempts.

    Both counts go up in one transaction or not at all. Without this: a thousand guesses sent at once would
    all be checked before the first of them is counted (W16).
    """
    keys: dict[Kind, str] = {
        "address": _key(rt, tenant_id, "address", _network_of(ip)),
        "account": _key(rt, tenant_id, "account", f"{connection_id}\0{_folded(username)}"),
    }
    used_up: list[Kind] = []
    with rt.database.core_write() as core:
        for kind, key in keys.items():
            left = _count(core, tenant_id, kind, key, now)
            if left == 0:
                used_up.append(kind)
    return Attempt(tenant_id, keys, tuple(used_up))


def forget_attempts(rt: Runtime, attempt: Attempt, now: int) -> None:
    """Forget the tries for an account whose password was right; its address only gets this one back.

    Without the difference: an attacker with an account of their own would sign in between guesses and
    never reach the address's limit.
    """
    with rt.database.core_write() as core:
        core.execute(
            delete(PasswordAttempts).where(*_this(attempt.tenant_id, "account", attempt.keys["account"]))
        )
        _give_back(core, attempt, "address", now)


def give_back(rt: Runtime, attempt: Attempt, now: int) -> None:
    """Take one try off both counts, because no password was looked at."""
    with rt.database.core_write() as core:
        for kind in attempt.keys:
            _give_back(core, attempt, kind, now)


def _count(core: Connection, tenant_id: str, kind: Kind, key: str, now: int) -> int:
    """Count one try and return how many are left; one conditional statement decides."""
    statement = dialect_insert(core)(PasswordAttempts).values(
        tenant_id=tenant_id, kind=kind, key_hash=key, tried=1, expires_at=now + WINDOW_SECONDS
    )
    is_over = PasswordAttempts.expires_at <= now
    done = core.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant_id", "kind", "key_hash"],
            set_={
                "tried": case((is_over, 1), else_=PasswordAttempts.tried + 1),
                "expires_at": case((is_over, now + WINDOW_SECONDS), else_=PasswordAttempts.expires_at),
            },
            where=is_over | (PasswordAttempts.tried < MAX_TRIES[kind]),
        )
    )
    row = core.execute(
        select(PasswordAttempts.tried, PasswordAttempts.expires_at).where(*_this(tenant_id, kind, key))
    ).one()
    if done.rowcount != 1:
        raise TooManyAttempts(row.expires_at - now)
    return MAX_TRIES[kind] - int(row.tried)


def _give_back(core: Connection, attempt: Attempt, kind: Kind, now: int) -> None:
    core.execute(
        update(PasswordAttempts)
        .where(
            *_this(attempt.tenant_id, kind, attempt.keys[kind]),
            PasswordAttempts.tried > 0,
            PasswordAttempts.expires_at > now,
        )
        .values(tried=PasswordAttempts.tried - 1)
    )


def _this(tenant_id: str, kind: Kind, key: str) -> tuple[ColumnElement[bool], ...]:
    return (
        PasswordAttempts.tenant_id == tenant_id,
        PasswordAttempts.kind == kind,
        PasswordAttempts.key_hash == key,
    )


def _key(rt: Runtime, tenant_id: str, kind: Kind, text: str) -> str:
    return rt.sealer.fingerprint(f"password-attempts-{kind}", f"{tenant_id}\0{text}")


def _folded(username: str) -> str:
    """Return one spelling for the spellings of a name that directories take for the same account.

    They compare without letter case, without spaces around and with inner ones as one, some also without
    accents. Without this: each spelling would have tries of its own.
    """
    plain = unicodedata.normalize("NFKD", username.casefold())
    return " ".join("".join(char for char in plain if not unicodedata.combining(char)).casefold().split())


def _network_of(ip: str) -> str:
    """Return the address, of IPv6 the /64: without this, one machine has more addresses than tries."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)

"""Device codes (RFC 8628): asked for by a device, decided by a person elsewhere, spent once by the device.

pending --the person agrees--> allowed --the device polls--> spent
pending --the person says no--> denied --the device polls--> spent
"""

import secrets
from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, Connection, Row, Table, select, update

from broker.kernel.ids import new_id, new_secret, sha256_hex
from broker.kernel.runtime import Runtime
from broker.tokens import models

_TABLE = cast(Table, models.DeviceCode.__table__)

LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""No vowels, so that no code is a word, and no letter that looks like a digit (RFC 8628 §6.1)."""
USER_CODE_CHARS = 10
"""Ten of twenty letters are 43 bits: five wrong tries a person lead nowhere (O56)."""

LIFE_SECONDS = 600
POLL_SECONDS = 5

Outcome = Literal["unknown", "expired", "pending", "slow_down", "denied", "allowed"]


@dataclass(frozen=True, slots=True)
class DeviceView:
    """What a device asks for, and from where (``ip``, ``user_agent``); times are epoch seconds."""

    id: str
    client_id: str
    request: dict[str, Any]
    ip: str
    user_agent: str
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Polled:
    """What a device is told; ``grant_id`` is there exactly once, when it is allowed."""

    outcome: Outcome
    grant_id: str = ""
    cnf_jkt: str = ""


def new_device_id() -> str:
    """Return an id for a device's request, known before its row is written."""
    return new_id("dvc")


def open_device(connection: Connection, rt: Runtime, tenant_id: str, view: DeviceView) -> tuple[str, str]:
    """Store a request and return its device code and user code; only hashes are kept."""
    device_code = new_secret()
    letters = "".join(secrets.choice(LETTERS) for _ in range(USER_CODE_CHARS))
    connection.execute(
        _TABLE.insert().values(
            tenant_id=tenant_id,
            id=view.id,
            code_hash=sha256_hex(device_code),
            user_code_hash=_user_code_hash(rt, letters),
            client_id=view.client_id,
            request=view.request,
            ip=view.ip[:45],
            user_agent=view.user_agent[:200],
            state="pending",
            grant_id="",
            cnf_jkt="",
            pause_seconds=POLL_SECONDS,
            polled_at=0,
            created_at=view.created_at,
            expires_at=view.expires_at,
        )
    )
    return device_code, f"{letters[:5]}-{letters[5:]}"


def find_by_user_code(
    connection: Connection, rt: Runtime, tenant_id: str, typed: str, now: int
) -> DeviceView | None:
    """Return the undecided request of that user code, however it is spelled, or None."""
    letters = "".join(letter for letter in typed.upper() if letter in LETTERS)
    row = connection.execute(
        select(_TABLE).where(
            _TABLE.c.tenant_id == tenant_id,
            _TABLE.c.user_code_hash == _user_code_hash(rt, letters),
            _TABLE.c.state == "pending",
            _TABLE.c.expires_at > now,
        )
    ).first()
    return _view(row) if row is not None else None


def find_device(connection: Connection, tenant_id: str, device_id: str, now: int) -> DeviceView | None:
    """Return an undecided request by its id, or None."""
    row = connection.execute(
        select(_TABLE).where(
            _this(tenant_id, device_id), _TABLE.c.state == "pending", _TABLE.c.expires_at > now
        )
    ).first()
    return _view(row) if row is not None else None


def decide(
    connection: Connection, tenant_id: str, device_id: str, now: int, *, grant_id: str = "", cnf_jkt: str = ""
) -> bool:
    """Write the decision down, once: allowed with a grant, denied without; returns whether it counted."""
    result = connection.execute(
        update(_TABLE)
        .where(_this(tenant_id, device_id), _TABLE.c.state == "pending", _TABLE.c.expires_at > now)
        .values(state="allowed" if grant_id else "denied", grant_id=grant_id, cnf_jkt=cnf_jkt)
    )
    return result.rowcount == 1


def poll(connection: Connection, tenant_id: str, device_code: str, client_id: str, now: int) -> Polled:
    """Return what the device of ``client_id`` is told; an allowed request is spent by it.

    Another client learns nothing. Without the conditional UPDATE: two polls that arrive together would
    both get tokens.
    """
    row = connection.execute(
        select(_TABLE).where(_TABLE.c.tenant_id == tenant_id, _TABLE.c.code_hash == sha256_hex(device_code))
    ).first()
    if row is None or row.client_id != client_id or row.state == "spent":
        return Polled("unknown")
    if row.expires_at <= now:
        return Polled("expired")
    if row.state == "pending":
        is_early = now - row.polled_at < row.pause_seconds
        # Each poll that comes too early makes the pause longer for good (RFC 8628 §3.5).
        pause = row.pause_seconds + POLL_SECONDS if is_early else row.pause_seconds
        connection.execute(
            update(_TABLE).where(_this(tenant_id, row.id)).values(polled_at=now, pause_seconds=pause)
        )
        return Polled("slow_down" if is_early else "pending")
    spent = connection.execute(
        update(_TABLE).where(_this(tenant_id, row.id), _TABLE.c.state == row.state).values(state="spent")
    )
    if spent.rowcount != 1:
        return Polled("unknown")
    return Polled("allowed", row.grant_id, row.cnf_jkt) if row.state == "allowed" else Polled("denied")


def _this(tenant_id: str, device_id: str) -> ColumnElement[bool]:
    return (_TABLE.c.tenant_id == tenant_id) & (_TABLE.c.id == device_id)


def _user_code_hash(rt: Runtime, letters: str) -> str:
    # Keyed: so few letters could be found again from a plain hash.
    return rt.sealer.fingerprint("user_code", letters)


def _view(row: Row[Any]) -> DeviceView:
    return DeviceView(
        row.id, row.client_id, row.request, row.ip, row.user_agent, row.created_at, row.expires_at
    )

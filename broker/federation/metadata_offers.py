"""What a provider's metadata offers and nobody we trust signed: shown, then taken or refused by a person."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from broker.federation.models import MetadataReading
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.tenants.connections import check_config
from broker.tenants.models import Connection
from idp_connectors.base import Connector


@dataclass(frozen=True, slots=True)
class MetadataState:
    """How the last reading went (epoch seconds); ``changes`` are the settings that it offers.

    ``stamp`` names exactly these changes, so that nobody decides about others than they saw.
    """

    read_at: int | None
    changed_at: int | None
    refresh_at: int
    valid_until: int | None
    problem: str
    changes: Mapping[str, Any]
    is_refused: bool
    stamp: str


def find_state(session: Session, tenant_id: str, connection_id: str) -> MetadataState | None:
    """Return how the connection's metadata stands, None if it was never read."""
    row = _find(session, tenant_id, connection_id)
    if row is None:
        return None
    changes = row.offered.get("changes", {})
    return MetadataState(
        read_at=row.read_at,
        changed_at=row.changed_at,
        refresh_at=row.refresh_at,
        valid_until=row.valid_until,
        problem=row.problem,
        changes=changes,
        is_refused=bool(row.offered.get("is_refused")),
        stamp=_stamp(changes),
    )


def take_offer(
    session: Session,
    connectors: Mapping[str, Connector],
    tenant_id: str,
    connection_id: str,
    stamp: str,
    now: int,
) -> Mapping[str, Any]:
    """Write the offered settings into the connection because a person vouches for them; return them.

    They are checked again together with the rest, which may have changed meanwhile.
    Raises ``Refusal(bad_configuration)``, also when something else is offered by now.
    """
    row = _offer(session, tenant_id, connection_id, stamp)
    connection = session.get_one(Connection, connection_id)
    changes: Mapping[str, Any] = row.offered["changes"]
    connection.config, _ = check_config(connectors, connection.kind, {**connection.config, **changes})
    row.offered, row.problem, row.changed_at = {}, "", now
    return changes


def refuse_offer(session: Session, tenant_id: str, connection_id: str, stamp: str) -> Mapping[str, Any]:
    """Stop warning of what is offered until something else is, and return it; raises ``Refusal``."""
    row = _offer(session, tenant_id, connection_id, stamp)
    row.offered = {**row.offered, "is_refused": True}
    row.problem = ""
    changes: Mapping[str, Any] = row.offered["changes"]
    return changes


def _offer(session: Session, tenant_id: str, connection_id: str, stamp: str) -> MetadataReading:
    row = _find(session, tenant_id, connection_id)
    # Without this: whoever publishes the metadata swaps the key between the look at it and the click.
    if row is None or not row.offered or _stamp(row.offered["changes"]) != stamp:
        raise Refusal(
            ErrorCode.BAD_CONFIGURATION,
            "The metadata offers something else by now. Open the page again and compare anew.",
            reason="offer_changed",
            whose_move=WhoseMove.ADMIN,
        )
    return row


def _find(session: Session, tenant_id: str, connection_id: str) -> MetadataReading | None:
    return session.scalars(
        select(MetadataReading).where(
            MetadataReading.tenant_id == tenant_id, MetadataReading.connection_id == connection_id
        )
    ).one_or_none()


def _stamp(changes: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(dict(changes), option=orjson.OPT_SORT_KEYS)).hexdigest()

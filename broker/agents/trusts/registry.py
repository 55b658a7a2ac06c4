"""Making and changing trusts, for administration and ``broker apply``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from broker.agents.client_rules import check_jwks
from broker.agents.models import Agent, Client, Trust
from broker.agents.naming import check_resource_identifier, check_scope_names
from broker.agents.trusts.kinds import (
    KINDS,
    Config,
    IssuerConfig,
    SubjectConfig,
    TargetConfig,
    WorkloadConfig,
    read_config,
)
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.ids import new_id
from broker.tenants.models import Connection
from broker.tenants.registry import check_slug
from broker.tenants.rows import Change, find_row, put
from broker.tenants.spelling import did_you_mean


@dataclass(frozen=True, slots=True)
class Place:
    """Where a trust is saved: the tenant, its own issuer, and the time in epoch seconds."""

    tenant_id: str
    issuer: str
    now: int


def save_trust(
    session: Session, place: Place, slug: str, given: Mapping[str, Any]
) -> tuple[Trust, Change | None]:
    """Return the tenant's trust, made or changed to ``given``: ``kind``, ``name``, ``config``.

    A new one needs kind and config; the kind never changes, and its state is never touched.
    Raises ``Refusal(bad_configuration)``.
    """
    check_slug("slug", slug)
    key = {"tenant_id": place.tenant_id, "slug": slug}
    row = find_row(session, Trust, key)
    kind = given.get("kind", row.kind if row is not None else "")
    if kind not in KINDS:
        raise _refuse(f"kind: must be one of {', '.join(KINDS)}{did_you_mean(kind, KINDS)}")
    if row is not None and kind != row.kind:
        raise _refuse("kind: cannot change; remove this one and make another")
    if row is None and "config" not in given:
        raise _refuse("config: is needed")
    name = given.get("name", row.name if row is not None else slug)
    if not 1 <= len(name.strip()) <= 200 or not name.isprintable():
        raise _refuse("name: needs 1 to 200 printable characters")
    if "config" in given:
        _check(session, place, read_config(kind, given["config"]))
    wanted = {**({"name": slug} if row is None else {}), **given, "kind": kind}
    first = {"id": new_id("tru"), "state": "active", "created_at": place.now}
    return put(session, row, Trust, key=key, wanted=wanted, first=first, noun="trust", name=slug)


def _check(session: Session, place: Place, config: Config) -> None:
    """Refuse what could not work or would open more than was meant."""
    names = _Names(session, place.tenant_id)
    if not isinstance(config, SubjectConfig):
        check_resource_identifier("issuer", config.issuer)
        # Without this: a tenant could be made to redeem what it issued itself (ID-JAG §6).
        if config.issuer == place.issuer:
            raise _refuse("issuer: is this tenant's own; use token exchange within a tenant")
    if not isinstance(config, WorkloadConfig):
        check_scope_names("scopes", config.scopes)
    if isinstance(config, IssuerConfig | WorkloadConfig):
        _check_keys(config)
    match config:
        case TargetConfig():
            names.require("agents", "agent", config.agents, Agent.slug)
            names.require("clients", "client", config.clients, Client.client_id)
            for resource in config.resources:
                check_resource_identifier("resources", resource)
        case IssuerConfig():
            names.require("connection", "connection", [config.connection], Connection.slug)
            names.require("clients", "client", config.clients, Client.client_id)
        case WorkloadConfig():
            names.require("client", "client", [config.client], Client.client_id)
            _check_pattern(config.subject)
        case SubjectConfig():
            names.require("connection", "connection", [config.connection], Connection.slug)
            names.require("client", "client", [config.client], Client.client_id)
            for resource in config.resources:
                check_resource_identifier("resources", resource)


def _check_keys(config: IssuerConfig | WorkloadConfig) -> None:
    if (config.jwks is None) is not bool(config.jwks_uri):
        raise _refuse("jwks: give either jwks or jwks_uri")
    if config.jwks is not None:
        check_jwks(config.jwks)
    else:
        check_resource_identifier("jwks_uri", config.jwks_uri)


def _check_pattern(subject: str) -> None:
    # Without this: "*" would admit everybody whom the platform runs, as one agent.
    if not subject.replace("*", "").strip(":/") or not subject.isprintable():
        raise _refuse("subject: must name something; * stands for one part of it only")


class _Names:
    """Refuses names that the tenant does not have."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def require(self, field: str, noun: str, wanted: Any, column: Any) -> None:
        known = set(self._session.scalars(select(column).where(column.class_.tenant_id == self._tenant_id)))
        for name in wanted:
            if name not in known:
                raise _refuse(f"{field}: there is no {noun} {name!r}{did_you_mean(name, known)}")


def _refuse(why: str) -> Refusal:
    return Refusal(ErrorCode.BAD_CONFIGURATION, why, reason="bad_trust", whose_move=WhoseMove.ADMIN)

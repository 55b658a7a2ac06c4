"""Making and changing tenants and their connections, for administration and ``broker apply``."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.ids import new_id
from broker.kernel.runtime import Runtime
from broker.kernel.sealing import SealBroken
from broker.kernel.versions import bump
from broker.tenants.connections import check_config, seal_secrets, unseal_secrets
from broker.tenants.models import Connection, ConnectionDomain, Tenant
from broker.tenants.rows import Change, find_row, put
from broker.tenants.settings import parse_settings
from broker.tenants.snapshot import SLUG
from idp_connectors.base import Connector

_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def save_tenant(
    session: Session, slug: str, given: Mapping[str, Any], now: int
) -> tuple[Tenant, Change | None]:
    """Return the tenant of that slug, made or changed to ``given`` (name, settings).

    Its state is never touched: a disabled tenant stays so. Raises ``Refusal(bad_configuration)``.
    """
    check_slug("slug", slug)
    if "settings" in given:
        parse_settings(given["settings"])
    row = find_row(session, Tenant, {"slug": slug})
    _check_text("name", given.get("name", slug), 200)
    wanted = given if row is not None else {"name": slug, "settings": {}, **given}
    first = {"id": new_id("ten"), "state": "active", "created_at": now}
    return put(session, row, Tenant, key={"slug": slug}, wanted=wanted, first=first, noun="tenant", name=slug)


def save_connection(
    session: Session,
    rt: Runtime,
    tenant_id: str,
    slug: str,
    given: Mapping[str, Any],
    connectors: Mapping[str, Connector],
    now: int,
    *,
    state: Literal["active", "disabled"] = "active",
) -> tuple[Connection, Change | None]:
    """Return the tenant's connection, made or changed to ``given`` (kind, name, preset, config with secrets).

    Secrets are sealed to the row. A kind never changes, because identities hang on the connection; the
    ``state`` is only that of a new one.
    Raises ``Refusal(bad_configuration)`` that never repeats a value of the configuration.
    """
    check_slug("slug", slug)
    row = find_row(session, Connection, {"tenant_id": tenant_id, "slug": slug})
    kind = given["kind"] if row is None else row.kind
    if given.get("kind", kind) != kind:
        raise _refuse(f"kind: this connection is {kind!r} for good; declare another one beside it")
    _check_text("name", given.get("name", slug), 200)
    row_id = row.id if row is not None else new_id("con")
    wanted: dict[str, Any] = {name: given[name] for name in ("name", "preset") if name in given}
    if row is None or "config" in given:
        config, secrets = check_config(connectors, kind, given.get("config", {}))
        wanted["config"] = config
        if row is None or not _has_secrets(rt, row, secrets):
            wanted["sealed_secrets"] = seal_secrets(rt, tenant_id, row_id, secrets)
    first = {"id": row_id, "kind": kind, "name": slug, "preset": "", "state": state, "created_at": now}
    return put(
        session,
        row,
        Connection,
        key={"tenant_id": tenant_id, "slug": slug},
        wanted=wanted,
        first=first,
        noun="connection",
        name=slug,
    )


def save_domains(session: Session, connection: Connection, domains: Iterable[str]) -> Change | None:
    """Make the e-mail domains of a connection exactly ``domains``; raises ``Refusal(bad_configuration)``."""
    wanted = set(domains)
    for domain in sorted(wanted):
        if not is_domain(domain):
            raise _refuse(f"domains: {domain[:80]!r} is not a domain in lower case")
    rows = session.scalars(
        select(ConnectionDomain).where(
            ConnectionDomain.tenant_id == connection.tenant_id,
            ConnectionDomain.connection_id == connection.id,
        )
    ).all()
    present = {row.domain for row in rows}
    if present == wanted:
        return None
    for row in rows:
        if row.domain not in wanted:
            session.delete(row)
    for domain in sorted(wanted - present):
        session.add(
            ConnectionDomain(tenant_id=connection.tenant_id, domain=domain, connection_id=connection.id)
        )
    session.flush()
    bump(session.connection(), connection.tenant_id)
    return Change("change", "connection", connection.slug, ("domains",))


def is_domain(text: str) -> bool:
    """Whether the text is a domain as it is stored: lower case, two labels or more."""
    return len(text) <= 253 and _DOMAIN.fullmatch(text) is not None


def check_slug(field: str, slug: str) -> None:
    """Accept lower-case letters, digits and inner hyphens, at most 63; raises ``Refusal``."""
    if not SLUG.fullmatch(slug):
        raise _refuse(f"{field}: {slug[:80]!r} must be lower-case letters, digits and inner hyphens")


def _has_secrets(rt: Runtime, row: Connection, secrets: Mapping[str, str]) -> bool:
    try:
        return unseal_secrets(rt, row.tenant_id, row.id, row.sealed_secrets) == secrets
    except SealBroken:
        return False


def _check_text(field: str, text: str, limit: int) -> None:
    if not text.strip() or len(text) > limit or not text.isprintable():
        raise _refuse(f"{field}: needs 1 to {limit} printable characters")


def _refuse(why: str) -> Refusal:
    return Refusal(ErrorCode.BAD_CONFIGURATION, why, reason="bad_tenant", whose_move=WhoseMove.ADMIN)

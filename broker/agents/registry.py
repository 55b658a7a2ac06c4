"""Making and changing resources, agents and clients, for administration and ``broker apply``."""

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from sqlalchemy.orm import Session

from broker.agents.client_rules import ClientDraft, check_client
from broker.agents.models import Agent, Client, Resource
from broker.agents.naming import check_resource_identifier, check_scope_names
from broker.agents.options import agent_options, client_options, resource_options
from broker.directory.registry import check_role_name
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.ids import new_id
from broker.kernel.runtime import Runtime
from broker.tenants.registry import check_slug
from broker.tenants.rows import Change, find_row, put
from broker.tenants.settings import MAX_DEPTH

MAX_AGENT_SECONDS = 2 * 365 * 86400
"""An agent is looked at again after two years at the latest."""

EFFECTS = frozenset({"read", "change", "destructive"})

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_RESOURCE_DEFAULTS: Mapping[str, Any] = {"scopes": {}, "roles": [], "ttl_seconds": 600, "max_depth": 4}
_AGENT_DEFAULTS: Mapping[str, Any] = {
    "description": "",
    "scopes": [],
    "roles": [],
    "resources": [],
    "delegable_to": [],
    "ttl_seconds": 600,
    "max_depth": 4,
}
_CLIENT_DEFAULTS: Mapping[str, Any] = {
    "redirect_uris": [],
    "grant_types": [],
    "scopes": [],
    "application_type": "web",
}


def save_resource(
    session: Session, tenant_id: str, identifier: str, given: Mapping[str, Any], now: int
) -> tuple[Resource, Change | None]:
    """Return the tenant's resource, made or changed to ``given``: columns of ``Resource``.

    Raises ``Refusal(bad_configuration)``.
    """
    check_resource_identifier("identifier", identifier)
    key = {"tenant_id": tenant_id, "identifier": identifier}
    row = find_row(session, Resource, key)
    wanted = given if row is not None else {**_RESOURCE_DEFAULTS, "name": identifier[:200], **given}
    _check_texts(wanted, name=(1, 200))
    _check_limits(wanted)
    check_scope_names("scopes", wanted.get("scopes", ()))
    for scope, view in wanted.get("scopes", {}).items():
        if view.get("effect") not in EFFECTS:
            raise _refuse(f"scopes.{scope}.effect: must be one of {', '.join(sorted(EFFECTS))}")
        _check_text(f"scopes.{scope}.description", view.get("description", ""), 1, 200)
    for role in wanted.get("roles", ()):
        check_role_name("roles", role)
    resource_options(wanted.get("options", {}))
    first = {"id": new_id("res"), "state": "active", "created_at": now}
    return put(session, row, Resource, key=key, wanted=wanted, first=first, noun="resource", name=identifier)


def save_agent(
    session: Session,
    tenant_id: str,
    slug: str,
    given: Mapping[str, Any],
    now: int,
    *,
    defaults: Mapping[str, Any] = _NOTHING,
) -> tuple[Agent, Change | None]:
    """Return the tenant's agent, made or changed to ``given``: columns of ``Agent``.

    ``defaults`` count only when it is made. Its state is never touched: a suspended or killed agent stays
    so. A new agent needs ``owner_name``, ``owner_email`` and ``expires_at``.
    Raises ``Refusal(bad_configuration)``.
    """
    check_slug("slug", slug)
    key = {"tenant_id": tenant_id, "slug": slug}
    row = find_row(session, Agent, key)
    wanted = given if row is not None else {**_AGENT_DEFAULTS, "name": slug, **defaults, **given}
    if row is None and not ({"owner_name", "owner_email"} <= wanted.keys()):
        raise _refuse("owner: an agent needs somebody who answers for it")
    if row is None and "expires_at" not in wanted:
        raise _refuse("expires_at: an agent needs an end (or expires_in_days)")
    if wanted.get("expires_at", now) > now + MAX_AGENT_SECONDS:
        raise _refuse("expires_at: at most two years ahead")
    _check_texts(wanted, name=(1, 100), description=(0, 500), owner_name=(1, 200), owner_email=(3, 320))
    _check_limits(wanted)
    check_scope_names("scopes", wanted.get("scopes", ()))
    for identifier in wanted.get("resources", ()):
        check_resource_identifier("resources", identifier)
    for role in wanted.get("roles", ()):
        check_role_name("roles", role)
    for successor in wanted.get("delegable_to", ()):
        check_slug("delegable_to", successor)
    agent_options(wanted.get("options", {}))
    first = {"id": new_id("agt"), "state": "active", "created_at": now}
    return put(session, row, Agent, key=key, wanted=wanted, first=first, noun="agent", name=slug)


def save_client(
    session: Session,
    rt: Runtime,
    tenant_id: str,
    client_id: str,
    given: Mapping[str, Any],
    grant_types: frozenset[str],
    now: int,
    *,
    defaults: Mapping[str, Any] = _NOTHING,
    is_document: bool = False,
) -> tuple[Client, Change | None]:
    """Return the tenant's client, made or changed to ``given``: columns of ``Client``, and ``secret``.

    ``defaults`` count only when it is made. Of a secret only the keyed hash is stored. ``grant_types`` are
    those that the broker offers. A client never moves to another agent or resource. ``is_document`` says
    that the id is the address of the client's metadata.
    Raises ``Refusal(bad_configuration)``.
    """
    key = {"tenant_id": tenant_id, "client_id": client_id}
    row = find_row(session, Client, key)
    wanted = dict(given) if row is not None else {**_CLIENT_DEFAULTS, "name": client_id, **defaults, **given}
    if row is not None:
        _check_owner(row, wanted)
    secret = wanted.get("secret")
    method = wanted.get("auth_method", row.auth_method if row is not None else "")
    keeps_secret = row is not None and row.secret_hash is not None and method == row.auth_method
    draft = _merge(client_id, row, wanted)
    check_client(draft, grant_types, has_secret=keeps_secret, is_document=is_document)
    _check_texts(wanted, name=(1, 200))
    client_options(wanted.get("options", {}))
    wanted.pop("secret", None)
    if secret is not None:
        wanted["secret_hash"] = rt.sealer.fingerprint("client_secret", secret)
    elif method != "client_secret_basic":
        wanted["secret_hash"] = None
    if method != "private_key_jwt":
        wanted["jwks"] = None
    first = {"state": "active", "created_at": now}
    return put(session, row, Client, key=key, wanted=wanted, first=first, noun="client", name=client_id)


def _merge(client_id: str, row: Client | None, wanted: Mapping[str, Any]) -> ClientDraft:
    """Return the client as it would be stored."""
    apart = {"client_id", "secret", "jwks_uri"}
    names = [field.name for field in fields(ClientDraft) if field.name not in apart]
    stored = {name: getattr(row, name) for name in names} if row is not None else {}
    if wanted.get("auth_method", stored.get("auth_method")) != "private_key_jwt":
        stored.pop("jwks", None)
    merged = {**stored, **wanted}
    lists = {name: tuple(merged.get(name, ())) for name in ("redirect_uris", "grant_types", "scopes")}
    if "auth_method" not in merged:
        raise _refuse("auth_method: is needed (private_key_jwt, client_secret_basic or none)")
    options = merged.pop("options", row.options if row is not None else {})
    jwks_uri = str(options.get("jwks_uri", ""))
    return ClientDraft(**{**merged, "client_id": client_id, "jwks_uri": jwks_uri, **lists})


def _check_owner(row: Client, wanted: Mapping[str, Any]) -> None:
    # Without this: the credential of one agent could be made another agent's by editing a file.
    for field in ("agent_id", "resource_id"):
        if field in wanted and wanted[field] != getattr(row, field):
            raise _refuse(f"client_id: {row.client_id!r} already belongs to another agent or resource")


def _check_limits(wanted: Mapping[str, Any]) -> None:
    if not 30 <= wanted.get("ttl_seconds", 600) <= 3600:
        raise _refuse("ttl_seconds: must be 30 to 3600")
    if not 1 <= wanted.get("max_depth", 1) <= MAX_DEPTH:
        raise _refuse(f"max_depth: must be 1 to {MAX_DEPTH}")


def _check_texts(wanted: Mapping[str, Any], **limits: tuple[int, int]) -> None:
    for field, (least, most) in limits.items():
        if field in wanted:
            _check_text(field, wanted[field], least, most)


def _check_text(field: str, text: str, least: int, most: int) -> None:
    if len(text.strip()) < least or len(text) > most or not text.isprintable():
        raise _refuse(f"{field}: needs {least} to {most} printable characters")


def _refuse(why: str) -> Refusal:
    return Refusal(ErrorCode.BAD_CONFIGURATION, why, reason="bad_agent", whose_move=WhoseMove.DEVELOPER)

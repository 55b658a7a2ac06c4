"""Secrets and configuration of connections: checked by the connector, secrets sealed to their row."""

import json
from collections.abc import Mapping
from typing import Any

import pydantic
from sqlalchemy import Connection as CoreConnection
from sqlalchemy import select

from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.runtime import Runtime
from broker.tenants.models import Connection
from broker.tenants.spelling import did_you_mean, unknown_key
from idp_connectors.base import Connector, ConnectorError, load_config, secret_fields


def secrets_context(tenant_id: str, connection_id: str) -> str:
    """Return what a connection's sealed secrets are bound to."""
    return f"{tenant_id}/connections/sealed_secrets/{connection_id}"


def seal_secrets(rt: Runtime, tenant_id: str, connection_id: str, secrets: Mapping[str, str]) -> bytes | None:
    """Return the secrets sealed for this connection's row; None when there are none."""
    if not secrets:
        return None
    plain = json.dumps(dict(secrets), sort_keys=True).encode()
    return rt.sealer.seal(plain, secrets_context(tenant_id, connection_id))


def unseal_secrets(rt: Runtime, tenant_id: str, connection_id: str, sealed: bytes | None) -> dict[str, str]:
    """Return the secrets sealed for this connection; raises ``SealBroken``."""
    if sealed is None:
        return {}
    opened = json.loads(rt.sealer.open(sealed, secrets_context(tenant_id, connection_id)))
    return {str(name): str(value) for name, value in opened.items()}


def open_secrets(
    rt: Runtime, connection: CoreConnection, tenant_id: str, connection_id: str
) -> dict[str, str]:
    """Return the opened secrets of the tenant's connection, to be used at once and kept nowhere.

    Raises ``Refusal(not_found)`` for a connection that is not this tenant's, ``SealBroken``.
    """
    row = connection.execute(
        select(Connection.sealed_secrets).where(
            Connection.tenant_id == tenant_id, Connection.id == connection_id
        )
    ).first()
    if row is None:
        raise Refusal(ErrorCode.NOT_FOUND, "There is no such connection.", reason="unknown_connection")
    return unseal_secrets(rt, tenant_id, connection_id, row.sealed_secrets)


def check_config(
    connectors: Mapping[str, Connector], kind: str, given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return (configuration without secrets, secrets) of a connection, as its connector's model accepts it.

    What equals the model's default is stored too, so that a later version's default changes nothing.
    Raises ``Refusal(bad_configuration)`` that names the field and never repeats a value.
    """
    if kind not in connectors:
        known = ", ".join(sorted(connectors))
        raise _refuse(f"kind: there is no {kind!r}, only {known}{did_you_mean(kind, connectors)}")
    model = connectors[kind].config_model
    names = _field_names(model)
    for key in given:
        if key not in names:
            raise _refuse(f"config: {unknown_key(key, names)}")
    try:
        checked = load_config(model, given, {})
    except ConnectorError as fault:
        raise _refuse(f"config.{fault.field}: {fault.public}" if fault.field else fault.public) from None
    hidden = secret_fields(model)
    config = checked.model_dump(mode="json", exclude=set(hidden))
    secrets = {name: _reveal(getattr(checked, name)) for name in sorted(hidden)}
    return config, {name: value for name, value in secrets.items() if value}


def find_faults(model: type[pydantic.BaseModel], given: Mapping[str, Any]) -> dict[str, str]:
    """Return a sentence for each field that the model refuses, "" for all of it; none repeats a value."""
    try:
        model.model_validate(dict(given))
    except pydantic.ValidationError as error:
        faults: dict[str, str] = {}
        for fault in error.errors(include_input=False, include_url=False, include_context=False):
            place = str(fault["loc"][0]) if fault["loc"] else ""
            faults.setdefault(place, _sentence(fault["type"], fault["msg"]))
        return faults
    return {}


def _sentence(kind: str, told: str) -> str:
    if kind in ("missing", "string_too_short", "too_short"):
        return "This is needed."
    if kind == "string_pattern_mismatch":
        return "This does not have the form that is asked for."
    words = told.removeprefix("Value error, ")
    return f"{words[:1].upper()}{words[1:]}."


def _field_names(model: type[Any]) -> frozenset[str]:
    return frozenset(name for name in model.model_fields)


def _reveal(value: Any) -> str:
    if value is None:
        return ""
    return str(value.get_secret_value()) if hasattr(value, "get_secret_value") else str(value)


def _refuse(why: str) -> Refusal:
    return Refusal(ErrorCode.BAD_CONFIGURATION, why, reason="bad_connection", whose_move=WhoseMove.ADMIN)

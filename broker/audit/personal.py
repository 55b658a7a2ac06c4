"""Personal fields of events, sealed under one key per person; destroying the key erases them all at once."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, cast

import orjson
from sqlalchemy import Connection, Table, bindparam, select, update

from broker.audit.models import PersonKey
from broker.kernel.prepared import Prepared
from broker.kernel.sealing import SealBroken, Sealer
from broker.kernel.upsert import dialect_insert

_KEY_BYTES = 32
_KEYS = cast(Table, PersonKey.__table__)
_FIND = Prepared(
    select(_KEYS.c.sealed_key).where(
        _KEYS.c.tenant_id == bindparam("tenant"), _KEYS.c.user_id == bindparam("of_user")
    )
)


def seal_personal(
    connection: Connection, sealer: Sealer, tenant_id: str, user_id: str, plaintext: bytes
) -> bytes | None:
    """Return `plaintext` sealed under the person's key, made on first use; None for an erased person."""
    key = _key_of(connection, sealer, tenant_id, user_id)
    if key is None:
        return None
    return Sealer([key]).seal(plaintext, _field_context(tenant_id, user_id))


def personal_opener(
    connection: Connection, sealer: Sealer, tenant_id: str, user_ids: Iterable[str]
) -> "PersonalOpener":
    """Return an opener for the personal fields of these persons; reads their keys in one statement."""
    rows = connection.execute(
        select(PersonKey.user_id, PersonKey.sealed_key).where(
            PersonKey.tenant_id == tenant_id,
            PersonKey.user_id.in_(sorted(set(user_ids))),
            PersonKey.sealed_key.is_not(None),
        )
    )
    keys: dict[str, Sealer] = {}
    for row in rows:
        # A key that this broker cannot open any more hides one person's fields, not the whole page.
        with suppress(SealBroken):
            keys[row.user_id] = Sealer([sealer.open(row.sealed_key, _key_context(tenant_id, row.user_id))])
    return PersonalOpener(tenant_id, keys)


class PersonalOpener:
    """Opens personal fields of a set of persons."""

    def __init__(self, tenant_id: str, keys: Mapping[str, Sealer]) -> None:
        self._tenant_id = tenant_id
        self._keys = keys

    def open(self, user_id: str, blob: bytes | None) -> dict[str, Any] | None:
        """Return the personal fields, or None if there are none or the person was erased."""
        key = self._keys.get(user_id)
        if blob is None or key is None:
            return None
        try:
            fields: dict[str, Any] = orjson.loads(key.open(blob, _field_context(self._tenant_id, user_id)))
        except SealBroken:
            # Sealed under a key that is gone, or moved here from another person: `verify` says which.
            return None
        return fields


def erase_person(connection: Connection, tenant_id: str, user_id: str, *, now: int) -> bool:
    """Destroy the person's key, in the caller's transaction; True if there was one.

    Their personal fields can never be opened again and none are kept from now on; the chain still verifies.
    """
    done = connection.execute(
        update(PersonKey)
        .where(
            PersonKey.tenant_id == tenant_id,
            PersonKey.user_id == user_id,
            PersonKey.sealed_key.is_not(None),
        )
        .values(sealed_key=None, destroyed_at=now)
    )
    return done.rowcount == 1


def _key_of(connection: Connection, sealer: Sealer, tenant_id: str, user_id: str) -> bytes | None:
    context = _key_context(tenant_id, user_id)
    whose = {"tenant": tenant_id, "of_user": user_id}
    found = _FIND.rows(connection, whose)
    if not found:
        sealed = sealer.seal(os.urandom(_KEY_BYTES), context)
        insert = dialect_insert(connection)
        connection.execute(
            insert(PersonKey)
            .values(tenant_id=tenant_id, user_id=user_id, sealed_key=sealed, destroyed_at=None)
            .on_conflict_do_nothing()
        )
        # Another transaction may have made the key meanwhile; the one that is stored counts.
        found = _FIND.rows(connection, whose)
    (key,) = found
    return None if key.sealed_key is None else sealer.open(key.sealed_key, context)


def _key_context(tenant_id: str, user_id: str) -> str:
    return f"{tenant_id}/person_keys/sealed_key/{user_id}"


def _field_context(tenant_id: str, user_id: str) -> str:
    return f"{tenant_id}/audit_events/personal/{user_id}"

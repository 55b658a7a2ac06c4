"""Between rows and resources: which part of a resource is a column, and what is never kept."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from scim2_models import InvalidValueException, Meta

from broker.scim.models import ScimGroup, ScimUser
from broker.scim.spelling import is_storable, key_of

MAX_RESOURCE_CHARS = 32_768
MAX_EMAILS = 20
_COLUMNS = frozenset(
    {"schemas", "id", "externalId", "userName", "active", "meta", "groups", "members", "password"}
)

_UNTOLD = "active was removed"


def user_columns(user: Any, former: ScimUser | None = None) -> dict[str, Any]:
    """Return the columns of a person; raises ``InvalidValueException`` for what no row can hold.

    A new person is active unless told otherwise; a ``former`` one stays as they were where ``active`` was
    removed. Without this: taking the attribute away would switch a suspended person on again.
    """
    rest = _rest_of(user)
    if user.active is None and former is not None:
        rest[_UNTOLD] = True
    user_name = clean("userName", user.user_name, 320)
    display = clean("displayName", user.display_name, 500) if user.display_name else None
    return {
        "external_id": clean("externalId", user.external_id, 500) if user.external_id else None,
        "user_name": user_name,
        "user_name_key": key_of(user_name),
        "display_key": key_of(display) if display else None,
        "active": user.active if user.active is not None else former is None or former.active,
        "resource": rest,
    }


def group_columns(group: Any) -> dict[str, Any]:
    """Return the columns of a group; raises ``InvalidValueException`` for what no row can hold."""
    name = clean("displayName", group.display_name, 500)
    return {
        "external_id": clean("externalId", group.external_id, 500) if group.external_id else None,
        "display_name": name,
        "display_key": key_of(name),
    }


def email_columns(user: Any) -> list[dict[str, Any]]:
    """Return the columns of a person's addresses without their owner, for filters."""
    emails = [one for one in user.emails or () if one.value]
    if len(emails) > MAX_EMAILS:
        raise InvalidValueException(detail=f"emails: at most {MAX_EMAILS}")
    return [
        {
            "position": number,
            "value_key": key_of(clean("emails.value", one.value, 320)),
            "type_key": key_of(clean("emails.type", one.type, 32)) if one.type else "",
        }
        for number, one in enumerate(emails)
    ]


def user_of(model: Any, row: ScimUser, groups: Iterable[Mapping[str, str]]) -> Any:
    """Return the person that a row holds, with the groups that they are in."""
    rest = dict(row.resource)
    untold = rest.pop(_UNTOLD, False)
    return model.model_validate(
        {
            **rest,
            "id": row.id,
            "externalId": row.external_id,
            "userName": row.user_name,
            "active": None if untold else row.active,
            "groups": [{**one, "$ref": f"Groups/{one['value']}", "type": "direct"} for one in groups] or None,
            "meta": _meta("User", row),
        }
    )


def group_of(model: Any, row: ScimGroup, members: Iterable[str]) -> Any:
    """Return the group that a row holds, with these people in it."""
    return model.model_validate(
        {
            "id": row.id,
            "externalId": row.external_id,
            "displayName": row.display_name,
            "members": [{"value": one, "$ref": f"Users/{one}", "type": "User"} for one in members] or None,
            "meta": _meta("Group", row),
        }
    )


def version_of(row: ScimUser | ScimGroup) -> str:
    """Return the entity tag of a row."""
    return f'W/"{row.version}"'


def clean(name: str, value: Any, limit: int) -> str:
    """Return a text that both databases can hold; raises ``InvalidValueException``.

    Without this: a NUL or half of a surrogate pair would be a fault of the database and an answer 500.
    """
    text = str(value or "")
    if not text.strip() or len(text) > limit or not is_storable(text):
        raise InvalidValueException(detail=f"{name}: 1 to {limit} characters, without control characters")
    return text


def _rest_of(resource: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = resource.model_dump()
    rest = {name: value for name, value in dumped.items() if name not in _COLUMNS}
    text = repr(rest)
    if len(text) > MAX_RESOURCE_CHARS:
        raise InvalidValueException(detail="the resource is larger than any that is honestly pushed")
    if not all(is_storable(one) for one in _texts(rest)):
        raise InvalidValueException(detail="a value holds control characters")
    return rest


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield str(name)
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _meta(kind: str, row: ScimUser | ScimGroup) -> Meta:
    return Meta(
        resource_type=kind,
        created=datetime.fromtimestamp(row.created_at, UTC),
        last_modified=datetime.fromtimestamp(row.changed_at, UTC),
        version=version_of(row),
    )

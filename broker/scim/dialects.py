"""Request bodies as Entra and Okta write them, brought to what the protocol's core reads (idp-quirks §7).

The core itself takes capital operations, dotted keys, unknown names, ``Remove`` with a value and filters that
match nothing yet; here is only what it does not.
"""

import re
from collections.abc import Mapping
from typing import Any

from scim2_models import InvalidPathException, InvalidSyntaxException, Path, Resource
from scim2_server.errors import UnsupportedMediaTypeException

from broker.scim.spelling import is_storable

MAX_OPERATIONS = 1_000
MAX_PATH_CHARS = 500
_JSON = re.compile(r"(?:application/(?:[\w.+-]+\+)?json|text/json)\s*(?:;.*)?", re.IGNORECASE)


def check_media_type(content_type: str | None) -> None:
    """Accept JSON under the names that providers give it, ``text/json`` included, or none."""
    if content_type and not _JSON.fullmatch(content_type.strip()):
        raise UnsupportedMediaTypeException


def plain_patch(model: type[Resource[Any]], payload: Any) -> Any:
    """Return the body of a PATCH with every filtered key as an operation of its own and lists of one opened.

    Raises ``InvalidSyntaxException`` for a body that no provider honestly sends.
    """
    if not isinstance(payload, Mapping):
        raise InvalidSyntaxException(detail="the body must be a JSON object")
    plain: dict[str, Any] = {}
    for name, value in payload.items():
        if name.lower() != "operations" or not isinstance(value, list):
            plain[name] = value
            continue
        operations = [part for operation in value for part in _apart(operation)]
        if len(operations) > MAX_OPERATIONS:
            raise InvalidSyntaxException(detail=f"at most {MAX_OPERATIONS} operations in one request")
        plain[name] = [_opened(model, operation) for operation in operations]
    return plain


def _apart(operation: Any) -> list[Any]:
    """Return the operation with each filtered key of its value, ``emails[…].value``, as a path of its own."""
    if not isinstance(operation, Mapping):
        return [operation]
    named = {name.lower(): name for name in operation}
    value = operation.get(named.get("value", ""))
    if operation.get(named.get("path", "")) or not isinstance(value, Mapping):
        return [operation]
    filtered = {key: item for key, item in value.items() if "[" in key}
    if not filtered:
        return [operation]
    rest = {key: item for key, item in value.items() if key not in filtered}
    op = operation.get(named.get("op", ""))
    parts: list[Any] = [{"op": op, "path": key, "value": item} for key, item in filtered.items()]
    return [*([{"op": op, "value": rest}] if rest else []), *parts]


def _opened(model: type[Resource[Any]], operation: Any) -> Any:
    """Return the operation with the value itself where a list of one was sent for an attribute with one."""
    if not isinstance(operation, Mapping):
        return operation
    names = {name.lower(): name for name in operation}
    path, value = operation.get(names.get("path", "")), operation.get(names.get("value", ""))
    if not isinstance(path, str):
        return operation
    if len(path) > MAX_PATH_CHARS or path.count("(") > 20 or not is_storable(path):
        raise InvalidPathException(path=path[:80], detail="the path is too long or holds control characters")
    if isinstance(value, list) and len(value) == 1 and _is_single(model, path):
        (only,) = value
        if isinstance(only, Mapping) and list(only) == ["value"]:
            only = only["value"]
        return {**operation, names["value"]: only}
    return operation


def _is_single(model: type[Resource[Any]], path: str) -> bool:
    try:
        bound: Any = Path.__class_getitem__(model)
        binding = bound(path).resolve()
    except InvalidPathException:
        return False
    return binding is not None and not binding.is_multivalued

"""Stored settings as checked, frozen values; an unknown name or a value out of range is named."""

from collections.abc import Hashable, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.tenants.spelling import unknown_key

Checked = TypeVar("Checked")


def checked(model: type[Checked], given: Mapping[str, Any], *, reason: str) -> Checked:
    """Return the frozen dataclass ``model`` made of ``given``; what is left out has its default.

    Raises ``Refusal(bad_configuration)`` that names an unknown key or a value out of range.
    """
    adapter, names = _shape(cast(Hashable, model))
    for key in given:
        if key not in names:
            raise _refuse(unknown_key(key, names), reason)
    try:
        value: Checked = adapter.validate_python(dict(given))
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        raise _refuse(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", reason) from None
    return value


@lru_cache(maxsize=16)
def _shape(model: Hashable) -> tuple[TypeAdapter[Any], frozenset[str]]:
    kind = cast(type[Any], model)
    return TypeAdapter(kind), frozenset(field.name for field in fields(kind))


def _refuse(why: str, reason: str) -> Refusal:
    return Refusal(ErrorCode.BAD_CONFIGURATION, why, reason=reason, whose_move=WhoseMove.ADMIN)

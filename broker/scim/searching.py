"""Filters become SQL where there is an index for them; what is left is tried on a bounded number of rows.

The filter is parsed by an LALR grammar and its values are bound parameters, so neither a long nor a crafted
one can run away or reach the statement (C03).
"""

from dataclasses import dataclass
from typing import Any

from scim2_models import InvalidFilterException, ScimFilter
from scim2_models.path import CompareOperator, Comparison, FilterNode, LogicalExpr, LogicalOperator, ValuePath
from sqlalchemy import ColumnElement, and_, exists, or_

from broker.scim.models import ScimEmail, ScimGroup, ScimMember, ScimUser
from broker.scim.spelling import is_storable, key_of

MAX_SCAN = 1_000
"""Rows that are read to answer a filter or an order that no index answers; more is ``tooMany``."""

MAX_FILTER_CHARS = 1_000
MAX_FILTER_BRACKETS = 20


@dataclass(frozen=True, slots=True)
class Pushed:
    """What of a filter the database decides; ``is_exact`` when nothing is left to try."""

    condition: ColumnElement[bool] | None
    is_exact: bool


def check_filter(text: str) -> None:
    """Refuse a filter that no provider honestly sends; raises ``InvalidFilterException``.

    Without this: brackets a thousand deep would exhaust the stack of whoever walks the tree.
    """
    if len(text) > MAX_FILTER_CHARS or sum(map(text.count, "([")) > MAX_FILTER_BRACKETS:
        raise InvalidFilterException(detail="the filter is too long or too deep")
    if not is_storable(text):
        raise InvalidFilterException(detail="the filter holds control characters")


def push_down(scim_filter: ScimFilter[Any] | None, tenant_id: str, table: type[Any]) -> Pushed:
    """Return what of the filter on people or groups the database can decide."""
    if scim_filter is None:
        return Pushed(None, True)
    return _push(scim_filter.ast, tenant_id, table)


def _push(node: FilterNode, tenant_id: str, table: type[Any]) -> Pushed:
    if isinstance(node, Comparison):
        condition = _comparison(node, tenant_id, table)
        return Pushed(condition, condition is not None)
    if isinstance(node, ValuePath) and table is ScimUser:
        condition = _selection(node, tenant_id)
        return Pushed(condition, condition is not None)
    if isinstance(node, LogicalExpr):
        parts = [_push(term, tenant_id, table) for term in node.terms]
        are_exact = all(part.is_exact for part in parts)
        conditions = [part.condition for part in parts if part.condition is not None]
        if node.op == LogicalOperator.and_:
            return Pushed(and_(*conditions) if conditions else None, are_exact)
        if are_exact:
            return Pushed(or_(*conditions), True)
    return Pushed(None, False)


def _comparison(node: Comparison, tenant_id: str, table: type[Any]) -> ColumnElement[bool] | None:
    if node.op != CompareOperator.eq:
        return None
    path = node.attr_path
    name = f"{path.attr}.{path.sub_attr}".lower() if path.sub_attr else path.attr.lower()
    if path.uri is not None and "extension" in path.uri.lower():
        return None
    if name == "active" and table is ScimUser and isinstance(node.value, bool):
        return ScimUser.active.is_(node.value)
    if not isinstance(node.value, str):
        return None
    return _text_comparison(name, _unescaped(node.value), tenant_id, table)


def _text_comparison(name: str, value: str, tenant_id: str, table: type[Any]) -> ColumnElement[bool] | None:
    match name:
        case "id":
            return table.id == value  # type: ignore[no-any-return]
        case "externalid":
            return table.external_id == value  # type: ignore[no-any-return]
        case "displayname":
            return table.display_key == key_of(value)  # type: ignore[no-any-return]
        case "username" if table is ScimUser:
            return ScimUser.user_name_key == key_of(value)
        case "emails" | "emails.value" if table is ScimUser:
            return _has_email(tenant_id, ScimEmail.value_key == key_of(value))
        case "members" | "members.value" if table is ScimGroup:
            return exists().where(
                ScimMember.tenant_id == tenant_id,
                ScimMember.group_id == ScimGroup.id,
                ScimMember.scim_user_id == value,
            )
    return None


def _selection(node: ValuePath, tenant_id: str) -> ColumnElement[bool] | None:
    """``emails[type eq "work" and value eq "x"]``; Entra's ``emails[type eq "work"].value eq "x"`` is it."""
    inner = node.val_filter
    terms = inner.terms if isinstance(inner, LogicalExpr) and inner.op == LogicalOperator.and_ else (inner,)
    if node.attr_path.attr.lower() != "emails" or node.sub_attr is not None:
        return None
    columns = {"value": ScimEmail.value_key, "type": ScimEmail.type_key}
    conditions = []
    for term in terms:
        if not isinstance(term, Comparison) or term.op != CompareOperator.eq:
            return None
        column = columns.get(term.attr_path.attr.lower())
        if column is None or not isinstance(term.value, str) or term.attr_path.sub_attr is not None:
            return None
        conditions.append(column == key_of(_unescaped(term.value)))
    return _has_email(tenant_id, *conditions)


def _has_email(tenant_id: str, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(
        ScimEmail.tenant_id == tenant_id, ScimEmail.scim_user_id == ScimUser.id, *conditions
    )


def _unescaped(value: str) -> str:
    r"""Return the value; raises ``InvalidFilterException`` for what was hidden in it as ``\u0000``."""
    if not is_storable(value):
        raise InvalidFilterException(detail="the filter holds control characters")
    return value

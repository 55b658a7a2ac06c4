"""Who is in which pushed group: changed row by row, so that a large group costs what changes in it.

After a change the groups of the people concerned are told to the directory, complete and with their age.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from scim2_models import InvalidValueException, PatchOperation
from scim2_models.path import CompareOperator, Comparison, FilterNode, LogicalExpr, LogicalOperator
from sqlalchemy import BindParameter, Connection, String, Table, bindparam, delete, insert, select
from sqlalchemy import cast as cast_to

from broker.directory.provisioning import find_bound, tell_groups
from broker.kernel.prepared import Prepared
from broker.scim.desk import ScimDesk
from broker.scim.models import ScimGroup, ScimMember, ScimUser
from broker.tokens.lost_roles import Loss, ending_lost_roles

_SLICE = 500
_MEMBERS = cast(Table, ScimMember.__table__)
_GROUPS = cast(Table, ScimGroup.__table__)
_PEOPLE = cast(Table, ScimUser.__table__)
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_INSERT = Prepared(insert(_MEMBERS))
_OF_GROUP = (_MEMBERS.c.tenant_id == bindparam("tenant"), _MEMBERS.c.group_id == bindparam("of_group"))
_PRESENT = select(_MEMBERS.c.scim_user_id).where(*_OF_GROUP, _MEMBERS.c.scim_user_id.in_(_IDS))
_REMOVE = delete(_MEMBERS).where(*_OF_GROUP, _MEMBERS.c.scim_user_id.in_(_IDS))
# Without the casts: SQLite, which has no statistics, would rather read all rows of the tenant by an index
# than look forty of them up by their ids, and each change would cost more the more has been pushed. For the
# same reason the groups of people are found through their own rows, and by an index that answers alone.
_KNOWN = select(_PEOPLE.c.id).where(
    cast_to(_PEOPLE.c.tenant_id, String) == bindparam("tenant"),
    _PEOPLE.c.connection_id == bindparam("of_connection"),
    _PEOPLE.c.id.in_(_IDS),
)
_PAIRS = (
    select(_MEMBERS.c.group_id, _MEMBERS.c.scim_user_id)
    .join(
        _PEOPLE,
        (_MEMBERS.c.tenant_id == _PEOPLE.c.tenant_id) & (_MEMBERS.c.scim_user_id == _PEOPLE.c.id),
    )
    .where(cast_to(_PEOPLE.c.tenant_id, String) == bindparam("tenant"), _PEOPLE.c.id.in_(_IDS))
)
_NAMES = select(_GROUPS.c.id, _GROUPS.c.display_name, _GROUPS.c.external_id, _GROUPS.c.display_key).where(
    cast_to(_GROUPS.c.tenant_id, String) == bindparam("tenant"), _GROUPS.c.id.in_(_IDS)
)


@dataclass(frozen=True, slots=True)
class MemberChange:
    """One change of a group's members: add some, remove some, or have exactly these."""

    kind: Literal["add", "remove", "set"]
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SplitPatch:
    """A PATCH of a group as what concerns its members, and the operations that are left."""

    changes: tuple[MemberChange, ...]
    rest: tuple[PatchOperation[Any], ...]


def split_patch(operations: Iterable[PatchOperation[Any]]) -> SplitPatch | None:
    """Return the PATCH with its member changes apart, or None if one of them is of a rarer form.

    Members and the other attributes do not touch each other, so their order among themselves is enough.
    """
    changes: list[MemberChange] = []
    rest: list[PatchOperation[Any]] = []
    for operation in operations:
        path = str(operation.path or "")
        if operation.path is None and isinstance(operation.value, Mapping):
            members, others = _members_apart(operation.value)
            changes.extend(MemberChange(_writing(operation), _ids(one)) for one in members)
            if others or not members:
                rest.append(operation.model_copy(update={"value": others}))
        elif path.lower().partition("[")[0].partition(".")[0].rpartition(":")[2] != "members":
            rest.append(operation)
        else:
            change = _member_change(operation)
            if change is None:
                return None
            changes.append(change)
    return SplitPatch(tuple(changes), tuple(rest))


def _member_change(operation: PatchOperation[Any]) -> MemberChange | None:
    path = operation.path
    if path is None or len(path.parts) != 1:
        return None
    if operation.op != PatchOperation.Op.remove:
        if path.value_filter is not None:
            return None
        return MemberChange(_writing(operation), _ids(operation.value))
    if path.value_filter is not None:
        ids = _ids_in(path.value_filter)
        return None if ids is None or operation.value is not None else MemberChange("remove", ids)
    if "value" not in operation.model_fields_set:
        return MemberChange("set", ())
    # Without this: a client that has nobody to remove, and says so by null, would empty the group.
    if operation.value is None:
        raise InvalidValueException(detail="remove from members: name the members, or leave value out")
    return MemberChange("remove", _ids(operation.value))


def _writing(operation: PatchOperation[Any]) -> Literal["add", "set"]:
    return "add" if operation.op == PatchOperation.Op.add else "set"


def _members_apart(value: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    members = [item for name, item in value.items() if name.lower() == "members"]
    return members, {name: item for name, item in value.items() if name.lower() != "members"}


def _ids(value: Any) -> tuple[str, ...]:
    entries = value if isinstance(value, list) else [] if value is None else [value]
    return tuple(_id_of(entry) for entry in entries)


def _id_of(entry: Any) -> str:
    found = entry
    if isinstance(entry, Mapping):
        found = next((item for name, item in entry.items() if name.lower() == "value"), None)
    if not isinstance(found, str) or not found:
        raise InvalidValueException(detail="a member is named by its id in value")
    return found


def _ids_in(node: FilterNode) -> tuple[str, ...] | None:
    """Return the ids of ``value eq "a" or value eq "b"``, or None for any other filter."""
    is_list = isinstance(node, LogicalExpr) and node.op == LogicalOperator.or_
    ids = []
    for term in node.terms if is_list and isinstance(node, LogicalExpr) else (node,):
        if not isinstance(term, Comparison) or term.op != CompareOperator.eq:
            return None
        if str(term.attr_path).lower() != "value" or not isinstance(term.value, str):
            return None
        ids.append(term.value)
    return tuple(ids)


def apply_changes(
    core: Connection, desk: ScimDesk, group_id: str, changes: Sequence[MemberChange]
) -> tuple[set[str], set[str]]:
    """Apply the changes in order and return who came and who went; repeated ones change nothing.

    Raises ``InvalidValueException`` for a member who is no person of this connection.
    """
    before: set[str] = set()
    after: set[str] = set()
    if any(change.kind == "set" for change in changes):
        before = set(members_of(core, desk.tenant.id, [group_id])[group_id])
    else:
        named = {one for change in changes for one in change.ids}
        before = _present(core, desk.tenant.id, group_id, named)
    after = set(before)
    for change in changes:
        ids = set(change.ids)
        if change.kind == "remove":
            after -= ids
        else:
            after = ids if change.kind == "set" else after | ids
    came, went = after - before, before - after
    require_people(core, desk, came)
    _insert(core, desk.tenant.id, group_id, came)
    for part in _slices(went):
        core.execute(_REMOVE, {"tenant": desk.tenant.id, "of_group": group_id, "ids": part})
    return came, went


def require_people(core: Connection, desk: ScimDesk, ids: Collection[str]) -> None:
    """Refuse ids that are not people of this connection; raises ``InvalidValueException``.

    Without this: a provider could put people of another connection into its groups (C09).
    """
    known: set[str] = set()
    for part in _slices(ids):
        named = {"tenant": desk.tenant.id, "of_connection": desk.connection.id, "ids": part}
        known.update(core.execute(_KNOWN, named).scalars())
    if known != set(ids):
        raise InvalidValueException(
            detail="members: each must be the id of a person that this connection pushed"
        )


def members_of(core: Connection, tenant_id: str, group_ids: Collection[str]) -> dict[str, list[str]]:
    """Return the ids of the people in each group."""
    found: dict[str, list[str]] = {one: [] for one in group_ids}
    rows = core.execute(
        select(ScimMember.group_id, ScimMember.scim_user_id)
        .where(ScimMember.tenant_id == tenant_id, ScimMember.group_id.in_(list(group_ids)))
        .order_by(ScimMember.group_id, ScimMember.scim_user_id)
    )
    for group_id, user_id in rows:
        found[group_id].append(user_id)
    return found


def groups_of(core: Connection, tenant_id: str, user_ids: Collection[str]) -> dict[str, list[Any]]:
    """Return the rows (id, display_name, external_id) of the groups that each person is in, by name."""
    found: dict[str, list[Any]] = {one: [] for one in user_ids}
    for part in _slices(user_ids):
        pairs = core.execute(_PAIRS, {"tenant": tenant_id, "ids": part}).all()
        # Each group is read once, however many of these people are in it.
        people: dict[str, list[str]] = {}
        for group_id, user_id in pairs:
            people.setdefault(group_id, []).append(user_id)
        for row in _groups(core, tenant_id, people):
            for user_id in people[row.id]:
                found[user_id].append(row)
    return found


def _groups(core: Connection, tenant_id: str, ids: Collection[str]) -> list[Any]:
    """Return the rows of these groups in the order of their names."""
    rows: list[Any] = []
    for part in _slices(ids):
        rows += core.execute(_NAMES, {"tenant": tenant_id, "ids": part}).all()
    return sorted(rows, key=lambda row: row.display_key)


def tell_groups_of(core: Connection, desk: ScimDesk, user_ids: Collection[str]) -> None:
    """Tell the directory the groups that these people are in now: by name, and by id where there is one."""
    losses: list[Loss] = []
    for part in _slices(user_ids):
        found = groups_of(core, desk.tenant.id, part)
        named = {row.id: row for rows in found.values() for row in rows}
        facts = {group_id: _facts(row) for group_id, row in named.items()}
        told = {user_id: [fact for row in rows for fact in facts[row.id]] for user_id, rows in found.items()}
        bound = find_bound(core, desk.tenant.id, part)
        with ending_lost_roles(core, desk.rt, desk.tenant.id, bound.values(), desk.now) as watch:
            tell_groups(core, desk.tenant.id, desk.connection.id, told, bound, desk.now)
        losses += watch.losses
    desk.write_losses_down(core, losses)


def _facts(row: Any) -> list[dict[str, str]]:
    facts = [{"kind": "name", "value": row.display_name, "display": row.display_name}]
    if row.external_id:
        facts.append({"kind": "id", "value": row.external_id, "display": row.display_name})
    return facts


def _present(core: Connection, tenant_id: str, group_id: str, ids: Collection[str]) -> set[str]:
    found: set[str] = set()
    for part in _slices(ids):
        named = {"tenant": tenant_id, "of_group": group_id, "ids": part}
        found.update(core.execute(_PRESENT, named).scalars())
    return found


def _insert(core: Connection, tenant_id: str, group_id: str, ids: Collection[str]) -> None:
    # The group's row is locked and none of these is in it: no other push can have put them there.
    of_group = {"tenant_id": tenant_id, "group_id": group_id}
    if rows := [{**of_group, "scim_user_id": one} for one in sorted(ids)]:
        _INSERT.run_many(core, rows)


def _slices(ids: Collection[str]) -> Iterable[list[str]]:
    ordered = sorted(ids)
    return (ordered[first : first + _SLICE] for first in range(0, len(ordered), _SLICE))

"""Groups of one connection as rows; whoever comes or goes has other roles at the next mint."""

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Connection, Table, delete, insert, update

from broker.audit.events import AuditEvent
from broker.kernel.ids import new_id
from broker.kernel.prepared import Prepared
from broker.scim.desk import ScimDesk
from broker.scim.finding import Finder
from broker.scim.members import MemberChange, apply_changes, members_of, tell_groups_of
from broker.scim.models import ScimGroup, ScimMember
from broker.scim.rows import group_columns, group_of

_TABLE = cast(Table, ScimGroup.__table__)
_INSERT = Prepared(insert(_TABLE))
_FINDER = Finder(ScimGroup)


class GroupRows:
    """Groups of the desk's connection in one open transaction; a row is a copy that no session watches."""

    table = ScimGroup

    def __init__(self, core: Connection, desk: ScimDesk, model: Any) -> None:
        self.core = core
        self.desk = desk
        self.model = model

    def find(self, group_id: str) -> ScimGroup | None:
        """Return the row, locked until the transaction ends, or None; other connections' groups are None."""
        return _FINDER.find(self.core, self.desk, group_id)

    def resources(self, rows: Sequence[ScimGroup], *, with_links: bool) -> list[Any]:
        """Return the groups of these rows, with their members on request."""
        members: dict[str, list[str]] = {}
        if with_links and rows:
            members = members_of(self.core, self.desk.tenant.id, [row.id for row in rows])
        return [group_of(self.model, row, members.get(row.id, ())) for row in rows]

    def create(self, group: Any) -> ScimGroup:
        """Store a new group with its members."""
        columns = {
            "id": new_id("scg"),
            "tenant_id": self.desk.tenant.id,
            "connection_id": self.desk.connection.id,
            "version": 1,
            "created_at": self.desk.now,
            "changed_at": self.desk.now,
            **group_columns(group),
        }
        row, core = ScimGroup(**columns), self.core
        _INSERT.run(core, columns)
        came, _ = apply_changes(core, self.desk, row.id, [_exactly(group)])
        tell_groups_of(core, self.desk, came)
        self.desk.write_down(
            core, AuditEvent.SCIM_GROUP_CREATED, target_id=row.id, data={"member_count": len(came)}
        )
        return row

    def update(self, row: ScimGroup, group: Any) -> None:
        """Store a group's new state: its attributes and exactly these members."""
        self.change(row, group, [_exactly(group)])

    def change(self, row: ScimGroup, group: Any, changes: Sequence[MemberChange]) -> None:
        """Store a group's attributes and apply changes of its members; repeated ones change nothing."""
        columns = group_columns(group)
        changed = sorted(name for name, value in columns.items() if getattr(row, name) != value)
        core = self.core
        came, went = apply_changes(core, self.desk, row.id, changes) if changes else (set(), set())
        if not changed and not came and not went:
            return
        values = {name: columns[name] for name in changed}
        values |= {"version": row.version + 1, "changed_at": self.desk.now}
        core.execute(update(_TABLE).where(*self._is(row)).values(**values))
        for name, value in values.items():
            setattr(row, name, value)
        concerned = came | went
        if changed:
            concerned |= set(members_of(core, self.desk.tenant.id, [row.id])[row.id])
        tell_groups_of(core, self.desk, concerned)
        self.desk.write_down(
            core,
            AuditEvent.SCIM_GROUP_CHANGED,
            target_id=row.id,
            data={
                "fields": [name for name in changed if name != "display_key"],
                "added_count": len(came),
                "removed_count": len(went),
            },
        )

    def delete(self, row: ScimGroup) -> None:
        """Delete a group; the roles that followed from it are gone at its members' next mint."""
        core = self.core
        members = members_of(core, self.desk.tenant.id, [row.id])[row.id]
        core.execute(
            delete(ScimMember).where(
                ScimMember.tenant_id == self.desk.tenant.id, ScimMember.group_id == row.id
            )
        )
        core.execute(delete(_TABLE).where(*self._is(row)))
        tell_groups_of(core, self.desk, members)
        self.desk.write_down(
            core, AuditEvent.SCIM_GROUP_DELETED, target_id=row.id, data={"member_count": len(members)}
        )

    def _is(self, row: ScimGroup) -> tuple[Any, ...]:
        return _TABLE.c.tenant_id == self.desk.tenant.id, _TABLE.c.id == row.id


def _exactly(group: Any) -> MemberChange:
    return MemberChange("set", tuple(str(one.value) for one in group.members or ()))

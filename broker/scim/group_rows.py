"""Groups of one connection as rows; whoever comes or goes has other roles at the next mint."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from broker.audit.events import AuditEvent
from broker.kernel.ids import new_id
from broker.scim.desk import ScimDesk
from broker.scim.members import MemberChange, apply_changes, members_of, tell_groups_of
from broker.scim.models import ScimGroup, ScimMember
from broker.scim.rows import group_columns, group_of


class GroupRows:
    """Groups of the desk's connection in one open session."""

    table = ScimGroup

    def __init__(self, session: Session, desk: ScimDesk, model: Any) -> None:
        self.session = session
        self.desk = desk
        self.model = model

    def find(self, group_id: str) -> ScimGroup | None:
        """Return the row, locked in a writing session, or None; other connections' groups are None."""
        is_plain = len(group_id) <= 40 and group_id.isascii() and group_id.isprintable()
        return self.session.scalar(
            select(ScimGroup)
            .where(
                ScimGroup.tenant_id == self.desk.tenant.id,
                ScimGroup.connection_id == self.desk.connection.id,
                ScimGroup.id == (group_id if is_plain else ""),
            )
            .with_for_update()
        )

    def resources(self, rows: Sequence[ScimGroup], *, with_links: bool) -> list[Any]:
        """Return the groups of these rows, with their members on request."""
        members: dict[str, list[str]] = {}
        if with_links and rows:
            members = members_of(self.session.connection(), self.desk.tenant.id, [row.id for row in rows])
        return [group_of(self.model, row, members.get(row.id, ())) for row in rows]

    def create(self, group: Any) -> ScimGroup:
        """Store a new group with its members."""
        row = ScimGroup(
            id=new_id("scg"),
            tenant_id=self.desk.tenant.id,
            connection_id=self.desk.connection.id,
            version=1,
            created_at=self.desk.now,
            changed_at=self.desk.now,
            **group_columns(group),
        )
        self.session.add(row)
        self.session.flush()
        core = self.session.connection()
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
        for name in changed:
            setattr(row, name, columns[name])
        self.session.flush()
        core = self.session.connection()
        came, went = apply_changes(core, self.desk, row.id, changes) if changes else (set(), set())
        if not changed and not came and not went:
            return
        row.version += 1
        row.changed_at = self.desk.now
        self.session.flush()
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
        core = self.session.connection()
        members = members_of(core, self.desk.tenant.id, [row.id])[row.id]
        core.execute(
            delete(ScimMember).where(
                ScimMember.tenant_id == self.desk.tenant.id, ScimMember.group_id == row.id
            )
        )
        self.session.delete(row)
        self.session.flush()
        tell_groups_of(core, self.desk, members)
        self.desk.write_down(
            core, AuditEvent.SCIM_GROUP_DELETED, target_id=row.id, data={"member_count": len(members)}
        )


def _exactly(group: Any) -> MemberChange:
    return MemberChange("set", tuple(str(one.value) for one in group.members or ()))

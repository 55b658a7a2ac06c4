"""People of one connection as rows: read, stored, changed, deleted, each with what follows from it."""

from collections.abc import Sequence
from typing import Any, cast

from scim2_models import MutabilityException
from sqlalchemy import Connection, Table, delete, insert, update

from broker.audit.events import AuditEvent
from broker.kernel.ids import new_id
from broker.kernel.prepared import Prepared
from broker.scim import people
from broker.scim.desk import ScimDesk
from broker.scim.finding import Finder
from broker.scim.members import groups_of, tell_groups_of
from broker.scim.models import ScimEmail, ScimMember, ScimUser
from broker.scim.rows import email_columns, user_columns, user_of

_TABLE = cast(Table, ScimUser.__table__)
_EMAILS = cast(Table, ScimEmail.__table__)
_INSERT = Prepared(insert(_TABLE))
_INSERT_EMAIL = Prepared(insert(_EMAILS))
_FINDER = Finder(ScimUser)


class UserRows:
    """People of the desk's connection in one open transaction; a row is a copy that no session watches."""

    table = ScimUser

    def __init__(self, core: Connection, desk: ScimDesk, model: Any) -> None:
        self.core = core
        self.desk = desk
        self.model = model

    def find(self, user_id: str) -> ScimUser | None:
        """Return the row, locked until the transaction ends, or None; other connections' people are None."""
        return _FINDER.find(self.core, self.desk, user_id)

    def resources(self, rows: Sequence[ScimUser], *, with_links: bool) -> list[Any]:
        """Return the people of these rows, with their groups on request."""
        groups: dict[str, list[Any]] = {}
        if with_links and rows:
            groups = groups_of(self.core, self.desk.tenant.id, [row.id for row in rows])
        return [
            user_of(
                self.model,
                row,
                [{"value": one.id, "display": one.display_name} for one in groups.get(row.id, ())],
            )
            for row in rows
        ]

    def create(self, user: Any) -> ScimUser:
        """Store a new person and enter them into the directory."""
        columns = {
            "id": new_id("scu"),
            "tenant_id": self.desk.tenant.id,
            "connection_id": self.desk.connection.id,
            "version": 1,
            "created_at": self.desk.now,
            "changed_at": self.desk.now,
            **user_columns(user),
        }
        _INSERT.run(self.core, columns)
        self._insert_emails(columns["id"], user)
        people.welcome(self.core, self.desk, columns["id"], columns["external_id"], columns["active"])
        return ScimUser(**columns)

    def update(self, row: ScimUser, user: Any) -> None:
        """Store a person's new state; raises ``MutabilityException`` for another key of who is bound."""
        columns = user_columns(user, row)
        changed = sorted(name for name, value in columns.items() if getattr(row, name) != value)
        if not changed:
            return
        was_active, former_key = row.active, row.external_id
        core = self.core
        values = {name: columns[name] for name in changed}
        values |= {"version": row.version + 1, "changed_at": self.desk.now}
        core.execute(update(_TABLE).where(*self._is(row)).values(**values))
        for name, value in values.items():
            setattr(row, name, value)
        if "resource" in changed:
            self._delete_emails(row.id)
            self._insert_emails(row.id, user)
        if row.external_id != former_key and not people.rename_key(core, self.desk, row.id, row.external_id):
            raise MutabilityException(
                attribute="externalId", detail="externalId cannot change: this person is known by it"
            )
        if row.active != was_active:
            if row.active:
                people.switch_person_on(core, self.desk, row.id)
            else:
                people.switch_person_off(core, self.desk, row.id, "active_false")
        self.desk.write_down(
            core, AuditEvent.SCIM_PERSON_CHANGED, target_id=row.id, data={"fields": _words(changed)}
        )

    def delete(self, row: ScimUser) -> None:
        """Delete a person's record; what acted for them ends, and their key lets nobody in."""
        core = self.core
        people.forget_person(core, self.desk, row.id)
        owned = ScimMember.tenant_id == self.desk.tenant.id, ScimMember.scim_user_id == row.id
        if core.execute(delete(ScimMember).where(*owned)).rowcount:
            # Without this: who is pushed again under the same key would have the former groups at once.
            tell_groups_of(core, self.desk, [row.id])
        self._delete_emails(row.id)
        core.execute(delete(_TABLE).where(*self._is(row)))

    def _is(self, row: ScimUser) -> tuple[Any, ...]:
        return _TABLE.c.tenant_id == self.desk.tenant.id, _TABLE.c.id == row.id

    def _insert_emails(self, user_id: str, user: Any) -> None:
        owner = {"tenant_id": self.desk.tenant.id, "scim_user_id": user_id}
        if rows := [{**owner, **one} for one in email_columns(user)]:
            _INSERT_EMAIL.run_many(self.core, rows)

    def _delete_emails(self, user_id: str) -> None:
        self.core.execute(
            delete(_EMAILS).where(
                _EMAILS.c.tenant_id == self.desk.tenant.id, _EMAILS.c.scim_user_id == user_id
            )
        )


def _words(columns: Sequence[str]) -> list[str]:
    """Return changed columns as the administrator knows them, without those that only serve look-ups."""
    return [name for name in columns if not name.endswith("_key")]

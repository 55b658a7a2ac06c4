"""People of one connection as rows: read, stored, changed, deleted, each with what follows from it."""

from collections.abc import Sequence
from typing import Any

from scim2_models import MutabilityException
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from broker.audit.events import AuditEvent
from broker.kernel.ids import new_id
from broker.scim import people
from broker.scim.desk import ScimDesk
from broker.scim.members import groups_of, tell_groups_of
from broker.scim.models import ScimEmail, ScimMember, ScimUser
from broker.scim.rows import email_rows, user_columns, user_of


class UserRows:
    """People of the desk's connection in one open session."""

    table = ScimUser

    def __init__(self, session: Session, desk: ScimDesk, model: Any) -> None:
        self.session = session
        self.desk = desk
        self.model = model

    def find(self, user_id: str) -> ScimUser | None:
        """Return the row, locked in a writing session, or None; other connections' people are None."""
        return self.session.scalar(
            select(ScimUser)
            .where(
                ScimUser.tenant_id == self.desk.tenant.id,
                ScimUser.connection_id == self.desk.connection.id,
                ScimUser.id == _plain(user_id),
            )
            .with_for_update()
        )

    def resources(self, rows: Sequence[ScimUser], *, with_links: bool) -> list[Any]:
        """Return the people of these rows, with their groups on request."""
        groups: dict[str, list[Any]] = {}
        if with_links and rows:
            groups = groups_of(self.session.connection(), self.desk.tenant.id, [row.id for row in rows])
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
        columns = user_columns(user)
        row = ScimUser(
            id=new_id("scu"),
            tenant_id=self.desk.tenant.id,
            connection_id=self.desk.connection.id,
            version=1,
            created_at=self.desk.now,
            changed_at=self.desk.now,
            **columns,
        )
        self.session.add(row)
        self.session.flush()
        self._store_emails(row.id, user)
        people.welcome(
            self.session.connection(), self.desk, row.id, columns["external_id"], columns["active"]
        )
        return row

    def update(self, row: ScimUser, user: Any) -> None:
        """Store a person's new state; raises ``MutabilityException`` for another key of who is bound."""
        columns = user_columns(user, row)
        changed = sorted(name for name, value in columns.items() if getattr(row, name) != value)
        if not changed:
            return
        was_active, former_key = row.active, row.external_id
        core = self.session.connection()
        for name in changed:
            setattr(row, name, columns[name])
        row.version += 1
        row.changed_at = self.desk.now
        self.session.flush()
        if "resource" in changed:
            self._store_emails(row.id, user)
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
        core = self.session.connection()
        people.forget_person(core, self.desk, row.id)
        owned = ScimMember.tenant_id == self.desk.tenant.id, ScimMember.scim_user_id == row.id
        if core.execute(delete(ScimMember).where(*owned)).rowcount:
            # Without this: who is pushed again under the same key would have the former groups at once.
            tell_groups_of(core, self.desk, [row.id])
        self._store_emails(row.id, None)
        self.session.delete(row)
        self.session.flush()

    def _store_emails(self, user_id: str, user: Any | None) -> None:
        self.session.execute(
            delete(ScimEmail).where(
                ScimEmail.tenant_id == self.desk.tenant.id, ScimEmail.scim_user_id == user_id
            )
        )
        for email in email_rows(user) if user is not None else ():
            email.tenant_id, email.scim_user_id = self.desk.tenant.id, user_id
            self.session.add(email)
        self.session.flush()


def _plain(user_id: str) -> str:
    """Return the id if it could be one of ours, else an empty string, which is nobody's."""
    return user_id if len(user_id) <= 40 and user_id.isascii() and user_id.isprintable() else ""


def _words(columns: Sequence[str]) -> list[str]:
    """Return changed columns as the administrator knows them, without those that only serve look-ups."""
    return [name for name in columns if not name.endswith("_key")]

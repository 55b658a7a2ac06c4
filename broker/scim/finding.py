"""One pushed row by its id: of the desk's connection, and locked until the transaction ends."""

from typing import Generic, TypeVar, cast

from sqlalchemy import Connection, Table, bindparam, select

from broker.kernel.prepared import Prepared
from broker.scim.desk import ScimDesk
from broker.scim.models import ScimGroup, ScimUser
from broker.scim.spelling import is_plain_id

Row = TypeVar("Row", ScimUser, ScimGroup)


class Finder(Generic[Row]):
    """Finds rows of one table; what it returns is a copy that no session watches."""

    def __init__(self, model: type[Row]) -> None:
        table = cast(Table, model.__table__)
        self._model: type[Row] = model
        self._statement = Prepared(
            select(table)
            .where(
                table.c.tenant_id == bindparam("tenant"),
                table.c.connection_id == bindparam("of_connection"),
                table.c.id == bindparam("of_id"),
            )
            .with_for_update()
        )

    def find(self, core: Connection, desk: ScimDesk, row_id: str) -> Row | None:
        """Return the row, or None; the rows of other connections are None."""
        if not is_plain_id(row_id):
            return None
        wanted = {"tenant": desk.tenant.id, "of_connection": desk.connection.id, "of_id": row_id}
        return next((self._model(**row._asdict()) for row in self._statement.rows(core, wanted)), None)

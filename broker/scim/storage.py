"""Where the protocol's core reads and writes: rows of one connection of one tenant, in one transaction."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

from scim2_models import (
    NotFoundException,
    PreconditionFailedException,
    Resource,
    ResourceType,
    ResponseParameters,
    SearchRequest,
    UniquenessException,
)
from scim2_server.storage import ScimStorage, SearchPage
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from broker.scim.desk import ScimDesk
from broker.scim.group_rows import GroupRows
from broker.scim.members import MemberChange
from broker.scim.resources import PROVIDER
from broker.scim.rows import version_of
from broker.scim.scanning import scan_all, search_rows
from broker.scim.user_rows import UserRows

Rows = UserRows | GroupRows


class SqlStorage(ScimStorage):
    """The people and groups of the desk's connection; whatever follows from a change happens with it."""

    def __init__(self, desk: ScimDesk, *, writes: bool) -> None:
        self._desk = desk
        self._writes = writes
        self._core: Connection | None = None
        self._request: ExitStack | None = None

    @contextmanager
    def request(self) -> Iterator[None]:
        """Enclose a request and its answer: what an operation in it writes is committed when it is over."""
        with ExitStack() as self._request:
            try:
                yield
            finally:
                self._request = None

    @property
    def written(self) -> Connection | None:
        """The connection of the transaction that this request writes in; None before, and where it reads."""
        return self._core if self._writes else None

    @contextmanager
    def operation(self) -> Iterator[None]:
        """Enclose the protocol's work in one transaction, which commits unless an exception passes."""
        if self._request is None:
            with self._transaction(self._writes):
                yield
        else:
            self._request.enter_context(self._transaction(self._writes))
            yield

    def get(
        self,
        resource_type: ResourceType,
        resource_id: str,
        *,
        response_parameters: ResponseParameters[Any] | None = None,
    ) -> Resource[Any]:
        """Return a resource; in a request that writes, its row stays locked until the end."""
        with self._rows(resource_type) as rows:
            row = self._get(rows, resource_type, resource_id)
            return _only(rows.resources([row], with_links=_wants_links(response_parameters)))

    def get_without_members(self, resource_type: ResourceType, resource_id: str) -> Resource[Any]:
        """Return a group as if nobody were in it, at a cost that its size does not change."""
        with self._rows(resource_type) as rows:
            return _only(rows.resources([self._get(rows, resource_type, resource_id)], with_links=False))

    def search(
        self,
        resource_types: list[ResourceType],
        search_request: SearchRequest[Any],
        *,
        position: Any = None,
    ) -> SearchPage:
        """Return one page, at most ``MAX_RESULTS`` long where the request comes from outside."""
        with self._inside():
            kinds = [self._open(one) for one in resource_types]
            if len(kinds) == 1:
                return search_rows(kinds[0], search_request, with_links=_wants_links(search_request))
            return scan_all(kinds, search_request)

    def create(self, resource_type: ResourceType, resource: Resource[Any]) -> Resource[Any]:
        """Store a new resource; raises ``UniquenessException`` for a name or key that is taken."""
        with self._rows(resource_type, writes=True) as rows, _taken_is_told():
            row = rows.create(resource)
            # Nobody is born in a group, and a group without members needs no look either.
            return _only(rows.resources([row], with_links=bool(getattr(resource, "members", None))))

    def update(
        self, resource_type: ResourceType, resource: Resource[Any], *, expected_version: str | None = None
    ) -> Resource[Any]:
        """Store the whole new state of a resource."""
        with self._rows(resource_type, writes=True) as rows, _taken_is_told():
            row = self._get(rows, resource_type, str(resource.id), expected_version)
            rows.update(row, resource)
            return _only(rows.resources([row], with_links=True))

    def update_group(
        self,
        resource_type: ResourceType,
        group: Resource[Any],
        changes: Sequence[MemberChange],
        *,
        expected_version: str | None,
    ) -> Resource[Any]:
        """Store a group's attributes and change its members row by row; returns it without its members."""
        with self._rows(resource_type, writes=True) as rows, _taken_is_told():
            row = self._get(rows, resource_type, str(group.id), expected_version)
            if isinstance(rows, GroupRows):
                rows.change(row, group, changes)
            return _only(rows.resources([row], with_links=False))

    def delete(
        self, resource_type: ResourceType, resource_id: str, *, expected_version: str | None = None
    ) -> None:
        """Delete a resource and what followed from it."""
        with self._rows(resource_type, writes=True) as rows:
            rows.delete(self._get(rows, resource_type, resource_id, expected_version))

    @contextmanager
    def _rows(self, resource_type: ResourceType, *, writes: bool = False) -> Iterator[Any]:
        with self._inside(writes=writes):
            yield self._open(resource_type)

    @contextmanager
    def _inside(self, *, writes: bool = False) -> Iterator[None]:
        # Outside of a request, as the core's own contract tests call: a transaction of its own.
        with nullcontext() if self._core is not None else self._transaction(writes):
            yield

    def _open(self, resource_type: ResourceType) -> Rows:
        if self._core is None:
            raise RuntimeError("rows are read and written in a transaction")
        kind = GroupRows if resource_type.name == "Group" else UserRows
        return kind(self._core, self._desk, PROVIDER.model_for(resource_type))

    @contextmanager
    def _transaction(self, writes: bool) -> Iterator[None]:
        database = self._desk.rt.database
        with database.core_write() if writes else database.core_read() as core:
            if not writes:
                # Without this: a page and its total could be of two states of the directory.
                core.begin()
            self._core = core
            try:
                yield
            finally:
                self._core = None

    def _get(
        self, rows: Rows, resource_type: ResourceType, resource_id: str, version: str | None = None
    ) -> Any:
        row = rows.find(resource_id)
        if row is None:
            raise NotFoundException(detail=f"{resource_type.name} not found")
        if version is not None and version != version_of(row):
            raise PreconditionFailedException()
        return row


@contextmanager
def _taken_is_told() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        # The unique rules decide, so that of two requests at once one is told and none is stored twice.
        raise UniquenessException(detail="userName, displayName or externalId is taken") from None


def _only(resources: list[Resource[Any]]) -> Resource[Any]:
    return resources[0]


def _wants_links(parameters: ResponseParameters[Any] | None) -> bool:
    """Whether an answer shows members and groups; Entra asks without, because a group may be large."""
    if parameters is None:
        return True
    named = [str(one).lower() for one in parameters.attributes or ()]
    left_out = {str(one).lower() for one in parameters.excluded_attributes or ()}
    if named:
        return any(one.rpartition(":")[2].partition(".")[0] in {"members", "groups"} for one in named)
    return not left_out & {"members", "groups"}

"""One page of a search: by index where there is one, else over a bounded number of rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scim2_models import SearchRequest, TooManyException
from scim2_server.storage import SearchPage
from sqlalchemy import Select, func, select

from broker.scim.searching import MAX_SCAN, push_down

if TYPE_CHECKING:
    from broker.scim.group_rows import GroupRows
    from broker.scim.user_rows import UserRows


def search_rows(
    rows: "UserRows | GroupRows", search_request: SearchRequest[Any], *, with_links: bool
) -> SearchPage:
    """Return the page, in the order in which things were pushed unless another is asked for.

    Raises ``TooManyException`` for a filter or order without an index over more than ``MAX_SCAN`` rows.
    Without this: one request could have the whole directory read and parsed, again and again.
    """
    pushed = push_down(search_request.filter, rows.desk.tenant.id, rows.table)
    if pushed.is_exact and search_request.sort_by is None:
        return _page(rows, _found(rows, search_request), search_request, with_links=with_links)
    return scan_all([rows], search_request)


def _page(
    rows: "UserRows | GroupRows", found: Select[Any], search_request: SearchRequest[Any], *, with_links: bool
) -> SearchPage:
    table: Any = rows.table
    total = rows.core.execute(select(func.count()).select_from(found.subquery())).scalar() or 0
    page = (
        found.order_by(table.created_at, table.id)
        .offset(search_request.start_index_0 or 0)
        .limit(search_request.count)
    )
    return SearchPage(total, rows.resources(_read(rows, page), with_links=with_links))


def scan_all(kinds: Sequence["UserRows | GroupRows"], search_request: SearchRequest[Any]) -> SearchPage:
    """Return the page of a search over people and groups together; raises ``TooManyException``."""
    resources: list[Any] = []
    for rows in kinds:
        resources += _candidates(rows, search_request, MAX_SCAN - len(resources))
    if search_request.filter is not None:
        resources = [one for one in resources if search_request.filter.match(one)]
    resources = search_request.sort(resources)
    first = search_request.start_index_0 or 0
    last = None if search_request.count is None else first + search_request.count
    return SearchPage(len(resources), resources[first:last])


def _candidates(rows: "UserRows | GroupRows", search_request: SearchRequest[Any], room: int) -> list[Any]:
    table: Any = rows.table
    found = _found(rows, search_request)
    candidates = _read(rows, found.order_by(table.created_at, table.id).limit(room + 1))
    if len(candidates) > room:
        raise TooManyException(
            detail="Filter by userName, externalId, displayName, emails or id, without sortBy."
        )
    return rows.resources(candidates, with_links=True)


def _read(rows: "UserRows | GroupRows", found: Select[Any]) -> Sequence[Any]:
    return rows.core.execute(found).all()


def _found(rows: "UserRows | GroupRows", search_request: SearchRequest[Any]) -> Select[Any]:
    table: Any = rows.table
    pushed = push_down(search_request.filter, rows.desk.tenant.id, table)
    found = select(table.__table__).where(
        table.tenant_id == rows.desk.tenant.id, table.connection_id == rows.desk.connection.id
    )
    return found if pushed.condition is None else found.where(pushed.condition)

"""A person's groups as facts: cut to size, marked for what they are, stored with time and source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from sqlalchemy import Connection, Table, select, update

from broker.directory.models import GroupSnapshot
from broker.kernel.prepared import Prepared
from idp_connectors.base import Group

MAX_FACTS = 15_000
"""5,000 groups, each by up to three sorts of name (id, name, DN). More are cut and marked truncated.

Without this: one person in endless groups fills the database.
"""

RETRY_SECONDS = 300
"""A source that failed is asked again after this long."""

_SCHEDULE = frozenset({"lookup_key", "refresh_at"})
_SNAPSHOTS = cast(Table, GroupSnapshot.__table__)
_MAX_GROUP_CHARS = 1_000
_MAX_PROBLEM_CHARS = 300


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Whom a source is to be asked about between sign-ins, and after how many seconds; 0 is never."""

    key: str
    seconds: int

    def at(self, state: str, now: int) -> int | None:
        """Return when to ask again after an answer in ``state`` at ``now`` (epoch seconds)."""
        if not self.seconds:
            return None
        return now + (min(self.seconds, RETRY_SECONDS) if state == "error" else self.seconds)


@dataclass(frozen=True, slots=True)
class ToldGroups:
    """A person's groups as one source told them at ``fetched_at`` (epoch seconds).

    ``lookup_key`` is whom the source is to be asked about again, at ``refresh_at`` if that is not None.
    """

    groups: Sequence[Mapping[str, str]]
    state: str
    source: str
    fetched_at: int
    problem: str = ""
    lookup_key: str | None = None
    refresh_at: int | None = None

    @property
    def is_failure(self) -> bool:
        """Whether nothing was learned: who could not be asked says why, a message that was read does not."""
        return self.state == "error" and self.problem != ""

    def columns(self) -> dict[str, Any]:
        """Return what a snapshot that exists is set to; who could not be asked leaves the answer before.

        A list that came but could not be read is an answer: it counts as far as it can be read.
        """
        found: dict[str, Any] = {
            "state": self.state,
            "problem": self.problem,
            "lookup_key": self.lookup_key,
            "refresh_at": self.refresh_at,
        }
        # Without this: an hour without the directory would read as if nobody were in any group.
        if self.is_failure:
            return found
        found |= {"groups": list(self.groups), "source": self.source, "fetched_at": self.fetched_at}
        if self.state == "complete":
            found |= {"complete_groups": found["groups"], "complete_at": self.fetched_at}
        return found


@dataclass(frozen=True, slots=True)
class GroupChange:
    """What a later answer changed: the state before it, and how many groups came and went."""

    state_before: str
    came: int
    went: int


def tell(
    groups: Sequence[Group],
    state: str,
    source: str,
    now: int,
    *,
    problem: str = "",
    again: AskAgain | None = None,
) -> ToldGroups:
    """Return what a source said at ``now``, fit to be stored: too long names and too many are "truncated"."""
    kept = [
        {"kind": group.kind, "value": group.value, "display": group.display}
        for group in groups
        if len(group.value) + len(group.display) <= _MAX_GROUP_CHARS
    ]
    was_cut = len(kept) < len(groups) or len(kept) > MAX_FACTS
    fits = again is not None and 0 < len(again.key) <= 500
    return ToldGroups(
        groups=kept[:MAX_FACTS],
        state="truncated" if was_cut and state == "complete" else state,
        source=source[:32],
        fetched_at=now,
        problem="".join(char for char in problem if char.isprintable())[:_MAX_PROBLEM_CHARS],
        lookup_key=again.key if again is not None and fits else None,
        refresh_at=again.at(state, now) if again is not None and fits else None,
    )


def tell_again(
    core: Connection, tenant_id: str, connection_id: str, user_id: str, told: ToldGroups, *, before: int
) -> bool:
    """Store an answer that nobody asked for, if the snapshot is older than ``before``; returns whether.

    When the source is asked next stays as it was. Without the comparison: a walk through a directory that
    took an hour would overwrite what the person's sign-in told meanwhile.
    """
    values = {name: value for name, value in told.columns().items() if name not in _SCHEDULE}
    changed = core.execute(
        update(GroupSnapshot)
        .where(
            GroupSnapshot.tenant_id == tenant_id,
            GroupSnapshot.user_id == user_id,
            GroupSnapshot.connection_id == connection_id,
            GroupSnapshot.fetched_at < before,
        )
        .values(**values)
    )
    return changed.rowcount == 1


def store_groups(
    core: Connection, tenant_id: str, connection_id: str, user_id: str, told: ToldGroups
) -> None:
    """Store what one connection told of a user's groups; the last complete answer is kept beside it."""
    store_many(core, tenant_id, connection_id, {user_id: told})


def store_many(core: Connection, tenant_id: str, connection_id: str, told: Mapping[str, ToldGroups]) -> None:
    """Store what one connection told of many users' groups, with one statement for each kind of answer."""
    kinds: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for user_id, one in told.items():
        values = one.columns()
        first = {
            "groups": list(one.groups),
            "source": one.source,
            "fetched_at": one.fetched_at,
            "complete_groups": [],
            "complete_at": None,
        }
        owner = {"tenant_id": tenant_id, "user_id": user_id, "connection_id": connection_id}
        kinds.setdefault(tuple(values), []).append({**owner, **first, **values})
    for names, rows in kinds.items():
        _storing(frozenset(names)).run_many(core, rows)


@cache
def _storing(changes: frozenset[str]) -> Prepared:
    """Return the INSERT of a snapshot that sets only ``changes`` where there is one already."""

    def write(insert: Any) -> Any:
        statement = insert(_SNAPSHOTS)
        return statement.on_conflict_do_update(
            index_elements=["tenant_id", "user_id", "connection_id"],
            set_={name: statement.excluded[name] for name in sorted(changes)},
        )

    return Prepared(write)


def replace_groups(
    core: Connection, tenant_id: str, connection_id: str, user_id: str, told: ToldGroups, *, seen_at: int
) -> GroupChange | None:
    """Store a later answer and return what it changed; None if another came first and stands.

    It counts only while the refresh that was due at ``seen_at`` still is. Without this: an answer that was
    long under way would overwrite what a sign-in or a push told meanwhile.
    """
    this = (
        (GroupSnapshot.tenant_id == tenant_id)
        & (GroupSnapshot.user_id == user_id)
        & (GroupSnapshot.connection_id == connection_id)
        & (GroupSnapshot.refresh_at == seen_at)
    )
    before = core.execute(select(GroupSnapshot.state, GroupSnapshot.groups).where(this)).first()
    if (
        before is None
        or core.execute(update(GroupSnapshot).where(this).values(**told.columns())).rowcount != 1
    ):
        return None
    had = _names(before.groups)
    has = had if told.is_failure else _names(told.groups)
    return GroupChange(before.state, came=len(has - had), went=len(had - has))


def put_off(
    core: Connection, tenant_id: str, connection_id: str, user_id: str, *, seen_at: int, until: int | None
) -> None:
    """Have a refresh that was due at ``seen_at`` come later, or never if ``until`` is None."""
    core.execute(
        update(GroupSnapshot)
        .where(
            GroupSnapshot.tenant_id == tenant_id,
            GroupSnapshot.user_id == user_id,
            GroupSnapshot.connection_id == connection_id,
            GroupSnapshot.refresh_at == seen_at,
        )
        .values(refresh_at=until)
    )


def _names(groups: Sequence[Mapping[str, str]]) -> set[tuple[str, str]]:
    return {(group["kind"], group["value"]) for group in groups}

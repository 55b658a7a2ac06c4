"""What a rule would change before it is saved: who gains a role and who loses one, counted on real people."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from broker.admin.changes import Desk, bad_form, not_found
from broker.directory.models import GroupMapping, GroupSnapshot, Role, User
from broker.directory.registry import check_mapping, spell_pattern
from broker.directory.roles import facts_of, load_roles, roles_told
from broker.policy.roles import GroupFact, MappingRule, is_match

MAX_PEOPLE = 20_000
MAX_GROUPS = 400_000
"""How much one trial reads: the people whose groups came last, until they bring so many groups in all."""

MAX_NAMED = 20
_SLICE = 500


@dataclass(frozen=True, slots=True)
class Trial:
    """Who would gain and who would lose; ``people_read`` of ``people_total`` were looked at."""

    gains: int
    losses: int
    gaining: tuple[dict[str, str], ...]
    losing: tuple[dict[str, str], ...]
    people_read: int
    people_total: int

    @property
    def is_cut(self) -> bool:
        """Whether there are more people than one trial looks at."""
        return self.people_read < self.people_total


@dataclass(frozen=True, slots=True)
class RuleForm:
    """The fields of the rule page as they were sent or prefilled; ``rule_id`` names the rule to change."""

    rule_id: str
    connection_id: str
    kind: str
    match: str
    pattern: str
    role: str

    @property
    def as_rule(self) -> MappingRule:
        """The rule that the form describes."""
        return MappingRule(self.connection_id, self.kind, self.match, self.pattern, self.role)


def rule_context(desk: Desk, given: Mapping[str, str], wanted: str) -> dict[str, Any]:
    """Return the context of ``admin/rule.html``; ``wanted`` is "save", "remove" or "" for no trial yet.

    Raises ``Refusal``: ``not_found`` for an unknown rule, ``bad_form`` and ``bad_configuration`` for a rule
    that could not be saved.
    """
    with desk.rt.database.read(desk.tenant.id) as session:
        row = _find_row(session, desk, given.get("rule_id", ""))
        names = session.scalars(select(Role.name).where(Role.tenant_id == desk.tenant.id)).all()
        form, old = _form(row, given), None if row is None else _rule(row)
        trial = None
        if wanted in ("save", "remove"):
            new = None if wanted == "remove" else _checked(desk, form, names)
            trial = _try(session, desk, old, new)
    return {
        "form": form,
        "old": old,
        "wanted": wanted if trial is not None else "",
        "trial": trial,
        "roles": sorted(names),
        "connections": sorted(
            ({"connection_id": one.id, "name": one.name} for one in desk.tenant.connections.values()),
            key=lambda one: one["name"].casefold(),
        ),
    }


def _find_row(session: Session, desk: Desk, rule_id: str) -> GroupMapping | None:
    if not rule_id:
        return None
    row = session.scalar(
        select(GroupMapping).where(GroupMapping.tenant_id == desk.tenant.id, GroupMapping.id == rule_id)
    )
    if row is None:
        raise not_found("mapping")
    return row


def _form(row: GroupMapping | None, given: Mapping[str, str]) -> RuleForm:
    first = {"kind": "name", "match": "exact"}
    if row is not None:
        first = {
            "connection_id": row.connection_id,
            "kind": row.kind,
            "match": row.match,
            "pattern": row.pattern,
            "role": row.role,
        }
    names = ("connection_id", "kind", "match", "pattern", "role")
    fields = {name: given.get(name, first.get(name, ""))[:500].strip() for name in names}
    fields["pattern"] = spell_pattern(fields["kind"], fields["pattern"])
    return RuleForm(rule_id=row.id if row is not None else "", **fields)


def _rule(row: GroupMapping) -> MappingRule:
    return MappingRule(row.connection_id, row.kind, row.match, row.pattern, row.role)


def _checked(desk: Desk, form: RuleForm, roles: Sequence[str]) -> MappingRule:
    if form.connection_id not in desk.tenant.connections:
        raise bad_form("Choose one of this tenant's connections.")
    if form.role not in roles:
        raise bad_form("Choose a role that exists.")
    check_mapping(form.kind, form.match, form.pattern, form.role)
    return form.as_rule


def _try(session: Session, desk: Desk, old: MappingRule | None, new: MappingRule | None) -> Trial:
    """Compare the roles of people before and after, by the rules of the roles in question alone."""
    touched = {one.role for one in (old, new) if one is not None}
    connections = {one.connection_id for one in (old, new) if one is not None}
    before = tuple(rule for rule in load_roles(desk.rt, desk.tenant.id).rules if rule.role in touched)
    after = tuple(rule for rule in before if rule != old)
    if new is not None and new not in after:
        after = (*after, new)
    changed, read = _changed_people(session, desk, connections, before, after)
    gaining, losing = _compare(session, desk, changed, before, after)
    return Trial(
        gains=len(gaining),
        losses=len(losing),
        gaining=_named(session, desk, gaining),
        losing=_named(session, desk, losing),
        people_read=read,
        people_total=_total(session, desk, connections),
    )


def _changed_people(
    session: Session,
    desk: Desk,
    connections: set[str],
    before: Sequence[MappingRule],
    after: Sequence[MappingRule],
) -> tuple[list[str], int]:
    """Return who has other roles by one of the connections afterwards, and how many people were read."""
    changed: dict[str, None] = {}
    seen: set[str] = set()
    groups_read = 0
    speaks = _Speaking({*before, *after})
    for row in _snapshots(session, desk, connections):
        seen.add(row.user_id)
        groups_read += len(row.groups)
        if speaks.of(row) and roles_told(row, before, desk.now) != roles_told(row, after, desk.now):
            changed[row.user_id] = None
        if groups_read > MAX_GROUPS:
            break
    return list(changed), len(seen)


class _Speaking:
    """Remembers which groups any rule in question names, so that most people cost one look-up a group."""

    def __init__(self, rules: set[MappingRule]) -> None:
        self._rules = rules
        self._known: dict[GroupFact, bool] = {}

    def of(self, row: Any) -> bool:
        """Whether a rule names one of the person's groups."""
        return any(self._is_named(fact) for fact in facts_of(row.connection_id, row.groups))

    def _is_named(self, fact: GroupFact) -> bool:
        found = self._known.get(fact)
        if found is None:
            found = self._known[fact] = any(is_match(rule, fact) for rule in self._rules)
        return found


def _snapshots(session: Session, desk: Desk, connections: set[str]) -> Iterator[Any]:
    """Yield what the active ones of these connections told of active people, the newest first."""
    active = [one for one in connections if _is_on(desk, one)]
    rows = session.execute(
        select(
            GroupSnapshot.user_id,
            GroupSnapshot.connection_id,
            GroupSnapshot.groups,
            GroupSnapshot.state,
            GroupSnapshot.complete_groups,
            GroupSnapshot.complete_at,
        )
        .join(User, (User.id == GroupSnapshot.user_id) & (User.tenant_id == desk.tenant.id))
        .where(
            GroupSnapshot.tenant_id == desk.tenant.id,
            GroupSnapshot.connection_id.in_(active),
            User.state == "active",
        )
        .order_by(GroupSnapshot.fetched_at.desc(), GroupSnapshot.user_id)
        .limit(MAX_PEOPLE)
        .execution_options(yield_per=_SLICE)
    )
    # Closed even when the reader stops early: the database holds a cursor open for it.
    with closing(rows):
        yield from rows


def _compare(
    session: Session,
    desk: Desk,
    user_ids: Sequence[str],
    before: Sequence[MappingRule],
    after: Sequence[MappingRule],
) -> tuple[list[str], list[str]]:
    """Return who gains and who loses a role, when what every connection told of them is taken together."""
    gaining: list[str] = []
    losing: list[str] = []
    for first in range(0, len(user_ids), _SLICE):
        part = user_ids[first : first + _SLICE]
        held: dict[str, tuple[set[str], set[str]]] = {one: (set(), set()) for one in part}
        rows = session.scalars(
            select(GroupSnapshot).where(
                GroupSnapshot.tenant_id == desk.tenant.id, GroupSnapshot.user_id.in_(part)
            )
        )
        for row in rows:
            if _is_on(desk, row.connection_id):
                held[row.user_id][0].update(roles_told(row, before, desk.now))
                held[row.user_id][1].update(roles_told(row, after, desk.now))
        gaining += [one for one in part if held[one][1] - held[one][0]]
        losing += [one for one in part if held[one][0] - held[one][1]]
        session.expunge_all()
    return gaining, losing


def _is_on(desk: Desk, connection_id: str) -> bool:
    connection = desk.tenant.connections.get(connection_id)
    return connection is not None and connection.is_active


def _total(session: Session, desk: Desk, connections: set[str]) -> int:
    active = [one for one in connections if _is_on(desk, one)]
    return (
        session.scalar(
            select(func.count(GroupSnapshot.user_id.distinct()))
            .join(User, (User.id == GroupSnapshot.user_id) & (User.tenant_id == desk.tenant.id))
            .where(
                GroupSnapshot.tenant_id == desk.tenant.id,
                GroupSnapshot.connection_id.in_(active),
                User.state == "active",
            )
        )
        or 0
    )


def _named(session: Session, desk: Desk, user_ids: Sequence[str]) -> tuple[dict[str, str], ...]:
    rows = session.execute(
        select(User.id, User.display_name)
        .where(User.tenant_id == desk.tenant.id, User.id.in_(user_ids[:MAX_NAMED]))
        .order_by(User.display_name, User.id)
    )
    return tuple({"user_id": row.id, "name": row.display_name} for row in rows)

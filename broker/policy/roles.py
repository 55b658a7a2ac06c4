"""Which roles a person's groups give now: a table of plain comparisons, no expressions (A09, A11)."""

from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import NamedTuple

_NOTHING: frozenset[str] = frozenset()


class GroupFact(NamedTuple):
    """One group that one connection said a person is in; a tuple, because people bring thousands of them.

    `kind` says what sort of name `value` is: "name", "id", "email", "dn" or "path".
    """

    connection_id: str
    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class MappingRule:
    """Gives `role` to the members of a group of one connection.

    `kind` is a kind of `GroupFact`, always named; `match` is "exact", "prefix" or "glob".
    """

    connection_id: str
    kind: str
    match: str
    pattern: str
    role: str


def roles_of(
    facts: Iterable[GroupFact],
    rules: Iterable[MappingRule],
    *,
    complete: bool,
    previous: frozenset[str] = frozenset(),
) -> frozenset[str]:
    """Return the roles that `rules` give for `facts`; comparison is byte for byte, case included.

    `complete` is False when the directory's answer was truncated, over its limit, absent or failed: then a
    person keeps at most what `previous` (the roles of the last complete answer) already held.
    """
    # By connection and kind first: a person in 1,500 groups is looked at whenever a token is made.
    told: dict[tuple[str, str], set[str]] = {}
    for fact in facts:
        told.setdefault((fact.connection_id, fact.kind), set()).add(fact.value)
    roles = frozenset(
        rule.role for rule in rules if _speaks_of(rule, told.get((rule.connection_id, rule.kind), _NOTHING))
    )
    # Without this: a group list cut short by the IdP still opens doors that were never seen whole (A09).
    return roles if complete else roles & previous


def is_match(rule: MappingRule, fact: GroupFact) -> bool:
    """Say whether `rule` speaks about `fact`; an unknown kind of match and an empty pattern match nothing."""
    # Without this: a group of one connection that is named like a group of another takes its roles (A09).
    if rule.connection_id != fact.connection_id:
        return False
    # Without this: a display name that looks like another group's id takes its roles (A09).
    if rule.kind != fact.kind:
        return False
    return _speaks_of(rule, {fact.value})


def _speaks_of(rule: MappingRule, values: Set[str]) -> bool:
    """Say whether a rule matches one of `values`, names of its own connection and kind."""
    # Without this: an empty prefix, or one wildcard too few in a form, gives the role to everybody.
    if not rule.pattern:
        return False
    if rule.match == "exact":
        return rule.pattern in values
    if rule.match == "prefix":
        return any(value.startswith(rule.pattern) for value in values)
    return rule.match == "glob" and any(is_glob_match(rule.pattern, value) for value in values)


def is_glob_match(pattern: str, value: str) -> bool:
    """Say whether `value` matches `pattern`, in which `*` stands for any run and nothing else is special.

    Written out rather than turned into a regular expression, so that no pattern can take exponential time.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return value == pattern
    if not value.startswith(first):
        return False
    position = len(first)
    *middle, last = rest
    for part in middle:
        found = value.find(part, position)
        if found < 0:
            return False
        position = found + len(part)
    return len(value) - position >= len(last) and value.endswith(last)

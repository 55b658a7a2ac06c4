"""Which roles a person's groups give now: a table of plain comparisons, no expressions (A09, A11)."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GroupFact:
    """One group that one connection said a person is in.

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
    known = frozenset(facts)
    roles = frozenset(rule.role for rule in rules if any(is_match(rule, fact) for fact in known))
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
    # Without this: an empty prefix, or one wildcard too few in a form, gives the role to everybody.
    if not rule.pattern:
        return False
    if rule.match == "exact":
        return fact.value == rule.pattern
    if rule.match == "prefix":
        return fact.value.startswith(rule.pattern)
    return rule.match == "glob" and is_glob_match(rule.pattern, fact.value)


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

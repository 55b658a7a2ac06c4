"""Roles come from groups by plain comparison; what is not known whole gives nothing new (A09, A10)."""

from itertools import permutations

import pytest

from broker.policy.roles import GroupFact, MappingRule, is_glob_match, roles_of

OKTA, ENTRA = "con_okta", "con_entra"
SUPPORT = GroupFact(OKTA, "id", "00g1support")


def rule(match: str, pattern: str, *, role: str = "support", kind: str = "id", at: str = OKTA) -> MappingRule:
    return MappingRule(at, kind, match, pattern, role)


@pytest.mark.parametrize(
    ("fact", "mapping", "holds"),
    [
        pytest.param(SUPPORT, rule("exact", "00g1support"), True, id="exact"),
        pytest.param(SUPPORT, rule("exact", "00G1SUPPORT"), False, id="A09-case"),
        pytest.param(SUPPORT, rule("exact", "00g1"), False, id="A09-exact-is-not-prefix"),
        pytest.param(SUPPORT, rule("exact", "*"), False, id="A09-exact-is-not-glob"),
        pytest.param(SUPPORT, rule("prefix", "00g1"), True, id="prefix"),
        pytest.param(SUPPORT, rule("prefix", "0g1"), False, id="A09-prefix-is-not-substring"),
        pytest.param(SUPPORT, rule("prefix", ""), False, id="A09-empty-prefix"),
        pytest.param(SUPPORT, rule("glob", ""), False, id="A09-empty-glob"),
        pytest.param(GroupFact(OKTA, "id", ""), rule("exact", ""), False, id="A09-empty-group"),
        pytest.param(SUPPORT, rule("glob", "00g*support"), True, id="glob"),
        pytest.param(SUPPORT, rule("regex", ".*"), False, id="A09-unknown-match"),
        pytest.param(SUPPORT, rule("glob", "00g.support"), False, id="A09-glob-is-not-regex"),
        pytest.param(SUPPORT, rule("exact", "00g1support", kind="any"), False, id="A09-kind-not-named"),
        pytest.param(SUPPORT, rule("exact", "00g1support", kind="name"), False, id="A09-other-kind"),
        pytest.param(
            GroupFact(OKTA, "name", "00g1support"), rule("exact", "00g1support"), False, id="A09-name-as-id"
        ),
        pytest.param(
            GroupFact(ENTRA, "id", "00g1support"),
            rule("exact", "00g1support"),
            False,
            id="A09-other-connection",
        ),
        pytest.param(
            GroupFact(OKTA, "id", "*"), rule("exact", "00g1support"), False, id="A09-wildcard-in-group"
        ),
        pytest.param(
            GroupFact(OKTA, "name", "support"), rule("exact", "00g1support"), False, id="A09-named-like-role"
        ),
        pytest.param(
            GroupFact(OKTA, "name", "Team / Support"),
            rule("exact", "Support", kind="name"),
            False,
            id="A09-nested",
        ),
    ],
)
def test_a_rule_gives_its_role_only_to_the_group_it_names(
    fact: GroupFact, mapping: MappingRule, holds: bool
) -> None:
    assert roles_of([fact], [mapping], complete=True) == (frozenset({"support"}) if holds else frozenset())


@pytest.mark.parametrize(
    ("pattern", "value", "matches"),
    [
        ("*", "", True),
        ("*", "anything", True),
        ("a*b", "ab", True),
        ("a*b", "a", False),
        ("ab*ba", "aba", False),
        ("a*b*c", "a-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("a*b*c", "a-c", False),
        ("a*", "ba", False),
        ("*a", "ab", False),
        ("a**b", "a-b", True),
        ("plain", "plain", True),
        ("plain", "plain ", False),
        ("a?", "ab", False),
        ("[ab]", "a", False),
        ("*b*", "abc", True),
        ("*aab", "aaab", True),
    ],
)
def test_only_the_star_is_special_in_a_glob(pattern: str, value: str, matches: bool) -> None:
    assert is_glob_match(pattern, value) is matches


def test_a_glob_of_many_stars_does_not_explode() -> None:
    assert not is_glob_match("*a" * 2_000 + "b", "a" * 20_000)
    assert is_glob_match("*a" * 2_000, "a" * 20_000)


def test_the_order_of_rules_and_groups_does_not_matter() -> None:
    facts = [SUPPORT, GroupFact(OKTA, "name", "Admins"), GroupFact(ENTRA, "id", "77")]
    rules = [
        rule("exact", "00g1support"),
        rule("exact", "Admins", role="admin", kind="name"),
        rule("prefix", "7", role="auditor", at=ENTRA),
    ]
    results = {roles_of(f, r, complete=True) for f in permutations(facts) for r in permutations(rules)}
    assert results == {frozenset({"support", "admin", "auditor"})}


class TestIncompleteGroups:
    """A09: 200 groups and more arrive as an overage; what is missing may not be guessed."""

    rules = (rule("exact", "00g1support"), rule("exact", "00g2", role="admin"))
    facts = (SUPPORT, GroupFact(OKTA, "id", "00g2"))

    def test_give_nothing_to_a_person_who_had_nothing(self) -> None:
        assert roles_of(self.facts, self.rules, complete=False) == frozenset()

    def test_keep_what_was_held_and_is_still_named(self) -> None:
        previous = frozenset({"support", "billing"})
        assert roles_of(self.facts, self.rules, complete=False, previous=previous) == {"support"}

    def test_complete_twin_gives_all_and_ignores_what_was_held(self) -> None:
        previous = frozenset({"billing"})
        assert roles_of(self.facts, self.rules, complete=True, previous=previous) == {"support", "admin"}

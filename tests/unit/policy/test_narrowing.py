"""The narrowing rule, case by case (protocols §6.2; A05, A07, A10, A28, A31, A32)."""

from dataclasses import replace
from typing import Any

import pytest

from broker.policy.narrowing import narrow
from broker.policy.values import (
    Actor,
    Ceiling,
    Delegated,
    Denial,
    Dropped,
    Parent,
    ResourceView,
    TenantLimits,
    Wish,
)

NOW = 1_800_000_000
ISSUER = "https://broker.example/t/acme"
TICKETS, PAYROLL = "https://mcp.tickets.example/mcp", "https://payroll.example"
A, B = Actor(ISSUER, "agt_a"), Actor(ISSUER, "agt_b")
READ, CREATE, CLOSE = "tickets:read", "tickets:create", "tickets:close"
ALL = frozenset({READ, CREATE, CLOSE})
ROLES = frozenset({"support", "lead"})

CONSENT = Parent(
    scopes=ALL,
    roles=ROLES,
    resources=frozenset({TICKETS}),
    expires_at=NOW + 36_000,
    depth=0,
    chain=(),
    delegable=True,
    delegable_to=frozenset({"agt_a"}),
    source="consent",
)
CEILING = Ceiling(ALL, ROLES, frozenset({TICKETS, PAYROLL}), ttl_seconds=600, max_depth=4)
RESOURCE = ResourceView(TICKETS, ALL, ROLES, ttl_seconds=3_600, max_depth=4)
TENANT = TenantLimits(max_depth=4, ttl_seconds=600, deep_ttl_seconds=300)


def ask(**overrides: Any) -> Delegated | Denial:
    facts: dict[str, Any] = {
        "parent": CONSENT,
        "actor": A,
        "agent": CEILING,
        "client": ALL,
        "resource": RESOURCE,
        "wish": Wish(frozenset({READ, CREATE}), TICKETS, None),
        "live_roles": ROLES,
        "role_scopes": {"support": frozenset({READ, CREATE}), "lead": frozenset({CLOSE})},
        "role_gated": ALL,
        "tenant": TENANT,
        "now": NOW,
    }
    return narrow(**(facts | overrides))


def granted(**overrides: Any) -> Delegated:
    answer = ask(**overrides)
    assert isinstance(answer, Delegated), answer
    return answer


def refused(**overrides: Any) -> tuple[str, str]:
    answer = ask(**overrides)
    assert isinstance(answer, Denial), answer
    assert answer.public
    return answer.code, answer.reason


def as_parent(child: Delegated, *, delegable_to: frozenset[str] = frozenset({"agt_b"})) -> Parent:
    return Parent(
        scopes=child.scopes,
        roles=child.roles,
        resources=frozenset({child.resource}),
        expires_at=child.expires_at,
        depth=child.depth,
        chain=child.chain,
        delegable=True,
        delegable_to=delegable_to,
    )


def test_a_first_token_carries_what_was_asked_and_allowed() -> None:
    assert granted() == Delegated(
        scopes=frozenset({READ, CREATE}),
        roles=ROLES,
        resource=TICKETS,
        expires_at=NOW + 600,
        depth=1,
        chain=(A,),
        dropped=(),
    )


def test_a_sub_agent_is_deeper_and_shorter() -> None:
    child = granted(parent=as_parent(granted()), actor=B)
    assert (child.depth, child.chain, child.expires_at) == (2, (B, A), NOW + 300)


def test_an_agent_that_refreshes_keeps_its_chain() -> None:
    parent = as_parent(granted())
    assert granted(parent=parent, actor=A).chain is parent.chain
    assert granted(parent=parent, actor=None).chain is parent.chain
    assert granted(parent=parent, actor=A).depth == 1


def test_no_agent_acts_in_a_plain_sign_in() -> None:
    child = granted(actor=None, agent=None)
    assert (child.depth, child.chain, child.roles) == (0, (), ROLES)


def test_nothing_asked_means_all_that_the_parent_has_within_the_limits() -> None:
    child = granted(wish=Wish(), client=frozenset({READ}))
    assert child.scopes == {READ}
    assert {(drop.value, drop.by) for drop in child.dropped} == {(CREATE, "client"), (CLOSE, "client")}


def test_a_child_without_roles_may_have_scopes() -> None:
    child = granted(live_roles=frozenset(), role_scopes={}, role_gated=frozenset())
    assert (child.scopes, child.roles) == ({READ, CREATE}, frozenset())


def test_nothing_wanted_is_not_an_empty_result() -> None:
    assert granted(parent=replace(CONSENT, scopes=frozenset()), wish=Wish()).scopes == frozenset()


@pytest.mark.parametrize(
    ("overrides", "by"),
    [
        pytest.param({"parent": replace(CONSENT, scopes=frozenset({READ}))}, "consent", id="consent"),
        pytest.param(
            {"parent": replace(CONSENT, scopes=frozenset({READ}), source="parent")}, "parent", id="parent"
        ),
        pytest.param({"agent": replace(CEILING, scopes=frozenset({READ}))}, "agent", id="agent"),
        pytest.param({"client": frozenset({READ})}, "client", id="client"),
        pytest.param({"resource": replace(RESOURCE, scopes=frozenset({READ}))}, "resource", id="resource"),
        pytest.param({"role_scopes": {"support": frozenset({READ})}}, "role", id="A10-role-lost-the-scope"),
    ],
)
def test_the_limit_that_dropped_a_scope_is_named(overrides: dict[str, Any], by: str) -> None:
    child = granted(**overrides)
    assert child.scopes == {READ}
    assert Dropped("scope", CREATE, by) in child.dropped  # type: ignore[arg-type]


def test_the_first_limit_in_order_is_named() -> None:
    nothing = frozenset[str]()
    child = granted(
        agent=replace(CEILING, scopes=frozenset({READ})), client=frozenset({READ}), live_roles=ROLES
    )
    assert child.dropped == (Dropped("scope", CREATE, "agent"),)
    assert refused(client=nothing, agent=replace(CEILING, scopes=nothing)) == (
        "invalid_scope",
        "nothing_left",
    )


@pytest.mark.parametrize(
    ("overrides", "by"),
    [
        pytest.param({"parent": replace(CONSENT, roles=frozenset({"support"}))}, "consent", id="consent"),
        pytest.param({"agent": replace(CEILING, roles=frozenset({"support"}))}, "agent", id="agent"),
        pytest.param(
            {"resource": replace(RESOURCE, roles=frozenset({"support"}))}, "resource", id="resource"
        ),
        pytest.param({"live_roles": frozenset({"support"})}, "role", id="A10-left-the-group"),
    ],
)
def test_the_limit_that_dropped_a_role_is_named_and_its_scopes_go_too(
    overrides: dict[str, Any], by: str
) -> None:
    child = granted(wish=Wish(ALL), **overrides)
    assert child.roles == {"support"}
    assert child.scopes == {READ, CREATE}
    assert child.dropped == (Dropped("scope", CLOSE, "role"), Dropped("role", "lead", by))  # type: ignore[arg-type]


def test_a_role_of_a_live_person_outside_the_parent_is_not_added() -> None:
    child = granted(live_roles=ROLES | {"admin"}, agent=replace(CEILING, roles=ROLES | {"admin"}))
    assert "admin" not in child.roles
    assert Dropped("role", "admin", "consent") in child.dropped


def test_a_scope_that_no_role_carries_needs_no_role() -> None:
    facts: dict[str, Any] = {"live_roles": frozenset(), "role_scopes": {}}
    assert granted(**facts, role_gated=frozenset({CREATE})).scopes == {READ}
    assert refused(**facts, role_gated=ALL) == ("invalid_scope", "nothing_left")


def test_a_scope_of_a_role_is_gated_even_when_the_caller_forgot_to_say_so() -> None:
    facts: dict[str, Any] = {"live_roles": frozenset(), "role_gated": frozenset()}
    assert refused(**facts) == ("invalid_scope", "nothing_left")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        pytest.param({"resource": None}, ("invalid_target", "unknown_resource"), id="A31-unknown"),
        pytest.param(
            {"wish": Wish(None, PAYROLL)}, ("invalid_target", "unknown_resource"), id="A28-another-resource"
        ),
        pytest.param(
            {"parent": replace(CONSENT, resources=frozenset())}, ("invalid_target", "resource_not_allowed"),
            id="A31-not-consented",
        ),
        pytest.param(
            {"agent": replace(CEILING, resources=frozenset({PAYROLL}))},
            ("invalid_target", "resource_not_allowed"), id="A31-not-the-agents",
        ),
        pytest.param(
            {"resource": replace(RESOURCE, identifier=PAYROLL), "wish": Wish(None, PAYROLL)},
            ("invalid_target", "resource_not_allowed"), id="A05-audience-widened",
        ),
        pytest.param({"agent": None}, ("actor_unauthorized", "ceiling_missing"), id="A05-no-ceiling"),
        pytest.param(
            {"agent": None, "actor": None, "parent": replace(CONSENT, chain=(A,), depth=1)},
            ("actor_unauthorized", "ceiling_missing"), id="A05-no-ceiling-for-the-chain",
        ),
        pytest.param({"actor": B}, ("actor_unauthorized", "actor_not_listed"), id="A06-not-consented-agent"),
        pytest.param(
            {"parent": replace(CONSENT, delegable=False)}, ("actor_unauthorized", "not_delegable"),
            id="A06-not-delegable",
        ),
        pytest.param({"tenant": replace(TENANT, max_depth=0)}, ("invalid_request", "too_deep"), id="tenant"),
        pytest.param({"agent": replace(CEILING, max_depth=0)}, ("invalid_request", "too_deep"), id="agent"),
        pytest.param(
            {"resource": replace(RESOURCE, max_depth=0)}, ("invalid_request", "too_deep"), id="resource"
        ),
        pytest.param(
            {"parent": replace(CONSENT, expires_at=NOW)}, ("invalid_grant", "no_lifetime_left"),
            id="A32-parent-over",
        ),
        pytest.param(
            {"agent": replace(CEILING, ttl_seconds=0)}, ("invalid_grant", "no_lifetime_left"), id="no-time"
        ),
        pytest.param(
            {"wish": Wish(None, None, 0)}, ("invalid_request", "lifetime_not_positive"), id="zero-wish"
        ),
        pytest.param(
            {"wish": Wish(None, None, -60)}, ("invalid_request", "lifetime_not_positive"), id="negative-wish"
        ),
        pytest.param(
            {"wish": Wish(frozenset({"pay:read"}))}, ("invalid_scope", "nothing_left"), id="A05-foreign-scope"
        ),
    ],
)  # fmt: skip
def test_a_child_that_cannot_be_is_refused_beside_the_valid_twin(
    overrides: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert refused(**overrides) == expected
    granted()


def test_every_refusal_of_a_target_reads_the_same() -> None:
    answers = [ask(resource=None), ask(parent=replace(CONSENT, resources=frozenset()))]
    assert len({answer.public for answer in answers if isinstance(answer, Denial)}) == 1


@pytest.mark.parametrize(
    ("overrides", "expires_at"),
    [
        pytest.param({"parent": replace(CONSENT, expires_at=NOW + 20)}, NOW + 20, id="A32-parent"),
        pytest.param({"agent": replace(CEILING, ttl_seconds=30)}, NOW + 30, id="agent"),
        pytest.param({"resource": replace(RESOURCE, ttl_seconds=40)}, NOW + 40, id="resource"),
        pytest.param({"tenant": replace(TENANT, ttl_seconds=50)}, NOW + 50, id="tenant"),
        pytest.param({"wish": Wish(None, None, 60)}, NOW + 60, id="shorter-wish"),
        pytest.param({"wish": Wish(None, None, 86_400)}, NOW + 600, id="A05-longer-wish"),
    ],
)
def test_the_earliest_end_wins(overrides: dict[str, Any], expires_at: int) -> None:
    assert granted(**overrides).expires_at == expires_at


def test_a_long_deep_lifetime_does_not_lengthen_a_short_tenant_lifetime() -> None:
    tenant = TenantLimits(max_depth=4, ttl_seconds=100, deep_ttl_seconds=500)
    assert (tenant.ttl_at(1), tenant.ttl_at(2)) == (100, 100)


def test_going_through_another_agent_and_back_never_regains() -> None:
    """A07: A hands to the weaker B; what B returns to A is refused, and B's ceiling holds below B."""
    weaker = replace(CEILING, scopes=frozenset({READ}), roles=frozenset({"support"}))
    everybody = frozenset({"agt_a", "agt_b", "agt_c"})
    of_a = granted(wish=Wish(ALL))
    of_b = granted(parent=as_parent(of_a), actor=B, agent=weaker, wish=Wish(ALL))
    assert (of_a.scopes, of_b.scopes) == (ALL, {READ})
    back = as_parent(of_b, delegable_to=everybody)
    assert refused(parent=back, actor=A, wish=Wish(ALL)) == ("actor_unauthorized", "actor_cycle")
    of_c = granted(parent=back, actor=Actor(ISSUER, "agt_c"), wish=Wish(ALL))
    assert (of_c.scopes, of_c.roles) == ({READ}, {"support"})

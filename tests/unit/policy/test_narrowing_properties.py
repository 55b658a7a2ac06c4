"""A05, A07: random chains never widen on any dimension, whatever each hop asks for (protocols §6.2).

The plain run walks 300 chains, the proof 10,000.
"""

from dataclasses import replace

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from broker.policy.delegation import is_continuation
from broker.policy.narrowing import narrow
from broker.policy.values import (
    Actor,
    Ceiling,
    Delegated,
    Denial,
    Parent,
    ResourceView,
    TenantLimits,
    Wish,
)

NOW = 1_800_000_000
ACTORS = tuple(Actor(f"https://{host}.example", f"agt_{name}") for host in "xy" for name in "abc")
SCOPES = ("s0", "s1", "s2", "s3", "s4", "s5")
ROLES = ("r0", "r1", "r2")
RESOURCES = ("https://one.example", "https://two.example")


def some(values: tuple[str, ...], *, all_of: int = 1) -> st.SearchStrategy[frozenset[str]]:
    """Any subset, chosen by one number; `all_of` shares in eight go to the whole set."""
    whole = 2 ** len(values)
    return st.integers(0, whole * 8 - 1).map(
        lambda draw: (
            frozenset(values)
            if draw < whole * all_of
            else frozenset(value for place, value in enumerate(values) if draw >> place & 1)
        )
    )


def mostly(values: tuple[str, ...]) -> st.SearchStrategy[frozenset[str]]:
    """Mostly the whole set, so that chains get long enough to be interesting."""
    return some(values, all_of=6)


seconds = st.integers(60, 900)
depths = st.integers(2, 6)
ceilings = st.builds(Ceiling, mostly(SCOPES), mostly(ROLES), mostly(RESOURCES), seconds, depths)
resources = st.builds(
    ResourceView, st.sampled_from(RESOURCES), mostly(SCOPES), mostly(ROLES), seconds, depths
)
wishes = st.builds(
    Wish,
    st.one_of(st.none(), mostly((*SCOPES, "never-granted"))),
    st.none(),
    st.one_of(st.none(), st.integers(0, 2_000)),
)
role_tables = st.fixed_dictionaries({role: some(SCOPES[:4]) for role in ROLES})
tenants = st.builds(TenantLimits, depths, seconds, seconds)
hops = st.tuples(
    st.sampled_from((None, *ACTORS)),
    ceilings,
    mostly(SCOPES),
    resources,
    wishes,
    mostly(ROLES),
    st.integers(0, 40),
)
AGENT_IDS = frozenset(actor.id for actor in ACTORS)
ROOT = Parent(
    scopes=frozenset(SCOPES),
    roles=frozenset(ROLES),
    resources=frozenset(RESOURCES),
    expires_at=NOW + 3_600,
    depth=0,
    chain=(),
    delegable=True,
    delegable_to=AGENT_IDS,
)


def is_lawful(
    child: Delegated,
    parent: Parent,
    *,
    actor: Actor | None,
    agent: Ceiling,
    live_roles: frozenset[str],
    table: dict[str, frozenset[str]],
    max_depth: int,
) -> None:
    """Assert every promise of the narrowing rule for one hop."""
    assert child.scopes <= parent.scopes & agent.scopes
    assert child.roles <= parent.roles & agent.roles & live_roles
    assert child.resource in parent.resources & agent.resources
    assert child.expires_at <= parent.expires_at
    gated = frozenset[str]().union(*table.values())
    carried = frozenset[str]().union(*(table[role] for role in child.roles))
    assert child.scopes & gated <= carried
    assert parent.depth <= child.depth == len(child.chain) <= max_depth
    joined = actor is not None and not is_continuation(parent.chain, actor)
    assert repr(child.chain[joined:]) == repr(parent.chain)
    assert child.chain[:joined] == ((actor,) if joined else ())
    keys = [(member.issuer, member.id) for member in child.chain]
    assert len(set(keys)) == len(keys)


Hop = tuple[Actor | None, Ceiling, frozenset[str], ResourceView, Wish, frozenset[str], int]
RoleTable = dict[str, frozenset[str]]
chains = given(path=st.lists(hops, min_size=2, max_size=6), table=role_tables, tenant=tenants)


@settings(max_examples=300, database=None)
@chains
def test_no_chain_ever_widens(path: list[Hop], table: RoleTable, tenant: TenantLimits) -> None:
    walk(path, table, tenant)


@pytest.mark.proof
@settings(max_examples=10_000, database=None)
@chains
def test_ten_thousand_chains_never_widen(path: list[Hop], table: RoleTable, tenant: TenantLimits) -> None:
    walk(path, table, tenant)


def walk(path: list[Hop], table: RoleTable, tenant: TenantLimits) -> None:
    """Let every hop narrow what the one before left, and check each answer."""
    parent, now = ROOT, NOW
    for actor, agent, client, resource, wish, live_roles, pause in path:
        now += pause
        answer = narrow(
            parent=parent,
            actor=actor,
            agent=agent,
            client=client,
            resource=resource,
            wish=wish,
            live_roles=live_roles,
            role_scopes=table,
            role_gated=frozenset(),
            tenant=tenant,
            now=now,
        )
        if isinstance(answer, Denial):
            event(answer.reason)
            continue
        event(f"depth {answer.depth}")
        limit = min(tenant.max_depth, agent.max_depth, resource.max_depth)
        is_lawful(
            answer, parent, actor=actor, agent=agent, live_roles=live_roles, table=table, max_depth=limit
        )
        assert answer.scopes <= client & resource.scopes
        assert answer.roles <= resource.roles
        assert (
            now
            < answer.expires_at
            <= now + min(agent.ttl_seconds, resource.ttl_seconds, tenant.ttl_at(answer.depth))
        )
        wanted = parent.scopes if wish.scopes is None else wish.scopes
        assert answer.scopes <= wanted
        explained = {drop.value for drop in answer.dropped if drop.kind == "scope"}
        assert explained == wanted - answer.scopes
        parent = replace(
            parent,
            scopes=answer.scopes,
            roles=answer.roles,
            expires_at=answer.expires_at,
            depth=answer.depth,
            chain=answer.chain,
        )


@settings(max_examples=200, database=None)
@given(first=hops, second=hops, table=role_tables, tenant=tenants, live=mostly(ROLES), asked=mostly(SCOPES))
def test_the_order_of_two_limits_does_not_change_the_rights(
    first: Hop,
    second: Hop,
    table: RoleTable,
    tenant: TenantLimits,
    live: frozenset[str],
    asked: frozenset[str],
) -> None:
    """Narrowing by one agent's ceiling and then another's gives the rights of the other order."""

    def rights(*path: Hop) -> tuple[frozenset[str], frozenset[str]] | None:
        parent = ROOT
        for _, agent, client, _, _, _, _ in path:
            answer = narrow(
                parent=parent,
                actor=None,
                agent=replace(agent, resources=frozenset(RESOURCES), max_depth=5),
                client=client,
                resource=ResourceView(RESOURCES[0], frozenset(SCOPES), frozenset(ROLES), 900, 5),
                wish=Wish(asked),
                live_roles=live,
                role_scopes=table,
                role_gated=frozenset(),
                tenant=tenant,
                now=NOW,
            )
            if isinstance(answer, Denial):
                return None
            parent = replace(parent, scopes=answer.scopes, roles=answer.roles)
        return parent.scopes, parent.roles

    assert rights(first, second) == rights(second, first)
    assert rights(first, first) == rights(first)

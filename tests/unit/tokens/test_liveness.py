"""The gate: whatever stands behind a token can end it, and each end has a name; its twin is live."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from broker.agents.models import Agent, Client, Resource
from broker.agents.snapshot import load_agents
from broker.directory.models import User
from broker.kernel.versions import bump
from broker.tenants.models import Connection, Tenant
from broker.tokens.cascade import GRANTS, TOKENS, end_grant, end_token
from broker.tokens.grants import load_grant, open_grant
from broker.tokens.issuing import IssuedToken
from broker.tokens.liveness import why_dead, why_grant_dead
from tests.builders.minting import Mint
from tests.builders.world import TICKETS

Change = Callable[[Mint, IssuedToken], None]


def sets(model: Any, **values: Any) -> Change:
    """A change of every row of a table (there is one, or all are meant), counted as the product does."""

    def change(mint: Mint, _token: IssuedToken) -> None:
        def work(connection: Any) -> None:
            known = {"now": mint.now, "later": mint.now + 1}
            connection.execute(
                update(model).values(
                    {k: known.get(v, v) if isinstance(v, str) else v for k, v in values.items()}
                )
            )
            bump(connection, mint.tenant.id)

        mint.write(work)

    return change


def deletes(model: Any) -> Change:
    def change(mint: Mint, _token: IssuedToken) -> None:
        def work(connection: Any) -> None:
            connection.execute(model.__table__.delete())
            bump(connection, mint.tenant.id)

        mint.write(work)

    return change


def waits(seconds: int) -> Change:
    return lambda mint, _token: mint.world.clock.advance(seconds)


ENDS = [
    pytest.param(
        lambda mint, token: mint.write(lambda c: end_token(c, mint.tenant.id, token.jti, "test", mint.now)),
        "token_ended",
        id="token-ended",
    ),
    pytest.param(waits(600), "token_expired", id="token-expired"),
    pytest.param(sets(GRANTS, ended_at="now"), "grant_ended", id="grant-ended"),
    pytest.param(sets(GRANTS, expires_at="now"), "grant_expired", id="grant-expired"),
    pytest.param(sets(Tenant, state="disabled"), "tenant_disabled", id="tenant-disabled"),
    pytest.param(sets(Tenant, cutoff_at="now"), "tenant_cutoff", id="tenant-cutoff"),
    pytest.param(sets(User, state="disabled"), "user_disabled", id="user-disabled"),
    pytest.param(sets(User, cutoff_at="now"), "user_cutoff", id="user-cutoff"),
    pytest.param(deletes(User), "user_gone", id="user-gone"),
    pytest.param(sets(Connection, state="disabled"), "connection_disabled", id="connection-disabled"),
    pytest.param(sets(Connection, cutoff_at="now"), "connection_cutoff", id="connection-cutoff"),
    pytest.param(deletes(Connection), "connection_gone", id="connection-gone"),
    pytest.param(sets(Client, state="disabled"), "client_disabled", id="client-disabled"),
    pytest.param(sets(Client, cutoff_at="now"), "client_cutoff", id="client-cutoff"),
    pytest.param(deletes(Client), "client_gone", id="client-gone"),
    pytest.param(sets(Agent, state="suspended"), "agent_suspended", id="agent-suspended"),
    pytest.param(sets(Agent, state="killed"), "agent_killed", id="agent-killed"),
    pytest.param(sets(Agent, cutoff_at="now"), "agent_cutoff", id="agent-cutoff"),
    pytest.param(sets(Agent, expires_at="now"), "agent_expired", id="agent-expired"),
    pytest.param(deletes(Agent), "agent_gone", id="agent-gone"),
    pytest.param(sets(Resource, state="disabled"), "resource_disabled", id="resource-disabled"),
    pytest.param(deletes(Resource), "resource_gone", id="resource-gone"),
]


@pytest.mark.parametrize(("end", "reason"), ENDS)
def test_what_stands_behind_a_token_ends_it(mint: Mint, end: Change, reason: str):
    token = mint.mint()
    assert mint.fault(token) is None
    end(mint, token)
    assert mint.fault(token) == reason


@pytest.mark.parametrize("name", ["planner", "writer", "helper"])
def test_every_agent_of_the_chain_counts(mint: Mint, name: str):
    root = mint.mint("planner")
    child = mint.mint("writer", "planner", parent=root)
    leaf = mint.mint("helper", "writer", "planner", parent=child)
    assert mint.fault(leaf) is None

    def suspend(connection: Any) -> None:
        this = Agent.id == mint.agents[name].id
        connection.execute(update(Agent).where(this).values(state="suspended"))
        bump(connection, mint.tenant.id)

    mint.write(suspend)
    assert mint.fault(leaf) == "agent_suspended"


def test_an_agent_that_acts_for_itself_is_judged_too(mint: Mint):
    token = mint.mint("planner", user=False)
    assert mint.fault(token) is None
    sets(Agent, state="killed")(mint, token)
    assert mint.fault(token) == "agent_killed"


def test_what_was_issued_after_a_cutoff_counts(mint: Mint):
    sets(User, cutoff_at="now")(mint, mint.mint())
    early = mint.mint()
    mint.world.clock.advance(1)
    late = mint.mint()
    assert mint.fault(early) == "user_cutoff"
    assert mint.fault(late) is None


def test_a_token_for_the_broker_itself_needs_no_resource(mint: Mint):
    assert mint.fault(mint.mint(audience=mint.tenant.issuer)) is None
    assert mint.fault(mint.mint(audience="https://elsewhere.example")) == "resource_gone"


def test_a_token_that_the_tenant_does_not_have_is_unknown(mint: Mint):
    token = mint.mint()
    other = Mint(mint.world, "globex")
    assert other.row(token.jti) is None
    assert other.fault(token) == "token_unknown"
    assert mint.fault(token) is None


def test_a_row_is_never_read_together_with_another_tenant_s_person(mint: Mint):
    token = mint.mint()
    mint.write(lambda c: c.execute(update(User).values(tenant_id="ten_other")))
    assert mint.fault(token) == "user_gone"


def grant_fault(mint: Mint, grant_id: str) -> str | None:
    mint.refresh()
    with mint.rt.database.core_read() as connection:
        grant = load_grant(connection, mint.tenant.id, grant_id)
    return why_grant_dead(
        grant, tenant=mint.tenant, agents=load_agents(mint.rt, mint.tenant.id), now=mint.now
    )


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        pytest.param(
            lambda mint, _: mint.write(
                lambda c: end_grant(c, mint.tenant.id, mint.grant_id, "test", mint.now)
            ),
            "grant_ended",
            id="grant-ended",
        ),
        pytest.param(waits(86_400), "grant_expired", id="grant-expired"),
        pytest.param(sets(User, state="disabled"), "user_disabled", id="user-disabled"),
        pytest.param(sets(Agent, cutoff_at="now"), "agent_cutoff", id="agent-cutoff"),
        pytest.param(sets(Client, state="disabled"), "client_disabled", id="client-disabled"),
        pytest.param(sets(Connection, state="disabled"), "connection_disabled", id="connection-disabled"),
        pytest.param(sets(Tenant, cutoff_at="now"), "tenant_cutoff", id="tenant-cutoff"),
    ],
)
def test_what_stands_behind_a_grant_ends_it(mint: Mint, end: Change, reason: str):
    token = mint.mint()
    assert grant_fault(mint, mint.grant_id) is None
    end(mint, token)
    assert grant_fault(mint, mint.grant_id) == reason


def test_every_check_of_the_gate_stands_alone(mint: Mint):
    """However much is wrong, taking one fault away leaves the next: none hides behind another."""
    token = mint.mint()
    row = mint.row(token.jti)
    agents = load_agents(mint.rt, mint.tenant.id)
    assert why_dead(row, tenant=mint.tenant, agents=agents, now=mint.now) is None
    assert row is not None
    assert why_dead(row, tenant=mint.tenant, agents=agents, now=row.expires_at) == "token_expired"
    assert why_dead(None, tenant=mint.tenant, agents=agents, now=mint.now) == "token_unknown"


def test_a_grant_of_an_agent_alone_has_no_person_to_judge(mint: Mint):
    own = mint.write(
        lambda c: open_grant(
            c,
            tenant_id=mint.tenant.id,
            client_id="cli_planner",
            agent_id=mint.agents["planner"].id,
            resources=[TICKETS],
            scopes=[],
            now=mint.now,
            expires_at=mint.now + 60,
        )
    )
    sets(User, state="disabled")(mint, mint.mint())
    assert grant_fault(mint, own) is None
    assert grant_fault(mint, mint.grant_id) == "user_disabled"
    assert mint.write(lambda c: c.execute(TOKENS.select()).rowcount) is not None

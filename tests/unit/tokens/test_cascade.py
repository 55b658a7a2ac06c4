"""Endings: exactly the subtree, counted, and whatever else hangs on what was ended."""

from typing import Any

import pytest

from broker.kernel.group_commit import flush_deferred
from broker.tokens.cascade import end_grant, end_grants_of, end_sessions_of_user, end_token
from broker.tokens.issuing import IssuedToken
from broker.tokens.sessions import find_session, start_session
from broker.tokens.switching_off import (
    end_agent,
    end_client,
    end_connection,
    end_tenant,
    end_user,
    switch_on,
)
from tests.builders.minting import Mint, Statements


def tree(mint: Mint) -> dict[str, IssuedToken]:
    """root → (left → leaf, right), and a tree of its own beside it."""
    root = mint.mint("planner")
    left = mint.mint("writer", "planner", parent=root)
    right = mint.mint("helper", "planner", parent=root)
    leaf = mint.mint("helper", "writer", "planner", parent=left)
    return {"root": root, "left": left, "right": right, "leaf": leaf, "beside": mint.mint("planner")}


def live(mint: Mint, tokens: dict[str, IssuedToken]) -> set[str]:
    return {name for name, token in tokens.items() if mint.fault(token) is None}


@pytest.mark.parametrize(
    ("ended", "left"),
    [
        ("root", {"beside"}),
        ("left", {"root", "right", "beside"}),
        ("right", {"root", "left", "leaf", "beside"}),
        ("leaf", {"root", "left", "right", "beside"}),
    ],
)
def test_a_token_takes_exactly_its_subtree_with_it(mint: Mint, ended: str, left: set[str]):
    tokens = tree(mint)
    with Statements(mint.rt.database.engine) as seen:
        count = mint.write(lambda c: end_token(c, mint.tenant.id, tokens[ended].jti, "test", mint.now))
    assert count == len(tokens) - len(left)
    assert seen.count("UPDATE") == 1
    assert live(mint, tokens) == left


def test_what_has_ended_is_not_counted_again(mint: Mint):
    tokens = tree(mint)
    assert mint.write(lambda c: end_token(c, mint.tenant.id, tokens["left"].jti, "first", mint.now)) == 2
    assert mint.write(lambda c: end_token(c, mint.tenant.id, tokens["root"].jti, "second", mint.now)) == 2
    assert mint.write(lambda c: end_token(c, mint.tenant.id, tokens["root"].jti, "third", mint.now)) == 0
    row = mint.row(tokens["leaf"].jti)
    assert row is not None
    assert row.ended_by == "first"


def test_a_token_of_another_tenant_is_not_ended(mint: Mint):
    tokens = tree(mint)
    other = Mint(mint.world, "globex")
    assert mint.write(lambda c: end_token(c, other.tenant.id, tokens["root"].jti, "test", mint.now)) == 0
    assert mint.write(lambda c: end_token(c, mint.tenant.id, "at_unknown", "test", mint.now)) == 0
    assert live(mint, tokens) == set(tokens)


def test_a_child_minted_in_the_same_batch_does_not_outlive_its_parent(mint: Mint):
    root = mint.mint()

    def mint_and_end(tx: Any) -> IssuedToken:
        child = mint.issue(tx, "writer", "planner", parent=root)
        assert end_token(tx.connection, mint.tenant.id, root.jti, "test", mint.now) == 2
        return child

    child = mint.rt.committer.submit(mint_and_end)
    assert mint.fault(child) == "token_ended"


def test_a_child_minted_in_the_same_batch_does_not_outlive_its_grant(mint: Mint):
    def mint_and_end(tx: Any) -> IssuedToken:
        token = mint.issue(tx)
        assert end_grant(tx.connection, mint.tenant.id, mint.grant_id, "test", mint.now).tokens == 1
        return token

    assert mint.fault(mint.rt.committer.submit(mint_and_end)) == "token_ended"


def test_nothing_is_flushed_on_a_connection_that_shares_nothing(mint: Mint):
    mint.write(flush_deferred)
    assert mint.live_jtis() == set()


def test_a_grant_ends_with_all_its_tokens_and_no_others(mint: Mint):
    mine = mint.mint()
    other_grant = mint.grant()
    other = mint.mint(grant_id=other_grant)
    ended = mint.write(lambda c: end_grant(c, mint.tenant.id, mint.grant_id, "test", mint.now))
    assert (ended.grants, ended.tokens) == (1, 1)
    assert mint.fault(mine) == "token_ended"
    assert mint.fault(other) is None
    assert mint.write(lambda c: end_grant(c, mint.tenant.id, mint.grant_id, "test", mint.now)).grants == 0


def test_grants_end_by_owner_and_never_without_one(mint: Mint):
    mint.grant(session_id="ses_1", consent_id="cns_1")
    mint.grant(session_id="ses_1", client_id="cli_writer")
    mint.grant(session_id="ses_2")

    def end(**owner: Any) -> int:
        return mint.write(lambda c: end_grants_of(c, mint.tenant.id, "test", mint.now, **owner)).grants

    assert end(session_id="ses_1", client_id="cli_writer") == 1
    assert end(consent_id="cns_1") == 1
    assert end(session_id="ses_1") == 0
    assert end(user_id=mint.maya) == 2
    with pytest.raises(ValueError, match="whose"):
        end()


ENDERS = {
    "user": lambda m: lambda c: end_user(c, m.tenant.id, m.maya, "test", m.now),
    "agent": lambda m: lambda c: end_agent(c, m.tenant.id, m.agents["planner"].id, "test", m.now),
    "client": lambda m: lambda c: end_client(c, m.tenant.id, "cli_planner", "test", m.now),
    "connection": lambda m: lambda c: end_connection(c, m.tenant.id, m.okta.id, "test", m.now),
    "tenant": lambda m: lambda c: end_tenant(c, m.tenant.id, "test", m.now),
}
OWNER_ID = {
    "user": lambda m: m.maya,
    "agent": lambda m: m.agents["planner"].id,
    "client": lambda m: "cli_planner",
    "connection": lambda m: m.okta.id,
    "tenant": lambda m: m.tenant.id,
}


@pytest.mark.parametrize("owner", sorted(ENDERS))
def test_an_owner_takes_everything_along_and_switching_on_revives_nothing(mint: Mint, owner: Any):
    tokens = tree(mint)
    ended = mint.write(ENDERS[owner](mint))
    assert (ended.tokens, ended.grants) == (5, 1)
    assert live(mint, tokens) == set()
    # Even with their own marks gone, the cutoff holds what the owner's name is on.
    mint.write(lambda c: c.exec_driver_sql("UPDATE issued_tokens SET ended_at = NULL"))
    mint.write(lambda c: c.exec_driver_sql("UPDATE grants SET ended_at = NULL"))
    mint.world.clock.advance(5)
    assert mint.write(lambda c: switch_on(c, mint.tenant.id, owner, OWNER_ID[owner](mint), mint.now))
    assert not live(mint, tokens) & {"root", "beside"}
    assert mint.fault(tokens["root"]) == f"{owner}_cutoff"
    mint.world.clock.advance(1)
    fresh = mint.mint(grant_id=mint.grant())
    assert mint.fault(fresh) is None
    assert not mint.write(lambda c: switch_on(c, mint.tenant.id, owner, OWNER_ID[owner](mint), mint.now))


@pytest.mark.parametrize("owner", sorted(ENDERS))
def test_an_owner_of_another_tenant_is_out_of_reach(mint: Mint, owner: str):
    tokens = tree(mint)
    other = Mint(mint.world, "globex")
    theirs = other.mint()
    reached = {
        "user": lambda c: end_user(c, other.tenant.id, mint.maya, "test", mint.now),
        "agent": lambda c: end_agent(c, other.tenant.id, mint.agents["planner"].id, "test", mint.now),
        "client": lambda c: end_client(c, other.tenant.id, "cli_nobody", "test", mint.now),
        "connection": lambda c: end_connection(c, other.tenant.id, mint.okta.id, "test", mint.now),
        "tenant": lambda c: end_tenant(c, "ten_unknown", "test", mint.now),
    }[owner]
    ended = mint.write(reached)
    assert (ended.tokens, ended.grants, ended.sessions) == (0, 0, 0)
    assert live(mint, tokens) == set(tokens)
    assert other.fault(theirs) is None
    mint.write(ENDERS[owner](mint))
    assert other.fault(theirs) is None


def test_an_agent_in_the_middle_takes_what_was_derived_from_it(mint: Mint):
    tokens = tree(mint)
    writer = mint.agents["writer"].id
    ended = mint.write(lambda c: end_agent(c, mint.tenant.id, writer, "test", mint.now, state="killed"))
    assert ended.tokens == 2
    assert live(mint, tokens) == {"root", "right", "beside"}


def test_a_client_in_the_middle_takes_what_was_derived_from_it(mint: Mint):
    tokens = tree(mint)
    ended = mint.write(lambda c: end_client(c, mint.tenant.id, "cli_writer", "test", mint.now))
    assert ended.tokens == 2
    assert live(mint, tokens) == {"root", "right", "beside"}


def test_a_killed_agent_stays_killed(mint: Mint):
    planner = mint.agents["planner"].id
    mint.write(lambda c: end_agent(c, mint.tenant.id, planner, "test", mint.now, state="killed"))
    mint.write(lambda c: end_agent(c, mint.tenant.id, planner, "test", mint.now, state="suspended"))
    assert not mint.write(lambda c: switch_on(c, mint.tenant.id, "agent", planner, mint.now))
    mint.world.clock.advance(1)
    assert mint.fault(mint.mint(grant_id=mint.grant())) == "agent_killed"


def test_browser_sessions_end_with_their_person(mint: Mint):
    def start(user_id: str) -> str:
        return mint.write(
            lambda c: start_session(
                c,
                mint.rt,
                tenant_id=mint.tenant.id,
                kind="person",
                now=mint.now,
                user_id=user_id,
                connection_id=mint.okta.id,
            )
        )[1]

    noor = mint.world.user(mint.tenant, mint.okta, "noor")
    maya_s, noor_s = start(mint.maya), start(noor)
    assert mint.write(lambda c: end_sessions_of_user(c, mint.tenant.id, mint.maya, mint.now)) == 1
    assert find_session(mint.rt, mint.tenant.id, maya_s, mint.now) is None
    assert find_session(mint.rt, mint.tenant.id, noor_s, mint.now) is not None
    again = start(mint.maya)
    assert mint.write(ENDERS["user"](mint)).sessions == 1
    assert find_session(mint.rt, mint.tenant.id, again, mint.now) is None

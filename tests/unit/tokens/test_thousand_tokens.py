"""A tree of a thousand tokens: one UPDATE ends the root, a middle node or a leaf with exactly its subtree."""

from typing import Any

import pytest

from broker.tokens.cascade import end_token
from broker.tokens.issuing import IssuedToken
from tests.builders.minting import Mint, Statements

SIZE = 1_000
WIDTH = 10


@pytest.fixture
def grown(mint: Mint) -> tuple[Mint, list[IssuedToken]]:
    """A thousand tokens: every one has up to ten children (four levels)."""

    def grow(tx: Any) -> list[IssuedToken]:
        tokens = [mint.issue(tx)]
        while len(tokens) < SIZE:
            parent = tokens[(len(tokens) - 1) // WIDTH]
            tokens.append(mint.issue(tx, "writer", "planner", parent=parent))
        return tokens

    return mint, mint.rt.committer.submit(grow)


@pytest.mark.parametrize(
    "place", [pytest.param(0, id="root"), pytest.param(5, id="middle"), pytest.param(SIZE - 1, id="leaf")]
)
def test_one_update_ends_exactly_the_subtree(grown: tuple[Mint, list[IssuedToken]], place: int):
    mint, tokens = grown
    chosen = tokens[place]
    subtree = {token.jti for token in tokens if token.path.startswith(chosen.path)}
    with Statements(mint.rt.database.engine) as seen:
        count = mint.write(lambda c: end_token(c, mint.tenant.id, chosen.jti, "test", mint.now))
    assert seen.count("UPDATE") == 1
    assert count == len(subtree)
    assert mint.live_jtis() == {token.jti for token in tokens} - subtree


def test_the_update_walks_the_index_of_paths(grown: tuple[Mint, list[IssuedToken]]):
    mint, tokens = grown
    if not mint.rt.database.is_sqlite:
        pytest.skip("the plan is read from SQLite")
    with mint.rt.database.core_read() as connection:
        plan = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN UPDATE issued_tokens SET ended_at = 1 "
            "WHERE tenant_id = 'a' AND path >= '/a/' AND path < '/a0' AND ended_at IS NULL"
        ).all()
    assert "ix_issued_tokens_path" in str(plan)
    assert tokens

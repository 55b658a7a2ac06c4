"""A token that is minted while its tree is being ended ends with it, whichever transaction is first."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection

from broker.kernel.group_commit import Transaction
from broker.tokens.cascade import end_grant, end_token
from broker.tokens.grants import load_grant
from broker.tokens.issuing import IssuedToken
from broker.tokens.liveness import load_token_rows
from tests.builders.minting import Mint


def end_by_token(mint: Mint, root: IssuedToken, connection: Connection) -> Any:
    return end_token(connection, mint.tenant.id, root.jti, "test", mint.now)


def end_by_grant(mint: Mint, _root: IssuedToken, connection: Connection) -> Any:
    return end_grant(connection, mint.tenant.id, mint.grant_id, "test", mint.now).tokens


@pytest.mark.parametrize("end", [end_by_token, end_by_grant], ids=["token", "grant"])
@pytest.mark.parametrize("holder", ["token", "grant"])
def test_an_ending_waits_for_the_mint_and_takes_the_child_along(mint: Mint, end: Any, holder: str):
    root = mint.mint("planner")
    is_held, may_mint, is_ending = threading.Event(), threading.Event(), threading.Event()

    def mint_child() -> IssuedToken:
        with mint.rt.database.core_write() as connection:
            if holder == "token":
                load_token_rows(connection, mint.tenant.id, [root.jti], is_held=True)
            else:
                load_grant(connection, mint.tenant.id, mint.grant_id, is_held=True)
            is_held.set()
            assert may_mint.wait(10)
            tx = Transaction(connection)
            child = mint.issue(tx, "writer", "planner", parent=root)
            tx.flush()
            return child

    def end_tree() -> int:
        is_ending.set()
        return mint.write(lambda connection: int(end(mint, root, connection)))

    with ThreadPoolExecutor(2) as pool:
        minting: Future[IssuedToken] = pool.submit(mint_child)
        assert is_held.wait(10)
        ending = pool.submit(end_tree)
        assert is_ending.wait(10)
        # The ending has been asked for; give it every chance to run past the mint before that goes on.
        threading.Event().wait(0.2)
        assert not ending.done()
        may_mint.set()
        child = minting.result(10)
        assert ending.result(10) == 2
    assert mint.fault(child) == "token_ended"

"""Refresh tokens: spent once by their own client; one that comes back is told apart."""

from typing import Any

import pytest

from broker.tokens.refresh import RefreshView, SpentRefresh, find_refresh, issue_refresh, spend_refresh
from tests.builders.minting import Mint


def issue(mint: Mint) -> str:
    return mint.write(
        lambda c: issue_refresh(
            c,
            tenant_id=mint.tenant.id,
            grant_id=mint.grant_id,
            client_id="cli_planner",
            scopes=["tickets:read"],
            now=mint.now,
            expires_at=mint.now + 600,
        )
    )


def spend(mint: Mint, token: str, **changes: Any) -> RefreshView | SpentRefresh | None:
    values = {"tenant_id": mint.tenant.id, "client_id": "cli_planner", "now": mint.now, **changes}
    return mint.write(lambda c: spend_refresh(c, token=token, **values))


def test_a_refresh_token_is_spent_once_and_then_told_apart(mint: Mint):
    token = issue(mint)
    view = RefreshView(mint.grant_id, "cli_planner", ("tickets:read",), mint.now, mint.now + 600)
    assert spend(mint, token) == view
    assert spend(mint, token) == SpentRefresh(mint.grant_id, "cli_planner", mint.now)
    mint.world.clock.advance(10_000)
    assert isinstance(spend(mint, token), SpentRefresh)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"client_id": "cli_writer"}, id="another-client"),
        pytest.param({"tenant_id": "ten_other"}, id="T03-another-tenant"),
    ],
)
def test_a_stranger_neither_uses_nor_burns_nor_reports_it(mint: Mint, changes: dict[str, Any]):
    token = issue(mint)
    assert spend(mint, token, **changes) is None
    assert isinstance(spend(mint, token), RefreshView)
    assert spend(mint, token, **changes) is None


def test_it_expires_unused(mint: Mint):
    token = issue(mint)
    assert spend(mint, token, now=mint.now + 600) is None
    assert isinstance(spend(mint, token, now=mint.now + 599), RefreshView)
    assert spend(mint, "x" * 43) is None


def test_it_can_be_looked_at_without_being_spent(mint: Mint):
    token = issue(mint)

    def find(tenant_id: str) -> RefreshView | None:
        return mint.write(lambda c: find_refresh(c, tenant_id=tenant_id, token=token))

    seen = find(mint.tenant.id)
    assert seen is not None
    assert seen.spent_at is None
    assert find("ten_other") is None
    spend(mint, token)
    spent = find(mint.tenant.id)
    assert spent is not None
    assert spent.spent_at == mint.now

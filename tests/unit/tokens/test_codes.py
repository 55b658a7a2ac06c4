"""Authorization codes: spent once, told apart when they come back, never across tenants."""

from typing import Any

import pytest
from sqlalchemy import select

from broker.tokens import models
from broker.tokens.codes import CodeView, SpentCode, issue_code, spend_code
from tests.builders.minting import Mint


def issue(mint: Mint, **changes: Any) -> str:
    values: dict[str, Any] = {
        "grant_id": mint.grant_id,
        "client_id": "cli_planner",
        "redirect_uri": "https://writer.example/callback",
        "code_challenge": "c" * 43,
        "resources": ["https://b.example", "https://a.example"],
        "scopes": {"tickets:read"},
        "nonce": "n-1",
        "expires_at": mint.now + 60,
    }
    return mint.write(lambda c: issue_code(c, tenant_id=mint.tenant.id, **{**values, **changes}))


def spend(mint: Mint, code: str, tenant_id: str = "") -> CodeView | SpentCode | None:
    return mint.write(lambda c: spend_code(c, tenant_id=tenant_id or mint.tenant.id, code=code, now=mint.now))


def test_a_code_gives_back_what_it_was_issued_for(mint: Mint):
    assert spend(mint, issue(mint)) == CodeView(
        grant_id=mint.grant_id,
        client_id="cli_planner",
        redirect_uri="https://writer.example/callback",
        code_challenge="c" * 43,
        resources=("https://a.example", "https://b.example"),
        scopes=("tickets:read",),
        nonce="n-1",
    )


def test_only_its_hash_is_stored(mint: Mint):
    code = issue(mint)
    with mint.rt.database.core_read() as connection:
        row = connection.execute(select(models.AuthorizationCode.__table__)).one()
    assert code not in str(row)
    assert len(code) >= 43


@pytest.mark.parametrize("later", [0, 30, 120], ids=["at-once", "after-30-seconds", "after-it-expired"])
def test_a_second_redemption_is_told_apart(mint: Mint, later: int):
    """O20: the caller must learn whose tokens to end, however late the code comes back."""
    code = issue(mint)
    first_at = mint.now
    assert isinstance(spend(mint, code), CodeView)
    mint.world.clock.advance(later)
    assert spend(mint, code) == SpentCode(mint.grant_id, "cli_planner", first_at)


@pytest.mark.parametrize(("age", "is_won"), [(59, True), (60, False)], ids=["last-second", "expired"])
def test_a_code_expires_unused(mint: Mint, age: int, is_won: bool):
    code = issue(mint)
    mint.world.clock.advance(age)
    assert (spend(mint, code) is not None) is is_won


def test_a_code_of_another_tenant_is_unknown_and_not_burnt(mint: Mint):
    """T03, O22: neither another tenant nor another kind of secret opens the store."""
    code = issue(mint)
    assert spend(mint, code, "ten_other") is None
    assert spend(mint, "x" * 43) is None
    assert isinstance(spend(mint, code), CodeView)

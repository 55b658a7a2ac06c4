"""Browser sessions and one-time links: limits, ends, and what of them is stored."""

from typing import Any

import pytest
from sqlalchemy import select, update

from broker.directory.models import User
from broker.tenants.models import Connection
from broker.tokens import models
from broker.tokens.links import make_link, spend_link
from broker.tokens.sessions import (
    BrowserSessionView,
    end_session,
    find_session,
    open_upstream,
    start_session,
    touch_session,
)
from tests.builders.minting import Mint

IDLE = 3_600
ABSOLUTE = 36_000


def start(mint: Mint, **changes: Any) -> tuple[BrowserSessionView, str]:
    values: dict[str, Any] = {
        "kind": "person",
        "user_id": mint.maya,
        "connection_id": mint.okta.id,
        "acr": "phr",
        "amr": ["mfa"],
        **changes,
    }
    return mint.write(lambda c: start_session(c, mint.rt, tenant_id=mint.tenant.id, now=mint.now, **values))


def find(mint: Mint, secret: str) -> BrowserSessionView | None:
    return find_session(mint.rt, mint.tenant.id, secret, mint.now)


def test_a_session_is_found_by_its_secret_only(mint: Mint):
    view, secret = start(mint, auth_time=mint.now - 5)
    assert find(mint, secret) == view
    assert view.auth_time == mint.now - 5
    assert find(mint, view.id) is None
    assert find(mint, "") is None
    with mint.rt.database.core_read() as connection:
        row = connection.execute(select(models.BrowserSession.__table__)).one()
    assert secret not in str(row)


def test_a_session_of_another_tenant_is_not_found(mint: Mint):
    _, secret = start(mint)
    other = mint.world.tenant("globex")
    assert find_session(mint.rt, other.id, secret, mint.now) is None
    assert find(mint, secret) is not None


def test_every_sign_in_has_a_secret_of_its_own(mint: Mint):
    assert start(mint)[1] != start(mint)[1]


@pytest.mark.parametrize(("silent", "is_found"), [(IDLE - 1, True), (IDLE, False)])
def test_a_session_ends_after_silence(mint: Mint, silent: int, is_found: bool):
    _, secret = start(mint)
    mint.world.clock.advance(silent)
    assert (find(mint, secret) is not None) is is_found


def test_a_session_in_use_lives_to_its_absolute_limit_and_no_longer(mint: Mint):
    _, secret = start(mint)
    for _ in range(ABSOLUTE // 3_000):
        mint.world.clock.advance(2_999)
        session = find(mint, secret)
        assert session is not None
        touch_session(mint.rt, mint.tenant.id, session, mint.now)
    mint.world.clock.advance(12)
    assert find(mint, secret) is None


def test_the_identity_provider_may_set_an_earlier_end_but_no_later_one(mint: Mint):
    assert start(mint, not_after=mint.now + 60)[0].expires_at == mint.now + 60
    assert start(mint, not_after=mint.now + 10 * ABSOLUTE)[0].expires_at == mint.now + ABSOLUTE


def test_use_is_noted_at_most_once_a_minute(mint: Mint):
    view, secret = start(mint)
    mint.world.clock.advance(59)
    touch_session(mint.rt, mint.tenant.id, view, mint.now)
    assert find(mint, secret) == view
    mint.world.clock.advance(1)
    touch_session(mint.rt, mint.tenant.id, view, mint.now)
    found = find(mint, secret)
    assert found is not None
    assert found.seen_at == mint.now


def test_an_ended_session_is_not_revived_by_a_late_touch(mint: Mint):
    view, secret = start(mint)
    other = mint.world.tenant("globex")
    assert not mint.write(lambda c: end_session(c, other.id, view.id, mint.now))
    assert find(mint, secret) is not None
    assert mint.write(lambda c: end_session(c, mint.tenant.id, view.id, mint.now))
    assert not mint.write(lambda c: end_session(c, mint.tenant.id, view.id, mint.now))
    mint.world.clock.advance(60)
    touch_session(mint.rt, mint.tenant.id, view, mint.now)
    assert find(mint, secret) is None


@pytest.mark.parametrize("model", [User, Connection])
@pytest.mark.parametrize("values", [{"state": "disabled"}, {"cutoff_at": 9_999_999_999}])
def test_a_session_counts_while_its_person_and_connection_do(mint: Mint, model: Any, values: dict[str, Any]):
    _, secret = start(mint)
    _, alone = start(mint, kind="admin", user_id=None, connection_id=None)
    assert find(mint, secret) is not None
    mint.write(lambda c: c.execute(update(model).values(**values)))
    assert find(mint, secret) is None
    assert find(mint, alone) is not None


def test_what_sign_out_needs_is_sealed(mint: Mint):
    view, _ = start(mint, upstream=b"name-id")
    plain, _ = start(mint)
    assert open_upstream(mint.rt, mint.tenant.id, view.id) == b"name-id"
    assert open_upstream(mint.rt, mint.tenant.id, plain.id) is None
    with mint.rt.database.core_read() as connection:
        blobs = connection.execute(select(models.BrowserSession.sealed_upstream)).scalars().all()
    assert all(b"name-id" not in (blob or b"") for blob in blobs)


def test_a_session_can_start_in_the_transaction_of_the_sign_in(mint: Mint):
    with mint.rt.database.write(mint.tenant.id) as session:
        _, secret = start_session(session, mint.rt, tenant_id=mint.tenant.id, kind="admin", now=mint.now)
    assert find(mint, secret) is not None


def test_a_link_works_once_in_time_and_for_its_purpose(mint: Mint):
    def spend(code: str, purpose: str = "admin", tenant_id: str = "", late: int = 0) -> bool:
        return mint.write(
            lambda c: spend_link(
                c, tenant_id=tenant_id or mint.tenant.id, purpose=purpose, code=code, now=mint.now + late
            )
        )

    code = mint.write(
        lambda c: make_link(c, tenant_id=mint.tenant.id, purpose="admin", now=mint.now, ttl_seconds=60)
    )
    assert not spend(code, "other")
    assert not spend(code, tenant_id="ten_other")
    assert not spend(code, late=60)
    assert not spend("x" * 43)
    assert spend(code)
    assert not spend(code)

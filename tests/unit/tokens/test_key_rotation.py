"""The key ring: published before it signs, retired after its last token, revoked at once, moved by a job."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from broker.audit.log import ActorRef
from broker.audit.models import AuditRecord
from broker.kernel.errors import Refusal
from broker.kernel.jobs import acquire_lease
from broker.kernel.versions import bump
from broker.tenants.models import Tenant
from broker.tokens.access import verify_access_token
from broker.tokens.encoding import decode
from broker.tokens.id_tokens import issue_id_token
from broker.tokens.key_rotation import (
    DAY_SECONDS,
    LEASE,
    LONGEST_TOKEN_SECONDS,
    MARGIN_SECONDS,
    advance_keys,
    publish_missing_keys,
    revoke_key,
    rotate_key,
)
from broker.tokens.key_schedule import ScheduledKey, read_schedule
from broker.tokens.keys import create_key, public_jwks, signing_algorithms, signing_key, tenant_keys
from tests.builders.minting import Mint
from tests.builders.oauth import Scene
from tests.builders.world import open_world

BY = ActorRef("operator", "test")
LEAD = 300 + MARGIN_SECONDS
KEPT = LONGEST_TOKEN_SECONDS["access"] + MARGIN_SECONDS


@pytest.fixture
def scene(database_url: str, tmp_path: Path) -> Iterator[Scene]:
    with open_world(database_url, tmp_path) as world:
        yield Scene(world)


def published(mint: Mint) -> list[str]:
    return [jwk["kid"] for jwk in public_jwks(mint.rt, mint.tenant.id)["keys"]]


def signer(mint: Mint, use: str = "access") -> str:
    return signing_key(mint.rt, mint.tenant.id, use).kid


def rotate(mint: Mint, **given: Any) -> str:
    (kid,) = rotate_key(mint.rt, mint.tenant, ctx=mint.world.ctx, actor=BY, **given)
    return kid


def pass_time(mint: Mint, seconds: int) -> dict[str, int]:
    mint.world.clock.advance(seconds)
    return advance_keys(mint.rt)


def by_kid(mint: Mint) -> dict[str, ScheduledKey]:
    return {one.kid: one for one in read_schedule(mint.rt, mint.tenant)}


def change_settings(mint: Mint, **settings: Any) -> None:
    with mint.rt.database.unscoped(write=True) as session:
        row = session.get(Tenant, mint.tenant.id)
        assert row is not None
        row.settings = settings
    mint.write(lambda connection: bump(connection, mint.tenant.id))
    mint.refresh()


def test_a_key_is_published_for_a_max_age_and_a_margin_before_it_signs(mint: Mint):
    (old,) = published(mint)
    new = rotate(mint)
    assert set(published(mint)) == {old, new}
    assert signer(mint) == old
    assert pass_time(mint, LEAD - 1) == {}
    assert signer(mint) == old
    assert pass_time(mint, 1) == {"used": 1}
    assert signer(mint) == new
    assert set(published(mint)) == {old, new}


def test_a_retired_key_leaves_when_its_last_token_is_over_and_not_before(mint: Mint):
    (old,) = published(mint)
    new = rotate(mint)
    mint.world.clock.advance(LEAD)
    last = mint.mint(expires_at=mint.now + LONGEST_TOKEN_SECONDS["access"]).token
    advance_keys(mint.rt)
    pass_time(mint, LONGEST_TOKEN_SECONDS["access"] - 1)
    assert verify_access_token(mint.rt, mint.tenant, last, now=mint.now)
    assert old in published(mint)
    assert pass_time(mint, KEPT - LONGEST_TOKEN_SECONDS["access"]) == {}
    assert pass_time(mint, 1) == {"removed": 1}
    assert published(mint) == [new]
    with mint.rt.database.read(mint.tenant.id) as session:
        told = session.scalars(select(AuditRecord).where(AuditRecord.event.like("key.%")))
        assert {(one.event, one.target_id) for one in told} == {
            ("key.created", new),
            ("key.rotated", new),
            ("key.removed", old),
        }


def test_keys_follow_each_other_by_themselves_every_thirty_days(mint: Mint):
    (first,) = published(mint)
    advance_keys(mint.rt)
    assert pass_time(mint, 30 * DAY_SECONDS - LEAD - 1) == {}
    assert pass_time(mint, 1) == {"published": 1}
    (second,) = set(published(mint)) - {first}
    schedule = by_kid(mint)
    assert schedule[second].signs_at == schedule[first].signs_until == mint.now + LEAD
    assert pass_time(mint, LEAD) == {"used": 1}
    assert (signer(mint), by_kid(mint)[first].state) == (second, "retiring")
    assert pass_time(mint, KEPT) == {"removed": 1}
    assert published(mint) == [second]
    assert pass_time(mint, 30 * DAY_SECONDS - LEAD - KEPT) == {"published": 1}


def test_a_shorter_period_is_noticed_within_a_day_and_zero_leaves_it_to_people(mint: Mint):
    advance_keys(mint.rt)
    change_settings(mint, key_rotation_days=0)
    assert pass_time(mint, 400 * DAY_SECONDS) == {}
    change_settings(mint, key_rotation_days=1)
    assert pass_time(mint, DAY_SECONDS) == {"published": 1}


def test_one_process_moves_the_keys_and_a_second_call_changes_nothing(mint: Mint):
    rotate(mint)
    mint.world.clock.advance(LEAD)
    mint.write(lambda c: acquire_lease(c, name=LEASE, holder="another", now=mint.now, ttl_seconds=60))
    assert advance_keys(mint.rt) == {}
    assert pass_time(mint, 61) == {"used": 1}
    assert advance_keys(mint.rt) == {}


def test_a_second_rotation_does_not_publish_a_second_next_key(mint: Mint):
    assert rotate(mint) == rotate(mint)
    assert len(published(mint)) == 2


def test_a_key_can_be_used_at_once_and_with_another_algorithm(mint: Mint):
    (old,) = published(mint)
    new = rotate(mint, algorithm="PS256", at_once=True)
    assert (signer(mint), signing_algorithms(mint.rt, mint.tenant.id, "access")) == (new, ["PS256"])
    assert by_kid(mint)[old].state == "retiring"


def test_revoking_the_signing_key_lets_the_published_one_sign(mint: Mint):
    (old,) = published(mint)
    new = rotate(mint)
    token = mint.mint().token
    assert mint.write(lambda c: revoke_key(c, mint.rt, mint.tenant.id, old, now=mint.now))
    assert (signer(mint), published(mint)) == (new, [new])
    with pytest.raises(Refusal) as refused:
        verify_access_token(mint.rt, mint.tenant, token, now=mint.now)
    assert refused.value.reason == "key_revoked"
    # What is revoked stays listed for a month, and nothing brings it back.
    assert by_kid(mint)[old].state == "revoked"
    assert "removed" not in pass_time(mint, LEAD)
    assert pass_time(mint, 30 * DAY_SECONDS)["removed"] == 1
    assert old not in by_kid(mint)


def test_revoking_the_next_key_brings_another_a_day_later(mint: Mint):
    advance_keys(mint.rt)
    assert pass_time(mint, 30 * DAY_SECONDS - LEAD) == {"published": 1}
    (waiting,) = [one.kid for one in by_kid(mint).values() if one.state == "next"]
    assert mint.write(lambda c: revoke_key(c, mint.rt, mint.tenant.id, waiting, now=mint.now))
    assert pass_time(mint, LEAD + DAY_SECONDS) == {"published": 1}


def test_every_process_honours_a_change_at_once(mint: Mint):
    rotate(mint)
    before = tenant_keys(mint.rt, mint.tenant.id)
    pass_time(mint, LEAD)
    assert tenant_keys(mint.rt, mint.tenant.id) is not before


def test_id_tokens_are_signed_as_each_client_is_registered(scene: Scene):
    world, tenant = scene.world, scene.tenant
    for algorithm in ("ES256", "RS256"):
        with world.rt.database.write(tenant.id) as session:
            create_key(session, world.rt, tenant.id, "id", now=world.now, algorithm=algorithm)
    assert header_of_id_token(scene, None)["alg"] == "ES256"
    assert header_of_id_token(scene, "RS256")["alg"] == "RS256"
    with pytest.raises(Refusal) as refused:
        header_of_id_token(scene, "PS256")
    assert refused.value.reason == "no_key_for_algorithm"


def test_an_algorithm_that_is_wanted_later_gets_its_key_published_first(mint: Mint):
    mint.write(lambda c: create_key(c, mint.rt, mint.tenant.id, "id", now=mint.now))
    assert publish_missing_keys(mint.rt, mint.tenant, ctx=mint.world.ctx, actor=BY) == 0
    change_settings(mint, id_token_algorithms=["ES256", "RS256"])
    assert publish_missing_keys(mint.rt, mint.tenant, ctx=mint.world.ctx, actor=BY) == 1
    assert signing_algorithms(mint.rt, mint.tenant.id, "id") == ["ES256"]
    pass_time(mint, LEAD)
    assert signing_algorithms(mint.rt, mint.tenant.id, "id") == ["ES256", "RS256"]
    # Wanted no more: the key signs nothing from its next turn on, and leaves when its tokens are over.
    change_settings(mint, id_token_algorithms=["ES256"])
    pass_time(mint, 30 * DAY_SECONDS)
    pass_time(mint, LEAD)
    assert signing_algorithms(mint.rt, mint.tenant.id, "id") == ["ES256"]


def header_of_id_token(scene: Scene, algorithm: str | None) -> dict[str, Any]:
    with scene.world.rt.database.core_read() as connection:
        token = issue_id_token(
            connection,
            scene.world.rt,
            scene.tenant,
            user_id=scene.maya,
            client_id="cli_a",
            nonce="n",
            scopes=frozenset({"openid"}),
            sign_in={},
            now=scene.world.now,
            algorithm=algorithm,
        )
    return json.loads(decode(token.split(".")[0]))

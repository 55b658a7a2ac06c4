"""Our keys towards providers: made once, sealed to their row, changed with an overlap."""

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from sqlalchemy import select

from broker.federation import service_keys
from broker.federation.models import ServiceKeyPair
from broker.federation.service_keys import (
    OVERLAP_SECONDS,
    drop_former_keys,
    get_service_keys,
    list_service_keys,
    publish_next_keys,
    use_next_keys,
)
from broker.kernel.errors import Refusal
from broker.kernel.sealing import SealBroken
from broker.tenants.snapshot import TenantSnapshot
from idp_connectors.base import ServiceKeys
from tests.builders.world import World, open_world

CON = "con_1"


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
def acme(world: World, monkeypatch: pytest.MonkeyPatch) -> TenantSnapshot:
    # The rules are the same for keys that are found faster.
    monkeypatch.setattr(service_keys, "RSA_BITS", 2048)
    return world.tenant()


def keys(world: World, acme: TenantSnapshot, connection_id: str = CON) -> ServiceKeys:
    return get_service_keys(world.rt, acme.id, connection_id, world.now)


def publish(world: World, acme: TenantSnapshot) -> int:
    with world.rt.database.core_write() as core:
        return publish_next_keys(core, world.rt, acme.id, CON, world.now)


def use(world: World, acme: TenantSnapshot, **how: bool) -> int:
    with world.rt.database.core_write() as core:
        return use_next_keys(core, acme.id, CON, world.now, **how)


def test_keys_are_made_once_for_each_connection(world: World, acme: TenantSnapshot):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: keys(world, acme).signing.id, range(4)))
    assert len(set(found)) == 1
    first = keys(world, acme)
    assert first.signing.id != first.published_encryption[0].id
    assert keys(world, acme, "con_2").signing.id != first.signing.id
    with world.rt.database.core_read() as core:
        assert len(core.execute(select(ServiceKeyPair.__table__)).all()) == 4


def test_the_certificate_belongs_to_the_key(world: World, acme: TenantSnapshot):
    signing = keys(world, acme).signing
    certificate = x509.load_der_x509_certificate(base64.b64decode(signing.certificate))
    assert certificate.public_key() == signing.private.public_key()
    assert certificate.not_valid_before_utc.timestamp() < world.now
    assert "PRIVATE" not in repr(signing)
    assert "private" not in repr(signing)


def test_the_private_part_is_sealed_for_its_own_row(world: World, acme: TenantSnapshot):
    keys(world, acme)
    with world.rt.database.core_read() as core:
        row = core.execute(select(ServiceKeyPair.__table__)).first()
    context = f"{acme.id}/service_keys/sealed_private/{row.id}"
    assert world.rt.sealer.open(row.sealed_private, context).startswith(b"0")
    # Without the context, whoever can write rows could have one tenant sign with another's key.
    with pytest.raises(SealBroken):
        world.rt.sealer.open(row.sealed_private, context.replace(acme.id, "ten_other"))


def test_next_keys_are_published_before_they_are_used_and_former_ones_open_until_they_are_dropped(
    world: World, acme: TenantSnapshot
):
    first = keys(world, acme)
    assert publish(world, acme) == 2
    both = keys(world, acme)
    assert both.signing.id == first.signing.id
    assert both.published_signing[1].id == first.signing.id
    assert len(both.published_signing) == len(both.published_encryption) == len(both.decrypting) == 2

    world.clock.advance(OVERLAP_SECONDS)
    assert use(world, acme) == 2
    after = keys(world, acme)
    assert after.signing.id == both.published_signing[0].id
    assert [key.id for key in after.published_signing] == [after.signing.id]
    assert [key.id for key in after.published_encryption] == [both.published_encryption[0].id]
    assert after.decrypting[1].id == first.decrypting[0].id

    with world.rt.database.core_write() as core:
        assert drop_former_keys(core, acme.id, CON) == 2
    assert [key.id for key in keys(world, acme).decrypting] == [after.decrypting[0].id]


def test_next_keys_are_not_used_before_providers_can_know_them(world: World, acme: TenantSnapshot):
    keys(world, acme)
    with pytest.raises(Refusal) as caught:
        use(world, acme)
    assert caught.value.reason == "no_next_keys"
    publish(world, acme)
    with pytest.raises(Refusal) as caught:
        publish(world, acme)
    assert caught.value.reason == "keys_published"
    world.clock.advance(OVERLAP_SECONDS - 1)
    with pytest.raises(Refusal) as caught:
        use(world, acme)
    assert caught.value.reason == "keys_too_new"
    assert use(world, acme, before_overlap=True) == 2


def test_what_administrators_see_holds_no_private_part(world: World, acme: TenantSnapshot):
    keys(world, acme)
    publish(world, acme)
    with world.rt.database.core_read() as core:
        listed = list_service_keys(core, acme.id, CON)
        assert list_service_keys(core, "ten_other", CON) == []
    assert [(one["number"], one["use"], one["state"]) for one in listed] == [
        (2, "encryption", "next"),
        (2, "signing", "next"),
        (1, "encryption", "active"),
        (1, "signing", "active"),
    ]
    assert not any("private" in name for one in listed for name in one)

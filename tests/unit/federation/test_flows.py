"""Sign-ins in progress: taken once, by their own browser, on every database."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from broker.federation.deps import connector_deps
from broker.federation.flows import TakenFlow, keep_answer, start_flow, take_flow
from broker.kernel.errors import ErrorCode, Refusal
from broker.tenants.snapshot import TenantSnapshot
from tests.builders.world import World, open_world

HANDLE, BROWSER = "h" * 43, "b" * 43


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(database_url, tmp_path) as opened:
        yield opened


def start(world: World, tenant: TenantSnapshot, handle: str = HANDLE, browser: str = BROWSER) -> None:
    with world.rt.database.core_write() as core:
        start_flow(
            core,
            world.rt.sealer,
            tenant_id=tenant.id,
            connection_id="con_1",
            handle=handle,
            browser_secret=browser,
            private={"nonce": "n"},
            resume_url="/t/acme/me/agents",
            now=world.now,
        )


def take(
    world: World,
    tenant: TenantSnapshot,
    handle: str = HANDLE,
    browser: str | None = BROWSER,
    connection_id: str = "con_1",
) -> TakenFlow:
    with world.rt.database.core_write() as core:
        return take_flow(
            core,
            world.rt.sealer,
            tenant_id=tenant.id,
            connection_id=connection_id,
            handle=handle,
            browser_secret=browser,
            now=world.now,
        )


def keep(world: World, tenant: TenantSnapshot, form: dict[str, str]) -> None:
    with world.rt.database.core_write() as core:
        keep_answer(
            core,
            world.rt.sealer,
            tenant_id=tenant.id,
            connection_id="con_1",
            handle=HANDLE,
            form=form,
            now=world.now,
        )


def refused(world: World, tenant: TenantSnapshot, **given: str | None) -> str:
    with pytest.raises(Refusal) as caught:
        take(world, tenant, **given)  # type: ignore[arg-type]
    assert caught.value.code is ErrorCode.SIGN_IN_EXPIRED
    return caught.value.reason


def test_a_flow_is_taken_with_what_was_kept(world: World) -> None:
    acme = world.tenant()
    start(world, acme)
    keep(world, acme, {"SAMLResponse": "x", "RelayState": HANDLE})
    taken = take(world, acme)
    assert taken.private == {"nonce": "n"}
    assert taken.form == {"SAMLResponse": "x", "RelayState": HANDLE}
    assert taken.resume_url == "/t/acme/me/agents"
    assert refused(world, acme) == "flow_reused"


def test_only_its_browser_connection_and_tenant_take_a_flow(world: World) -> None:
    acme, beta = world.tenant(), world.tenant("beta")
    start(world, acme)
    assert refused(world, acme, browser="c" * 43) == "flow_of_other_browser"
    assert refused(world, acme, browser=None) == "flow_of_other_browser"
    assert refused(world, acme, connection_id="con_2") == "flow_of_other_connection"
    assert refused(world, acme, handle="i" * 43) == "flow_unknown"
    assert refused(world, beta) == "flow_unknown"
    world.clock.advance(599)
    assert take(world, acme).form == {}


def test_a_flow_expires(world: World) -> None:
    acme = world.tenant()
    start(world, acme)
    world.clock.advance(600)
    assert refused(world, acme) == "flow_expired"


def test_a_second_answer_is_refused(world: World) -> None:
    acme = world.tenant()
    start(world, acme)
    keep(world, acme, {"SAMLResponse": "first"})
    with pytest.raises(Refusal) as caught:
        keep(world, acme, {"SAMLResponse": "second"})
    assert caught.value.reason == "answer_repeated"
    assert take(world, acme).form == {"SAMLResponse": "first"}


def test_of_many_takers_one_wins(world: World) -> None:
    acme = world.tenant()
    start(world, acme)

    def attempt(_: int) -> bool:
        try:
            take(world, acme)
        except Refusal:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(24))) == 1


def test_single_use_marks_stand_whatever_follows(world: World) -> None:
    acme, beta = world.tenant(), world.tenant("beta")
    deps = connector_deps(world.rt, acme.id, world.now)
    assert deps.now == world.now
    assert deps.spend("saml_assertion", "id-1", world.now + 60)
    assert not deps.spend("saml_assertion", "id-1", world.now + 60)
    assert deps.spend("saml_assertion", "id-2", world.now + 60)
    assert connector_deps(world.rt, beta.id, world.now).spend("saml_assertion", "id-1", world.now + 60)
    assert connector_deps(world.rt, beta.id, world.now).cache is deps.cache

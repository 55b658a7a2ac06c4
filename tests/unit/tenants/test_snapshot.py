"""Tenant look-up and settings: current, bounded, and the same answer for what must not be told apart."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, update

from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.versions import bump
from broker.tenants.models import Tenant
from broker.tenants.settings import TenantSettings, parse_settings
from broker.tenants.snapshot import find_tenant, get_tenant, require_tenant
from tests.builders.world import World, open_world


@pytest.fixture
def world(sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(sqlite_url, tmp_path) as world:
        yield world


def change(world: World, tenant_id: str, **values: Any) -> None:
    with world.rt.database.core_write() as connection:
        connection.execute(update(Tenant).where(Tenant.id == tenant_id).values(**values))
        bump(connection, tenant_id)


def test_a_tenant_is_found_by_its_slug_with_its_issuer(world: World):
    acme = world.tenant("acme", max_depth=2)
    found = find_tenant(world.rt, "acme")
    assert found is not None
    assert (found.id, found.issuer) == (acme.id, "http://127.0.0.1:8080/t/acme")
    assert found.settings.max_depth == 2
    assert find_tenant(world.rt, "acme") is found, "kept while nothing changed"


@pytest.mark.parametrize(
    "slug", ["", "ACME", "acme ", "acme/", "acme%", "a" * 64, "-acme", "acme\n", "ac_me"]
)
def test_a_slug_has_one_spelling(world: World, slug: str):
    world.tenant("acme")
    assert find_tenant(world.rt, slug) is None


def test_a_change_is_seen_at_the_next_look(world: World):
    acme = world.tenant("acme")
    change(world, acme.id, name="Changed", settings={"fan_out": 5}, cutoff_at=7)
    found = require_tenant(world.rt, "acme")
    assert (found.name, found.settings.fan_out, found.cutoff_at) == ("Changed", 5, 7)


def test_a_renamed_tenant_is_not_found_under_its_former_name(world: World):
    acme = world.tenant("acme")
    change(world, acme.id, slug="acme-two")
    assert find_tenant(world.rt, "acme") is None
    assert require_tenant(world.rt, "acme-two").id == acme.id


def test_unknown_and_disabled_tenants_get_the_same_answer(world: World):
    world.tenant("acme")
    world.tenant("closed", state="disabled")
    assert require_tenant(world.rt, "acme").is_active
    answers = []
    for slug in ("closed", "never-existed"):
        with pytest.raises(Refusal) as refused:
            require_tenant(world.rt, slug)
        answers.append((refused.value.code, refused.value.public, refused.value.reason, refused.value.status))
    assert answers[0] == answers[1]
    assert answers[0][0] is ErrorCode.NOT_FOUND


def test_a_look_up_asks_for_one_tenant_whatever_else_there_is(world: World):
    for number in range(5):
        world.tenant(f"tenant-{number}")
    statements: list[str] = []
    event.listen(world.rt.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    assert find_tenant(world.rt, "nobody") is None
    assert [one for one in statements if "WHERE tenants.slug = ?" in one] == statements != []
    statements.clear()
    assert find_tenant(world.rt, "tenant-3") is not None
    assert all("WHERE" in one for one in statements)


def test_an_unknown_id_is_none(world: World):
    assert get_tenant(world.rt, "ten_unknown") is None


def test_people_of_a_domain_get_its_active_connections(world: World):
    acme = world.tenant()
    world.connection(acme, "okta", domains=["acme.example"])
    world.connection(acme, "entra", domains=["acme.example", "other.example"])
    world.connection(acme, "closed", domains=["acme.example"], state="disabled")
    now = world.again(acme)
    assert [one.slug for one in now.connections_for("ACME.example")] == ["entra", "okta"]
    assert [one.slug for one in now.connections_for("other.example")] == ["entra"]
    assert now.connections_for("evil.example") == ()
    closed = now.find_connection("closed")
    assert closed is not None
    assert not closed.is_active


def test_settings_have_safe_defaults():
    assert parse_settings({}) == TenantSettings()
    assert TenantSettings().limits.ttl_at(2) == 300
    assert parse_settings({"consent_choices_seconds": [600, 3600]}).consent_choices_seconds == (600, 3600)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"max_dept": 1}, "unknown key 'max_dept'; did you mean 'max_depth'?"),
        ({4: 1}, "unknown key 4"),
        ({"max_depth": 9}, "max_depth: "),
        ({"max_depth": "3"}, "max_depth: "),
        ({"max_depth": True}, "max_depth: "),
        ({"code_ttl_seconds": 61}, "code_ttl_seconds: "),
        ({"grant_ttl_seconds": 31 * 86400}, "grant_ttl_seconds: "),
        ({"consent_choices_seconds": []}, "consent_choices_seconds: "),
        ({"consent_choices_seconds": [31 * 86400]}, "consent_choices_seconds.0: "),
        ({"access_ttl_seconds": 3601}, "access_ttl_seconds: "),
        ({"deep_ttl_seconds": 901}, "deep_ttl_seconds: "),
        ({"admin_role": 3}, "admin_role: "),
    ],
)
def test_settings_out_of_range_are_named(given: dict[Any, Any], why: str):
    with pytest.raises(Refusal) as refused:
        parse_settings(given)
    assert refused.value.code is ErrorCode.BAD_CONFIGURATION
    assert refused.value.public.startswith(why)

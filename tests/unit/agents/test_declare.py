"""Applying a declared configuration: again changes nothing, and absent things stay."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from broker.agents.declare import DocumentRefused
from broker.agents.models import Agent, Client, Resource
from broker.agents.snapshot import load_agents
from broker.audit.models import AuditRecord
from broker.directory.models import GroupMapping, Role
from broker.tenants.connections import open_secrets
from broker.tenants.models import Connection, Tenant
from broker.tenants.snapshot import find_tenant
from tests.builders.declared import ACME, ENVIRON, Applying, count_rows, edited, put_into
from tests.builders.world import SECRET, TICKETS, World, open_world


@pytest.fixture
def world(sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(sqlite_url, tmp_path) as world:
        yield world


@pytest.fixture
def apply(world: World, tmp_path: Path) -> Applying:
    return Applying(world, tmp_path)


def events(world: World) -> list[AuditRecord]:
    with world.rt.database.unscoped() as session:
        return list(session.scalars(select(AuditRecord).where(AuditRecord.event == "config.applied")))


def test_a_connection_names_the_make_of_its_provider_and_keeps_it(world: World, apply: Applying):
    apply(edited(ACME, put_into("connections", 0, "preset", value="okta")))
    assert apply(ACME) == []
    assert preset_of_okta(world) == "okta"
    unnamed = edited(ACME, put_into("connections", 0, "preset", value=""))
    assert apply(unnamed) == ["~ connection okta (preset)"]
    assert preset_of_okta(world) == ""


def preset_of_okta(world: World) -> str:
    acme = find_tenant(world.rt, "acme")
    assert acme is not None
    (okta,) = acme.connections.values()
    return okta.preset


def test_the_first_application_makes_everything(world: World, apply: Applying):
    changes = apply(ACME)
    assert "+ tenant acme" in changes
    assert "+ agent writer" in changes
    assert all(change.startswith("+") for change in changes)
    acme = find_tenant(world.rt, "acme")
    assert acme is not None
    assert apply.new_tenants == [acme.id]
    assert (acme.name, acme.settings.max_depth, acme.settings.fan_out) == ("Acme", 3, 32)
    (okta,) = acme.connections.values()
    assert okta.domains == {"acme.example", "acme.test"}
    assert okta.config == {
        "issuer": "https://acme.okta.example",
        "client_id": "broker",
        "groups": ["groups"],
    }
    with world.rt.database.core_read() as connection:
        assert open_secrets(world.rt, connection, acme.id, okta.id) == {"client_secret": "upstream-secret"}
    known = load_agents(world.rt, acme.id)
    writer = known.client("writer")
    assert writer is not None
    agent = known.agent_of(writer)
    assert agent is not None
    assert (writer.auth_method, writer.name) == ("client_secret_basic", "Writer")
    assert writer.secret_hash == world.rt.sealer.fingerprint("client_secret", SECRET)
    assert agent.expires_at == world.now + 90 * 86400
    assert {known.agents[one].slug for one in agent.delegable_to} == {"reader"}
    assert known.clients["tickets-mcp"].resource_id == known.resources[TICKETS].id
    (event,) = events(world)
    assert (event.tenant_id, event.data["created"], event.data["changed"]) == (acme.id, len(changes), 0)


def test_a_second_application_changes_nothing(world: World, apply: Applying):
    apply(ACME)
    acme = find_tenant(world.rt, "acme")
    world.clock.advance(86400)
    assert apply(ACME) == []
    assert find_tenant(world.rt, "acme") is acme, "the cached state was not even invalidated"
    assert len(events(world)) == 1
    assert len(apply.new_tenants) == 1


def test_a_change_is_told_by_field_and_never_by_value(world: World, apply: Applying):
    apply(ACME)

    def change(tenant: Any) -> None:
        tenant["agents"][0]["scopes"] = ["tickets:read"]
        tenant["connections"][0]["domains"] = ["acme.example"]
        tenant["settings"]["max_depth"] = 2

    new_secrets = {**ENVIRON, "OKTA_SECRET": "rotated-upstream", "WRITER_SECRET": SECRET + "-rotated"}
    assert apply(edited(ACME, change), environ=new_secrets) == [
        "~ tenant acme (settings)",
        "~ connection okta (sealed_secrets)",
        "~ connection okta (domains)",
        "~ agent writer (scopes)",
        "~ client writer (secret_hash)",
    ]
    assert "rotated" not in json.dumps([event.data for event in events(world)])
    acme = find_tenant(world.rt, "acme")
    assert acme is not None
    assert acme.settings.max_depth == 2
    assert apply(edited(ACME, change), environ=new_secrets) == []


def test_what_the_document_does_not_name_is_left_alone(world: World, apply: Applying):
    apply(ACME)
    before = {
        model: count_rows(world, model) for model in (Agent, Client, Resource, Role, GroupMapping, Connection)
    }
    assert apply("tenants: [{slug: acme}]") == []
    assert apply("tenants: [{slug: acme, agents: [{slug: writer, name: Author}]}]") == [
        "~ agent writer (name)"
    ]
    assert {model: count_rows(world, model) for model in before} == before


def test_nothing_that_was_switched_off_comes_back(world: World, apply: Applying):
    apply(ACME)
    with world.rt.database.unscoped(write=True) as session:
        for row in session.scalars(select(Agent)):
            row.state = "killed"
        for tenant in session.scalars(select(Tenant)):
            tenant.state = "disabled"
    apply(edited(ACME, lambda tenant: tenant["agents"][0].update(name="Author")))
    with world.rt.database.unscoped() as session:
        assert set(session.scalars(select(Agent.state))) == {"killed"}
        assert set(session.scalars(select(Tenant.state))) == {"disabled"}


def test_a_dry_run_says_what_would_be_done_and_does_nothing(world: World, apply: Applying):
    planned = apply(ACME, dry_run=True)
    assert count_rows(world, Tenant) == 0
    assert apply(ACME) == planned


def test_secrets_and_key_sets_come_from_files_beside_the_document(world: World, apply: Applying):
    (apply.folder / "okta.secret").write_text("from-a-file\n")
    key = {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "BBBB", "kid": "k1"}
    (apply.folder / "writer.jwks").write_text(json.dumps({"keys": [key]}))

    def change(tenant: Any) -> None:
        tenant["connections"][0]["config"]["client_secret"] = {"file": "okta.secret"}
        client = tenant["agents"][0]["client"]
        del client["client_secret"]
        client["jwks"] = {"file": "writer.jwks"}

    apply(edited(ACME, change))
    acme = find_tenant(world.rt, "acme")
    assert acme is not None
    (okta,) = acme.connections.values()
    with world.rt.database.core_read() as connection:
        assert open_secrets(world.rt, connection, acme.id, okta.id) == {"client_secret": "from-a-file"}
    writer = load_agents(world.rt, acme.id).clients["writer"]
    assert (writer.auth_method, writer.jwks) == ("private_key_jwt", {"keys": [key]})
    # From key to secret: what belongs to the former method goes.
    assert apply(ACME) == [
        "~ connection okta (sealed_secrets)",
        "~ client writer (auth_method, jwks, secret_hash)",
    ]
    assert load_agents(world.rt, acme.id).clients["writer"].jwks is None


def test_a_client_never_changes_hands(world: World, apply: Applying):
    apply(ACME)
    before = load_agents(world.rt, find_tenant(world.rt, "acme").id).clients["writer"]  # type: ignore[union-attr]

    def steal(tenant: Any) -> None:
        tenant["agents"][1]["client"] = tenant["agents"][0].pop("client")

    with pytest.raises(DocumentRefused, match="bad_document") as refused:
        apply(edited(ACME, steal))
    assert "already belongs to another agent" in refused.value.faults[0]
    after = load_agents(world.rt, find_tenant(world.rt, "acme").id).clients["writer"]  # type: ignore[union-attr]
    assert after == before


def test_a_connection_keeps_its_kind(apply: Applying):
    apply(ACME)
    with pytest.raises(DocumentRefused) as refused:
        apply(edited(ACME, put_into("connections", 0, "kind", value="saml")))
    assert "for good" in refused.value.faults[0]

"""Faults of a document are told with their places, all at once, and nothing is written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from broker.agents.declare import DocumentRefused, parse_document
from broker.agents.models import Agent
from broker.audit.models import AuditRecord
from broker.tenants.models import Tenant
from tests.builders.declared import ACME, Applying, count_rows, edited, put_into
from tests.builders.world import World, open_world


@pytest.fixture
def world(sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(sqlite_url, tmp_path) as world:
        yield world


@pytest.fixture
def apply(world: World, tmp_path: Path) -> Applying:
    return Applying(world, tmp_path)


@pytest.mark.parametrize(
    ("where", "key", "fault"),
    [
        pytest.param(
            (), "conections", "tenants[0]: unknown key 'conections'; did you mean 'connections'?", id="tenant"
        ),
        pytest.param(
            ("agents", 0),
            "scops",
            "tenants[0].agents[0]: unknown key 'scops'; did you mean 'scopes'?",
            id="agent",
        ),
        pytest.param(
            ("agents", 0, "client"),
            "redirect_uri",
            "tenants[0].agents[0].client: unknown key 'redirect_uri'; did you mean 'redirect_uris'?",
            id="client",
        ),
        pytest.param(
            ("settings",),
            "max_dept",
            "tenants[0]: unknown key 'max_dept'; did you mean 'max_depth'?",
            id="settings",
        ),
        pytest.param(
            ("connections", 0, "config"),
            "isuer",
            "tenants[0].connections[0].config: unknown key 'isuer'; did you mean 'issuer'?",
            id="connector-config",
        ),
        pytest.param(("roles", 0), "xyzzy", "tenants[0].roles[0]: unknown key 'xyzzy'", id="nothing-close"),
    ],
)
def test_an_unknown_key_names_its_place_and_the_likely_key(
    world: World, apply: Applying, where: tuple[Any, ...], key: str, fault: str
):
    def change(tenant: Any) -> None:
        target = tenant
        for step in where:
            target = target[step]
        target[key] = 1

    with pytest.raises(DocumentRefused) as refused:
        apply(edited(ACME, change))
    assert refused.value.faults == (fault,)
    assert count_rows(world, Tenant) == 0


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        pytest.param(
            put_into("roles", 0, "scopes", value=["tickets:wrte"]),
            "tenants[0].roles[0].scopes: there is no scope 'tickets:wrte'; did you mean 'tickets:write'?",
            id="role-gates-a-misspelt-scope",
        ),
        pytest.param(
            put_into("agents", 0, "delegable_to", value=["raeder"]),
            "tenants[0].agents[0].delegable_to: there is no agent 'raeder'; did you mean 'reader'?",
            id="unknown-successor",
        ),
        pytest.param(
            put_into("group_mappings", 0, "connection", value="okto"),
            "tenants[0].group_mappings[0].connection: there is no connection 'okto'; did you mean 'okta'?",
            id="unknown-connection",
        ),
        pytest.param(
            put_into("settings", "admin_role", value="admn"),
            "tenants[0].settings.admin_role: there is no role 'admn'; did you mean 'admin'?",
            id="unknown-admin-role",
        ),
        pytest.param(
            put_into("settings", "onboarding", value={"template": {"scopes": ["tickets:raed"]}}),
            "tenants[0].settings.onboarding.template.scopes: there is no scope 'tickets:raed'"
            "; did you mean 'tickets:read'?",
            id="onboarding-scope",
        ),
        pytest.param(
            put_into("settings", "onboarding", value={"template": {"agent": "raeder"}}),
            "tenants[0].settings.onboarding.template.agent: there is no agent 'raeder'"
            "; did you mean 'reader'?",
            id="onboarding-agent",
        ),
        pytest.param(
            put_into("settings", "onboarding", value={"cimd": "everybody"}),
            "tenants[0].onboarding.cimd: Input should be 'off', 'listed' or 'any'",
            id="onboarding-choice",
        ),
        pytest.param(
            put_into("connections", 0, "kind", value="odic"),
            "tenants[0].connections[0].kind: there is no 'odic', only oidc; did you mean 'oidc'?",
            id="unknown-kind",
        ),
        pytest.param(
            put_into("connections", 0, "preset", value="otka"),
            "tenants[0].connections[0].preset: there is no preset 'otka'; did you mean 'okta'?",
            id="unknown-preset",
        ),
        pytest.param(
            put_into("connections", 0, "preset", value="saml-only"),
            "tenants[0].connections[0].preset: 'saml-only' says nothing of connections of kind 'oidc'",
            id="preset-of-another-protocol",
        ),
        pytest.param(
            put_into("agents", 0, "client", "grant_types", value=["authorisation_code"]),
            "tenants[0].agents[0].client.grant_types: 'authorisation_code' is not known"
            "; did you mean 'authorization_code'?",
            id="unknown-grant-type",
        ),
        pytest.param(
            put_into("connections", 0, "domains", value=["Acme.Example"]),
            "tenants[0].connections[0].domains: 'Acme.Example' is not a domain in lower case",
            id="domain-spelling",
        ),
        pytest.param(
            put_into("group_mappings", 0, "pattern", value="**"),
            "tenants[0].group_mappings[0].pattern: needs 1 to 500 printable characters, "
            "and more than wildcards",
            id="A09-mapping-for-everybody",
        ),
        pytest.param(
            put_into("agents", 1, "slug", value="writer"),
            "tenants[0].agents[1]: the agent 'writer' is declared twice",
            id="declared-twice",
        ),
        pytest.param(
            put_into("agents", 1, "expires_in_days", value=None),
            "tenants[0].agents[1].expires_at: an agent needs an end (or expires_in_days)",
            id="agent-without-end",
        ),
        pytest.param(
            put_into("agents", 1, "owner", value=None),
            "tenants[0].agents[1].owner: an agent needs somebody who answers for it",
            id="agent-without-owner",
        ),
        pytest.param(
            put_into("connections", 0, "config", "client_secret", value="written-out"),
            "tenants[0].connections[0].config.client_secret: write {env: NAME} or {file: PATH}, "
            "so that the document holds no secret",
            id="connection-secret-written-out",
        ),
        pytest.param(
            put_into("agents", 0, "client", "client_secret", value="written-out"),
            "tenants[0].agents[0].client.client_secret: write {env: NAME} or {file: PATH}, "
            "so that the document holds no secret",
            id="client-secret-written-out",
        ),
        pytest.param(
            put_into("agents", 0, "client", "client_secret", value={"env": "NOT_SET"}),
            "tenants[0].agents[0].client: the environment variable NOT_SET is not set",
            id="environment-not-set",
        ),
        pytest.param(
            put_into("agents", 0, "client", "client_secret", value={"file": "absent"}),
            "tenants[0].agents[0].client: the file absent cannot be read",
            id="file-absent",
        ),
        pytest.param(
            put_into("connections", 0, "config", value={"client_secret": {"env": "OKTA_SECRET"}}),
            "tenants[0].connections[0].config.issuer: "
            "The connection's settings are not usable: Field required.",
            id="connector-refuses",
        ),
    ],
)
def test_a_fault_is_told_with_its_place_and_nothing_is_written(
    world: World, apply: Applying, change: Any, fault: str
):
    with pytest.raises(DocumentRefused) as refused:
        apply(edited(ACME, change))
    assert refused.value.faults == (fault,)
    assert (count_rows(world, Tenant), count_rows(world, Agent), count_rows(world, AuditRecord)) == (0, 0, 0)
    assert "written-out" not in str(refused.value.faults)
    assert apply(ACME), "the valid twin passes"


def test_a_fault_in_one_tenant_stops_the_whole_document(world: World, apply: Applying):
    both = yaml.safe_load(ACME)
    both["tenants"].append({"slug": "Globex!"})
    with pytest.raises(DocumentRefused) as refused:
        apply(yaml.safe_dump(both))
    assert refused.value.faults[0].startswith("tenants[1].slug: 'Globex!' must be lower-case")
    assert count_rows(world, Tenant) == 0


def test_every_fault_is_told_at_once(apply: Applying):
    def change(tenant: Any) -> None:
        tenant["agents"][0]["max_depth"] = 99
        tenant["agents"][1]["ttl_seconds"] = 5
        tenant["resources"][0]["scopes"]["tickets:read"]["effect"] = "reading"

    with pytest.raises(DocumentRefused) as refused:
        apply(edited(ACME, change))
    assert [fault.split(":")[0] for fault in refused.value.faults] == [
        "tenants[0].resources[0].scopes.tickets",
        "tenants[0].agents[0].max_depth",
        "tenants[0].agents[1].ttl_seconds",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("tenants: [", "line 1, column 11", id="not-closed"),
        pytest.param("[]", "the document needs a list", id="not-a-mapping"),
        pytest.param("", "the document needs a list", id="empty"),
        pytest.param("tenants: 3", "tenants: ", id="not-a-list"),
        pytest.param(
            "tenants: []\ntenants: []", "line 2, column 1: 'tenants' is given twice", id="key-twice"
        ),
        pytest.param("tenant: []", "unknown key 'tenant'; did you mean 'tenants'?", id="unknown-at-the-top"),
        pytest.param("a: !!python/object:os.system {}", "line 1", id="python-object"),
        pytest.param("#" * 2_000_001, "larger than any honest one", id="too-large"),
        pytest.param(
            "tenants: [{slug: a, agents: [{slug: b, ttl_seconds: '60'}]}]", "tenants[0].agents[0]", id="text"
        ),
        pytest.param(
            "tenants: [{slug: a, agents: [{slug: b, clients: [], client: {client_id: c}}]}]",
            "tenants[0].agents[0]: give client or clients",
            id="two-spellings",
        ),
    ],
)
def test_a_document_that_cannot_be_read_says_where(text: str, fault: str):
    with pytest.raises(DocumentRefused) as refused:
        parse_document(text)
    assert fault in refused.value.faults[0]

"""Trusts in a document: made, changed and left alone as everything else is, and never half made."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from broker.agents.declare import DocumentRefused
from broker.agents.models import Trust
from broker.agents.trusts.snapshot import load_trusts
from broker.tenants.snapshot import find_tenant
from tests.builders.declared import ACME, Applying, count_rows, edited
from tests.builders.world import World, open_world

KEY = {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "BBBB", "kid": "k1"}
TRUSTS: dict[str, dict[str, Any]] = {
    "target": {
        "issuer": "https://chat.example",
        "clients": {"writer": "chat-1"},
        "agents": ["writer"],
        "scopes": ["chat:read"],
        "resources": ["https://mcp.chat.example/mcp"],
    },
    "issuer": {
        "issuer": "https://partner.example",
        "connection": "okta",
        "jwks": {"keys": [KEY]},
        "clients": ["writer"],
        "scopes": ["tickets:read"],
    },
    "workload": {
        "issuer": "https://oidc.cluster.example",
        "jwks_uri": "https://oidc.cluster.example/keys",
        "subject": "system:serviceaccount:agents:writer",
        "client": "writer",
    },
    "subject": {"connection": "okta", "client": "writer", "audience": "writer-at-okta"},
}


@pytest.fixture
def world(sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    with open_world(sqlite_url, tmp_path) as world:
        yield world


def with_trust(kind: str, **changes: Any) -> str:
    entry = {"slug": f"the-{kind}", "kind": kind, "config": {**TRUSTS[kind], **changes}}

    def change(tenant: Any) -> None:
        tenant["trusts"] = [entry]

    return edited(ACME, change)


@pytest.mark.parametrize("kind", TRUSTS)
def test_a_trust_is_declared_once_and_found(world: World, tmp_path: Path, kind: str) -> None:
    apply = Applying(world, tmp_path)
    assert f"+ trust the-{kind}" in apply(with_trust(kind))
    assert apply(with_trust(kind)) == []
    tenant = find_tenant(world.rt, "acme")
    assert tenant is not None
    known = load_trusts(world.rt, tenant.id)
    assert len(known.targets) + len(known.issuers) + len(known.workloads) + len(known.subjects) == 1
    assert apply(yaml.safe_dump({"tenants": [{"slug": "acme", "trusts": [{"slug": f"the-{kind}"}]}]})) == []


def test_an_agent_may_have_scopes_of_a_target(world: World, tmp_path: Path) -> None:
    apply = Applying(world, tmp_path)
    apply(with_trust("target"))
    agent = {"slug": "writer", "scopes": ["tickets:read", "chat:read"]}
    assert apply(yaml.safe_dump({"tenants": [{"slug": "acme", "agents": [agent]}]})) == [
        "~ agent writer (scopes)"
    ]


@pytest.mark.parametrize(
    ("kind", "changes", "fault"),
    [
        pytest.param("issuer", {"connection": "otka"}, "did you mean 'okta'?", id="connection"),
        pytest.param(
            "issuer", {"jwks_uri": "https://x.example/k"}, "either jwks or jwks_uri", id="two-sources"
        ),
        pytest.param("issuer", {"jwks": None}, "either jwks or jwks_uri", id="no-keys"),
        pytest.param(
            "issuer", {"jwks": {"keys": [{**KEY, "d": "AA"}]}}, "private or symmetric", id="private"
        ),
        pytest.param("issuer", {"algorithms": ["HS256"]}, "algorithms", id="symmetric-algorithm"),
        pytest.param(
            "issuer", {"issuer": "http://127.0.0.1:8080/t/acme"}, "this tenant's own", id="own-issuer"
        ),
        pytest.param(
            "target", {"issuer": "http://127.0.0.1:8080/t/acme"}, "this tenant's own", id="own-target"
        ),
        pytest.param("target", {"agents": ["wrtier"]}, "did you mean 'writer'?", id="agent"),
        pytest.param(
            "target", {"issuer": "http://chat.example"}, "must be an https address", id="plain-http"
        ),
        pytest.param("target", {"ttl_seconds": 3600}, "ttl_seconds", id="ttl"),
        pytest.param("workload", {"subject": "*"}, "must name something", id="free-pattern"),
        pytest.param("workload", {"client": "nobody"}, "there is no client", id="client"),
        pytest.param("subject", {"outputs": ["session"]}, "outputs", id="output"),
        pytest.param("subject", {"audiense": "x"}, "did you mean 'audience'?", id="key"),
    ],
)
def test_a_trust_that_could_not_work_is_refused(
    world: World, tmp_path: Path, kind: str, changes: dict[str, Any], fault: str
) -> None:
    apply = Applying(world, tmp_path)
    with pytest.raises(DocumentRefused) as refused:
        apply(with_trust(kind, **changes))
    assert fault in refused.value.faults[0]
    assert refused.value.faults[0].startswith("tenants[0].trusts[0]")
    assert count_rows(world, Trust) == 0

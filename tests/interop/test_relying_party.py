"""oauth4webapi as relying party: a second reading of the RFCs, by somebody else, over every flow."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from broker.demo.mcp_server import CREATE, READ, STATUS
from broker.demo.world import running_world
from broker.kernel.clock import FixedClock
from tests.builders.maya import Maya, run_with_browser
from tests.builders.world import SECRET, World

pytestmark = pytest.mark.interop

CALLBACK = "http://127.0.0.1:1/callback"
RESOURCE = "http://127.0.0.1:9/relying"
SCOPES = {
    READ: {"description": "Read your tickets", "effect": "read"},
    CREATE: {"description": "Create tickets in your name", "effect": "change"},
    STATUS: {"description": "See whether the desk is open", "effect": "read"},
}


@dataclass
class Party:
    """The relying party as a program: one run is one flow."""

    node: str
    script: Path
    folder: Path
    issuer: str
    maya: Maya
    settings: dict[str, Any] = field(default_factory=dict)

    def run(self, flow: str, **changes: Any) -> dict[str, Any]:
        """Run a flow to its end and return what the program found; it fails where an answer is wrong."""
        setting = {
            "issuer": self.issuer,
            "flow": flow,
            "redirect_uri": CALLBACK,
            "resource": RESOURCE,
            "scope": f"openid profile {READ} {CREATE}",
            **changes,
        }
        return run_with_browser(self.node, self.script, self.folder, setting, self.maya)


@pytest.fixture
def party(node_packages: tuple[str, Path], tmp_path: Path) -> Iterator[Party]:
    """The relying party, registered in the demo world in three ways."""
    node, place = node_packages
    script = place / "relying_party.mjs"
    with running_world() as demo:
        rt, tenant = demo.broker.runtime, demo.broker.tenant
        builder = World(rt, FixedClock(rt.clock.now()))
        resource = builder.resource(tenant, RESOURCE, scopes=SCOPES, roles=["support.agent"])
        agent = builder.agent(tenant, "relying", scopes=SCOPES, roles=["support.agent"], resources=[RESOURCE])
        common = {"agent": agent, "redirect_uris": [CALLBACK], "application_type": "native"}
        scopes = ["openid", "profile", *SCOPES]
        key = ECKey.generate_key("P-256", {"kid": "one"}, private=True)
        builder.client(tenant, "by-secret", scopes=scopes, **common)
        builder.client(
            tenant,
            "by-key",
            auth_method="private_key_jwt",
            jwks={"keys": [key.as_dict(private=False)]},
            scopes=scopes,
            **common,
        )
        builder.client(
            tenant,
            "by-nothing",
            auth_method="none",
            grant_types=["authorization_code", "refresh_token"],
            scopes=scopes,
            **common,
        )
        builder.client(tenant, "by-resource", resource=resource, grant_types=(), scopes=(), redirect_uris=())
        one = Party(node, script, tmp_path, demo.tenant_url, Maya(demo, CALLBACK))
        one.settings = {"key": key.as_dict(private=True)}
        yield one


def how(party: Party, method: str) -> dict[str, Any]:
    """Return the settings of a client that proves itself by ``method``."""
    return {
        "secret": {"client": {"client_id": "by-secret"}, "secret": SECRET},
        "key": {"client": {"client_id": "by-key"}, "jwk": party.settings["key"]},
        "nothing": {"client": {"client_id": "by-nothing"}},
    }[method]


@pytest.mark.parametrize("method", ["secret", "key", "nothing"])
def test_code_refresh_and_revocation(party: Party, method: str):
    found = party.run("code", **how(party, method))
    assert found["identity"]["sub"] == found["claims"]["sub"]
    assert found["claims"]["act"]["sub"].startswith("agt_")
    assert found["newer"]["jti"] != found["claims"]["jti"]
    assert found["again"]["error"] == "invalid_grant"


@pytest.mark.parametrize("method", ["secret", "key"])
def test_client_credentials(party: Party, method: str):
    found = party.run("client_credentials", scope=STATUS, **how(party, method))
    assert found["claims"]["scope"] == STATUS


def test_exchange_narrows(party: Party):
    found = party.run("exchange", scope=f"{READ} {STATUS}", narrower=STATUS, **how(party, "key"))
    assert found["claims"]["scope"] == STATUS


def test_introspection_of_what_is_no_token(party: Party):
    client = {"client": {"client_id": "by-resource"}, "secret": SECRET}
    assert party.run("introspection", token="nothing", **client) == {"active": False}

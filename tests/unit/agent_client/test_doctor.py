"""`broker doctor mcp`: a sound server passes every check, and each fault is named by its own."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner

from broker.agent_client.doctor import CHECKS, Finding, examine
from broker.cli import main
from broker.demo.world import World, running_world

RESOURCE = "https://tickets.example/mcp"
ISSUER = "https://broker.example/t/acme"
PLACE = "https://tickets.example/.well-known/oauth-protected-resource/mcp"
METADATA = "https://broker.example/.well-known/oauth-authorization-server/t/acme"
KEYS = f"{ISSUER}/jwks"

Net = dict[str, Any]


def sound() -> Net:
    """Answers of a server and an issuer without a fault."""
    return {
        "challenge": f'Bearer resource_metadata="{PLACE}", scope="tickets:read"',
        "refusal": 'Bearer error="invalid_token"',
        PLACE: {
            "resource": RESOURCE,
            "authorization_servers": [ISSUER],
            "scopes_supported": ["tickets:read"],
            "bearer_methods_supported": ["header"],
        },
        METADATA: {
            "issuer": ISSUER,
            "jwks_uri": KEYS,
            "code_challenge_methods_supported": ["S256"],
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "authorization_response_iss_parameter_supported": True,
            "client_id_metadata_document_supported": True,
        },
        KEYS: {"keys": [{"kty": "EC", "alg": "ES256", "kid": "one"}]},
    }


def look(net: Net) -> dict[str, Finding]:
    """Examine a server that gives these answers; return the findings by check."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            told = net["refusal" if "authorization" in request.headers else "challenge"]
            return httpx2.Response(net.get("status", 401), headers={"WWW-Authenticate": told})
        found = net.get(str(request.url))
        return httpx2.Response(404) if found is None else httpx2.Response(200, content=json.dumps(found))

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http:
        return {finding.check: finding for finding in examine(http, RESOURCE)}


def test_a_sound_server_passes_every_check():
    found = look(sound())
    assert [name for name, _, _ in CHECKS] == list(found)
    assert {finding.state for finding in found.values()} == {"good"}


FAULTS: dict[str, tuple[str, Callable[[Net], object]]] = {
    "no 401": ("asks for a token", lambda net: net.update(status=200)),
    "another resource": ("describes itself", lambda net: net[PLACE].update(resource="https://x.example")),
    "no metadata": ("describes itself", lambda net: net.pop(PLACE)),
    "offline access": (
        "lists its scopes",
        lambda net: net[PLACE]["scopes_supported"].append("offline_access"),
    ),
    "query tokens": (
        "takes tokens from the header only",
        lambda net: net[PLACE].update(bearer_methods_supported=["header", "query"]),
    ),
    "no invalid_token": ("refuses what is no token", lambda net: net.update(refusal="Bearer")),
    "no issuer": ("names its issuer", lambda net: net[PLACE].pop("authorization_servers")),
    "plain http": (
        "names its issuer",
        lambda net: net[PLACE].update(authorization_servers=["http://broker.example/t/acme"]),
    ),
    "another issuer": ("its issuer answers", lambda net: net[METADATA].update(issuer=f"{ISSUER}/")),
    "no PKCE": ("people can agree", lambda net: net[METADATA].pop("code_challenge_methods_supported")),
    "no iss": (
        "answers say who they are from",
        lambda net: net[METADATA].pop("authorization_response_iss_parameter_supported"),
    ),
    "a private key": ("tokens can be verified", lambda net: net[KEYS]["keys"][0].update(d="secret")),
    "no keys": ("tokens can be verified", lambda net: net.pop(KEYS)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_by_its_own_check(fault: str):
    net = sound()
    check, spoil = FAULTS[fault]
    spoil(net)
    found = look(net)
    bad = [name for name, finding in found.items() if finding.state == "bad"]
    assert bad[0] == check
    assert found[check].advice


def test_a_challenge_without_metadata_still_leads_on():
    net = sound()
    net["challenge"] = ""
    found = look(net)
    assert found["asks for a token"].state == "note"
    assert found["tokens can be verified"].state == "good"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with running_world() as running:
        yield running


def test_the_command_on_a_real_server(world: World):
    done = CliRunner().invoke(main, ["doctor", "mcp", world.story.planner.resource])
    assert done.exit_code == 0, done.output
    assert len([line for line in done.output.splitlines() if line.startswith("ok")]) >= len(CHECKS) - 1


def test_the_command_on_a_page_that_is_no_server(world: World):
    done = CliRunner().invoke(main, ["doctor", "mcp", f"{world.console_url}/"])
    assert done.exit_code == 1
    assert "failed" in done.output


def test_the_command_wants_an_address():
    assert CliRunner().invoke(main, ["doctor", "mcp", "tickets"]).exit_code == 1

"""What a resource says about itself and how it refuses (RFC 9728, RFC 6750; MCP-08 and MCP-09)."""

import json

import pytest

from broker.resource_server import ClientCredentials, ResourceServer, TokenRefused
from tests.builders.token_issuer import RESOURCE, ManualClock, TokenIssuer

ISSUER = "https://broker.example/t/acme"
METADATA = "https://mcp.tickets.example/.well-known/oauth-protected-resource/mcp"


@pytest.fixture
def issuer() -> TokenIssuer:
    return TokenIssuer()


@pytest.fixture
def server(issuer: TokenIssuer) -> ResourceServer:
    return ResourceServer(
        resource=RESOURCE,
        issuer=ISSUER,
        scopes_supported=["tickets:read", "tickets:create"],
        name="Tickets",
        http=issuer.http(),
        clock=ManualClock(),
    )


def refusal(server: ResourceServer, headers: list[str], *scopes: str) -> TokenRefused:
    with pytest.raises(TokenRefused) as caught:
        server.authenticate(headers, "", scopes)
    return caught.value


def test_mcp08_prm_01_the_metadata_names_the_resource_and_its_issuer(server: ResourceServer) -> None:
    assert server.metadata_url == METADATA
    assert server.metadata_paths == {
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-protected-resource",
    }
    status, headers, body = server.metadata_reply()
    assert (status, dict(headers)["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == {
        "resource": RESOURCE,
        "authorization_servers": [ISSUER],
        "scopes_supported": ["tickets:read", "tickets:create"],
        "bearer_methods_supported": ["header"],
        "resource_signing_alg_values_supported": ["ES256", "EdDSA", "PS256", "RS256"],
        "resource_name": "Tickets",
        "dpop_signing_alg_values_supported": ["ES256", "EdDSA", "PS256", "RS256"],
        "dpop_bound_access_tokens_required": False,
        "actor_profile_required": False,
    }


def test_mcp08_without_credentials_there_is_no_error_code(server: ResourceServer) -> None:
    value = server.challenge(refusal(server, []))
    assert value == f'Bearer resource_metadata="{METADATA}", scope="tickets:read tickets:create"'


def test_mcp09_a_bad_token_gets_invalid_token(server: ResourceServer) -> None:
    status, headers, body = server.refusal_reply(refusal(server, ["Bearer rubbish"]))
    assert status == 401
    assert dict(headers)["WWW-Authenticate"] == (
        'Bearer error="invalid_token", error_description="The token is not a signed JWT.", '
        f'resource_metadata="{METADATA}", scope="tickets:read tickets:create"'
    )
    assert json.loads(body)["error"] == "invalid_token"


def test_mcp09_one_challenge_names_every_scope_of_the_operation(
    server: ResourceServer, issuer: TokenIssuer
) -> None:
    bearer = [f"Bearer {issuer.sign()}"]
    refused = refusal(server, bearer, "tickets:read", "tickets:create")
    assert refused.status == 403
    assert server.challenge(refused) == (
        'Bearer error="insufficient_scope", '
        'error_description="The token does not carry the scopes needed here.", '
        f'resource_metadata="{METADATA}", scope="tickets:read tickets:create"'
    )
    assert server.authenticate(bearer, "", ["tickets:read"]).subject == "usr_maya"


def test_mcp09_a_malformed_request_gets_400(server: ResourceServer) -> None:
    status, headers, _ = server.refusal_reply(refusal(server, ["Bearer a b"]))
    assert status == 400
    assert 'error="invalid_request"' in dict(headers)["WWW-Authenticate"]


def test_an_unreachable_issuer_is_said_to_be_temporary(server: ResourceServer, issuer: TokenIssuer) -> None:
    issuer.is_up = False
    status, headers, body = server.refusal_reply(refusal(server, [f"Bearer {issuer.sign()}"]))
    assert (status, dict(headers)["Retry-After"]) == (503, "30")
    assert "WWW-Authenticate" not in dict(headers)
    assert json.loads(body)["error"] == "temporarily_unavailable"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"resource": "http://mcp.example/mcp"}, id="clear-text-resource"),
        pytest.param({"issuer": "http://broker.example/t/acme"}, id="clear-text-issuer"),
        pytest.param({"resource": "https://mcp.example/mcp#part"}, id="fragment"),
        pytest.param({"resource": "https://mcp.example/mcp?x=1"}, id="query"),
        pytest.param({"issuer": "/t/acme"}, id="relative"),
        pytest.param({"scopes_supported": ["offline_access"]}, id="MCP-07-offline-access"),
        pytest.param({"scopes_supported": ["two words"]}, id="not-a-scope"),
    ],
)
def test_a_configuration_that_cannot_be_safe_is_refused(arguments: dict[str, object]) -> None:
    good = {"resource": RESOURCE, "issuer": ISSUER, "scopes_supported": ["tickets:read"]}
    ResourceServer(**good)  # type: ignore[arg-type]
    ResourceServer(**{**good, "issuer": "http://127.0.0.1:8080/t/acme"})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"must|takes"):
        ResourceServer(**{**good, **arguments})  # type: ignore[arg-type]


def test_a_secret_is_not_printed() -> None:
    assert "s3cret" not in repr(ClientCredentials("cli", "s3cret"))

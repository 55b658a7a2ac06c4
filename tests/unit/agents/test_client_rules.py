"""A client's parts must fit together; key sets hold public keys only."""

from dataclasses import replace
from typing import Any

import pytest

from broker.agents.client_rules import ClientDraft, check_client
from broker.agents.naming import check_resource_identifier, check_scope_names
from broker.kernel.errors import ErrorCode, Refusal
from tests.builders.world import SECRET, TOKEN_EXCHANGE

GRANTS = frozenset({"authorization_code", "refresh_token", "client_credentials", TOKEN_EXCHANGE})
KEY = {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "BBBB", "kid": "k1"}

BASIC = ClientDraft(
    "writer", "Writer", "client_secret_basic", secret=SECRET, grant_types=("client_credentials",)
)
KEYED = ClientDraft(
    "writer", "Writer", "private_key_jwt", jwks={"keys": [KEY]}, grant_types=(TOKEN_EXCHANGE,)
)
PUBLIC = ClientDraft(
    "desktop",
    "Desktop",
    "none",
    application_type="native",
    redirect_uris=("http://127.0.0.1/cb",),
    grant_types=("authorization_code", "refresh_token"),
)


@pytest.mark.parametrize("draft", [BASIC, KEYED, PUBLIC])
def test_a_client_whose_parts_fit_is_accepted(draft: ClientDraft):
    check_client(draft, GRANTS)


def test_a_stored_secret_need_not_be_given_again():
    check_client(replace(BASIC, secret=None), GRANTS, has_secret=True)


@pytest.mark.parametrize(
    ("draft", "why"),
    [
        pytest.param(replace(BASIC, client_id="a b"), "client_id", id="client-id-with-space"),
        pytest.param(
            replace(BASIC, client_id="https://evil.example/c.json"), "client_id", id="client-id-as-url"
        ),
        pytest.param(
            replace(BASIC, auth_method="client_secret_post"), "auth_method", id="method-not-offered"
        ),
        pytest.param(replace(BASIC, secret=None), "client_secret", id="no-secret"),
        pytest.param(replace(BASIC, secret="s" * 31), "at least 32", id="short-secret"),
        pytest.param(replace(BASIC, jwks={"keys": [KEY]}), "jwks", id="two-credentials"),
        pytest.param(replace(KEYED, secret=SECRET), "client_secret", id="secret-beside-keys"),
        pytest.param(replace(KEYED, jwks=None), "jwks", id="no-keys"),
        pytest.param(replace(PUBLIC, secret=SECRET), "client_secret", id="public-with-secret"),
        pytest.param(
            replace(PUBLIC, grant_types=("authorization_code", "client_credentials")),
            "without authentication",
            id="A24-public-client-credentials",
        ),
        pytest.param(
            replace(PUBLIC, grant_types=("authorization_code", TOKEN_EXCHANGE)),
            "without authentication",
            id="public-token-exchange",
        ),
        pytest.param(replace(PUBLIC, redirect_uris=()), "at least one", id="code-without-redirect"),
        pytest.param(replace(PUBLIC, grant_types=()), "no use", id="redirect-without-code"),
        pytest.param(replace(PUBLIC, application_type="mobile"), "application_type", id="application-type"),
        pytest.param(replace(PUBLIC, grant_types=("implicit",)), "grant_types", id="implicit"),
        pytest.param(replace(BASIC, scopes=("a b",)), "scopes", id="two-scopes-in-one"),
        pytest.param(replace(BASIC, agent_id="agt_1", resource_id="res_1"), "not to both", id="two-owners"),
    ],
)
def test_a_client_whose_parts_do_not_fit_is_refused(draft: ClientDraft, why: str):
    with pytest.raises(Refusal) as refused:
        check_client(draft, GRANTS)
    assert refused.value.code is ErrorCode.BAD_CONFIGURATION
    assert why in refused.value.public
    assert SECRET not in refused.value.public


@pytest.mark.parametrize(
    "jwks",
    [
        pytest.param({}, id="no-list"),
        pytest.param({"keys": []}, id="no-key"),
        pytest.param({"keys": "k"}, id="not-a-list"),
        pytest.param({"keys": ["k"]}, id="not-an-object"),
        pytest.param({"keys": [{**KEY, "kid": str(n)} for n in range(11)]}, id="too-many"),
        pytest.param({"keys": [{**KEY, "d": "secret"}]}, id="private-part"),
        pytest.param({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "k1"}]}, id="symmetric"),
        pytest.param({"keys": [{**KEY, "kty": "oct"}]}, id="symmetric-type"),
        pytest.param({"keys": [{**KEY, "use": "enc"}]}, id="for-encryption"),
        pytest.param({"keys": [{name: KEY[name] for name in ("kty", "crv", "x", "y")}]}, id="no-kid"),
        pytest.param({"keys": [KEY, KEY]}, id="kid-twice"),
    ],
)
def test_a_key_set_that_is_not_public_and_distinct_is_refused(jwks: dict[str, Any]):
    check_client(KEYED, GRANTS)
    with pytest.raises(Refusal) as refused:
        check_client(replace(KEYED, jwks=jwks), GRANTS)
    assert refused.value.public.startswith("jwks: ")
    assert "secret" not in refused.value.public


@pytest.mark.parametrize(
    "identifier", ["https://mcp.example/mcp", "http://127.0.0.1:8091/mcp", "http://localhost/x?y=1"]
)
def test_a_resource_identifier_is_an_address(identifier: str):
    check_resource_identifier("identifier", identifier)


@pytest.mark.parametrize(
    "identifier",
    [
        "",
        "mcp",
        "http://mcp.example/mcp",
        "https://mcp.example/#a",
        "https://u@mcp.example/",
        "https://[::1",
        "https://",
        "https://mcp.example/" + "a" * 500,
        "https://mcp.example/ä",
        "https://mcp.example/a b",
        "urn:x",
    ],
)
def test_any_other_resource_identifier_is_refused(identifier: str):
    with pytest.raises(Refusal, match="bad_name"):
        check_resource_identifier("identifier", identifier)


@pytest.mark.parametrize("scope", ["", "a b", 'a"b', "a\\b", "ä", "a" * 201])
def test_a_scope_is_one_token(scope: str):
    check_scope_names("scopes", ["tickets:read", "openid"])
    with pytest.raises(Refusal, match="bad_name"):
        check_scope_names("scopes", ["tickets:read", scope])

"""Sign-in at software of other people: SimpleSAMLphp and samlp by SAML, node oidc-provider by OIDC."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from idp_connectors.base import Callback, ConnectorError, LoginRequest, VerifiedIdentity
from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.registry import CONNECTORS
from tests.builders.connector_deps import SpentKeys, make_deps

pytestmark = pytest.mark.interop

CALLBACK_URL = "http://127.0.0.1:9/t/acme/callback"
ENTITY_ID = "http://127.0.0.1:9/t/acme/saml/con_1/metadata"
LOGIN = LoginRequest(
    base_url="http://127.0.0.1:9",
    callback_url=CALLBACK_URL,
    entity_id=ENTITY_ID,
    flow_id="flow-handle-1",
)


class PlainHttp:
    """An `HttpClient` without guards, for providers on loopback."""

    def client(self) -> httpx2.Client:
        return httpx2.Client(timeout=30, trust_env=False)

    def fetch_json(
        self, url: str, *, max_bytes: int = 1 << 20, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        with self.client() as client:
            found: dict[str, Any] = client.get(url, headers=dict(headers or {})).raise_for_status().json()
        return found


@pytest.fixture(params=["simplesamlphp", "samlp", "node_op"])
def provider(request: pytest.FixtureRequest):
    """Each real provider, knowing our callback address."""
    server = request.getfixturevalue(request.param)
    server.register(CALLBACK_URL, ENTITY_ID)
    return server


def answer_of(provider, deps, user: str = "ada", **settings: object):
    """Begin, let a person sign in for real, and return the connector and what the browser brought."""
    login = CONNECTORS[provider.kind].interactive({**provider.config, **settings}, provider.secrets)
    begun = login.begin(LOGIN, deps)
    brought = provider.answer(begun.redirect_url, user, f"{user}-password", CALLBACK_URL)
    callback = Callback(
        method=brought.method,
        query=dict(parse_qsl(urlsplit(brought.url).query)),
        form=brought.form,
        private=begun.private,
        callback_url=CALLBACK_URL,
        entity_id=ENTITY_ID,
    )
    return login, callback


def deps_now(**kwargs: Any):
    return make_deps(PlainHttp(), now=int(time.time()), **kwargs)


def sign_in(provider, user: str = "ada", **settings: object) -> VerifiedIdentity:
    deps = deps_now()
    login, callback = answer_of(provider, deps, user, **settings)
    return login.complete(callback, deps)


def groups_of(identity: VerifiedIdentity) -> list[str]:
    return [group.value for group in identity.groups]


def test_a_person_signs_in_with_name_address_and_groups(provider):
    identity = sign_in(provider)
    assert identity.subject == "ada"
    assert (identity.email, identity.email_verified_by) == ("ada@corp.example", "idp_verified_domain")
    assert identity.display_name == "Ada"
    assert (groups_of(identity), identity.groups_state) == (["engineering", "agents"], "complete")
    assert sign_in(provider, "bob").subject == "bob"


def test_a_group_removed_upstream_is_gone_at_the_next_sign_in(provider):
    assert groups_of(sign_in(provider)) == ["engineering", "agents"]
    provider.set_person("ada", "ada-password", ["engineering"])
    assert groups_of(sign_in(provider)) == ["engineering"]
    provider.set_person("ada", "ada-password", [])
    assert groups_of(sign_in(provider)) == []


def test_an_answer_works_once(provider):
    deps = deps_now(spend=SpentKeys())
    login, callback = answer_of(provider, deps)
    assert login.complete(callback, deps).subject == "ada"
    with pytest.raises(ConnectorError) as caught:
        login.complete(callback, deps)
    assert caught.value.code in (Code.REPLAYED, Code.UPSTREAM_REFUSED)


def test_an_answer_to_another_browser_is_refused(provider):
    deps = deps_now()
    login, callback = answer_of(provider, deps)
    with pytest.raises(ConnectorError):
        login.complete(replace(callback, private=login.begin(LOGIN, deps).private), deps)


def test_a_wrong_password_ends_at_the_provider(provider):
    login = CONNECTORS[provider.kind].interactive(provider.config, provider.secrets)
    with httpx2.Client(timeout=30, trust_env=False) as client:
        page = provider.sign_in(client, login.begin(LOGIN, deps_now()).redirect_url, "ada", "wrong")
    assert page.url.host == "localhost"


def test_simplesamlphp_signs_response_and_assertion_as_required(simplesamlphp):
    simplesamlphp.register(CALLBACK_URL, ENTITY_ID)
    assert sign_in(simplesamlphp, assertion_signed=True, response_signed=True).subject == "ada"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"audience": "https://elsewhere.example"}, Code.AUDIENCE_MISMATCH),
        ({"recipient": "https://elsewhere.example/acs"}, Code.RECIPIENT_MISMATCH),
        ({"destination": "https://elsewhere.example/acs"}, Code.RECIPIENT_MISMATCH),
        ({"issuer": "https://elsewhere.example"}, Code.ISSUER_MISMATCH),
        ({"inResponseTo": "_another-request"}, Code.REQUEST_MISMATCH),
        ({"lifetimeInSeconds": 3600}, Code.NOT_YET_VALID),
        ({"signResponse": False}, Code.SIGNATURE_INVALID),
        ({"signAssertion": False}, Code.SIGNATURE_INVALID),
        ({"signatureAlgorithm": "rsa-sha1"}, Code.ALGORITHM_REFUSED),
        ({"digestAlgorithm": "sha1"}, Code.ALGORITHM_REFUSED),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else str(value),
)
def test_samlp_set_up_wrongly_is_refused(samlp, options: dict[str, Any], code: Code):
    """The twin is the same person with samlp's options as they should be."""
    samlp.register(CALLBACK_URL, ENTITY_ID)
    assert sign_in(samlp).subject == "ada"
    samlp.set_options(**options)
    with pytest.raises(ConnectorError) as caught:
        sign_in(samlp)
    assert caught.value.code == code, caught.value.detail


def test_node_op_refuses_a_wrong_client_secret(node_op):
    node_op.register(CALLBACK_URL)
    deps = deps_now()
    _, callback = answer_of(node_op, deps)
    other = CONNECTORS["oidc"].interactive(node_op.config, {"client_secret": "wrong"})
    with pytest.raises(ConnectorError) as caught:
        other.complete(callback, deps)
    assert caught.value.code == Code.UPSTREAM_REFUSED


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_node_op_accepts_both_ways_to_send_the_secret(node_op, method: str):
    """The secret holds characters that a client must form-encode before Basic."""
    node_op.register(CALLBACK_URL)
    assert sign_in(node_op, client_auth=method, use_userinfo=True).subject == "ada"

"""A sign-in at the OpenID provider under test, from the relying party's side."""

from typing import Any

import pytest

from idp_connectors.base import ConnectorError, LoginRequest
from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.oidc import OidcConnector
from tests.builders.connector_deps import NOW, make_deps
from tests.builders.oidc_op import CALLBACK_URL, CLIENT_ID, CLIENT_SECRET, ISSUER, OpenIdProvider

LOGIN = LoginRequest(
    base_url="https://broker.example", callback_url=CALLBACK_URL, entity_id="", flow_id="flow-handle-1"
)


def make_login(**settings: Any):
    config = {"issuer": ISSUER, "client_id": CLIENT_ID, **settings}
    return OidcConnector().interactive(config, {"client_secret": CLIENT_SECRET})


def sign_in(provider: OpenIdProvider, *, now: int = NOW, cache=None, settings=None, **claims: Any):
    login, deps = make_login(**(settings or {})), make_deps(provider, now=now, cache=cache)
    return login.complete(provider.sign_in(login.begin(LOGIN, deps), **claims), deps)


def assert_refused(provider: OpenIdProvider, code: Code, **kwargs: Any) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        sign_in(provider, **kwargs)
    assert caught.value.code == code, caught.value
    return caught.value

"""Settings of an OpenID Connect connection, the request it makes, and the groups it reads."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from idp_connectors.base import ConnectorError, Group, LoginRequest
from idp_connectors.errors import ConnectorErrorCode
from idp_connectors.oidc import OidcConnector
from idp_connectors.oidc.config import OidcConfig
from idp_connectors.oidc.identity import MAX_GROUPS, read_groups, to_identity
from tests.builders.connector_deps import make_deps
from tests.builders.oidc_op import CALLBACK_URL, CLIENT_ID, CLIENT_SECRET, ISSUER, OpenIdProvider, segment


def config(**settings: Any) -> OidcConfig:
    return OidcConfig.model_validate(
        {"issuer": ISSUER, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, **settings}
    )


@pytest.mark.parametrize(
    "issuer",
    ["https://op.example", "https://op.example/tenant/", "http://localhost:9000", "http://127.0.0.1:1"],
)
def test_safe_issuers_are_accepted(issuer: str):
    assert config(issuer=issuer).issuer == issuer


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("issuer", "http://op.example"),
        ("issuer", "https://"),
        ("issuer", "ftp://localhost"),
        ("issuer", "https://op.example?x=1"),
        ("issuer", "https://op.example#x"),
        ("issuer", "https://user@op.example"),
        ("issuer", "https://op.example/\u200b"),
        ("client_id", ""),
        ("client_auth", "private_key_jwt"),
        ("scopes", ["email"]),
        ("scopes", ["openid", "a b"]),
        ("allowed_algorithms", ["HS256"]),
        ("allowed_algorithms", ["none"]),
        ("allowed_algorithms", []),
        ("extra_authorize_params", {"redirect_uri": "https://evil.example"}),
        ("extra_authorize_params", {"code_challenge_method": "plain"}),
        ("subject", "email"),
    ],
)
def test_unsafe_settings_are_refused_by_name(field: str, value: object):
    with pytest.raises(ConnectorError) as caught:
        OidcConnector().interactive(
            {"issuer": ISSUER, "client_id": CLIENT_ID, field: value}, {"client_secret": CLIENT_SECRET}
        )
    assert caught.value.code == ConnectorErrorCode.CONFIG_INVALID
    assert caught.value.field.split(".")[0] == field
    assert CLIENT_SECRET not in str(caught.value)


def test_the_request_carries_pkce_nonce_and_the_connections_extras():
    import hashlib

    login = OidcConnector().interactive(
        {"issuer": ISSUER, "client_id": CLIENT_ID, "extra_authorize_params": {"domain_hint": "corp.example"}},
        {"client_secret": CLIENT_SECRET},
    )
    request = LoginRequest(
        base_url="https://broker.example",
        callback_url=CALLBACK_URL,
        entity_id="",
        flow_id="flow-1",
        login_hint="ada@corp.example",
    )
    begun = login.begin(request, make_deps(OpenIdProvider()))
    asked = {name: values[0] for name, values in parse_qs(urlsplit(begun.redirect_url).query).items()}
    challenge = segment(hashlib.sha256(begun.private["code_verifier"].encode()).digest())
    assert asked == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": CALLBACK_URL,
        "scope": "openid profile email",
        "state": "flow-1",
        "nonce": begun.private["nonce"],
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "login_hint": "ada@corp.example",
        "domain_hint": "corp.example",
    }
    assert len(begun.private["code_verifier"]) >= 43


@pytest.mark.parametrize(
    ("claims", "values", "state"),
    [
        pytest.param({"groups": ["a", "b", "a"]}, ["a", "b"], "complete", id="list"),
        pytest.param({"groups": "a"}, ["a"], "complete", id="okta-single-text"),
        pytest.param({"groups": []}, [], "complete", id="empty"),
        pytest.param({}, [], "absent", id="absent"),
        pytest.param({"_claim_names": {"groups": "src1"}}, [], "overage", id="entra-overage"),
        pytest.param({"groups": ["a"], "_claim_names": {"groups": "src1"}}, [], "overage", id="both"),
        pytest.param(
            {"_claim_names": {"other": "src1"}, "groups": ["a"]}, ["a"], "complete", id="other-claim"
        ),
        pytest.param({"hasgroups": True}, [], "overage", id="entra-implicit"),
        pytest.param({"groups": [1]}, [], "error", id="numbers"),
        pytest.param({"groups": {"a": 1}}, [], "error", id="object"),
        pytest.param({"groups": None}, [], "error", id="null"),
    ],
)
def test_groups_carry_the_state_that_says_whether_they_are_all(
    claims: dict[str, Any], values: list[str], state: str
):
    found = read_groups(claims, config(group_kind="id"))
    assert found == (tuple(Group("id", value) for value in values), state)


def test_more_groups_than_the_limit_are_truncated():
    groups, state = read_groups({"groups": [str(number) for number in range(MAX_GROUPS + 1)]}, config())
    assert (len(groups), state) == (MAX_GROUPS, "truncated")


def test_a_list_as_long_as_the_provider_ever_sends_is_not_known_to_be_all():
    states = [
        read_groups({"groups": [str(number) for number in range(count)]}, config(groups_limit=3))[1]
        for count in (2, 3)
    ]
    assert states == ["complete", "truncated"]


def test_without_a_groups_claim_configured_none_are_read():
    assert read_groups({"": ["a"], "groups": ["a"]}, config(groups_claim="")) == ((), "absent")


def test_entra_is_keyed_by_tenant_and_object():
    claims = {"sub": "pairwise", "tid": "t-1", "oid": "o-1"}
    identity = to_identity(claims, config(subject="oid+tid"), "token")
    assert (identity.subject_kind, identity.subject) == ("oid+tid", "t-1/o-1")
    for missing in ("tid", "oid"):
        with pytest.raises(ConnectorError) as caught:
            to_identity({**claims, missing: None}, config(subject="oid+tid"), "token")
        assert caught.value.field == missing


def test_evidence_of_how_somebody_signed_in_is_kept():
    claims = {"sub": "u", "acr": "c1", "amr": ["pwd", "mfa", 5], "auth_time": 7, "sid": "s-1"}
    identity = to_identity(claims, config(), "token")
    assert (identity.acr, identity.amr, identity.auth_time) == ("c1", ("pwd", "mfa"), 7)
    assert (identity.session_index, identity.private) == ("s-1", {})
    offered = to_identity({**claims, "login_hint": "ada"}, config(), "token", "https://idp.example/logout")
    assert offered.private == {
        "end_session_endpoint": "https://idp.example/logout",
        "id_token_hint": "token",
        "logout_hint": "ada",
    }
    odd = to_identity({"sub": "u", "acr": 1, "amr": "pwd", "auth_time": True, "sid": []}, config(), "token")
    assert (odd.acr, odd.amr, odd.auth_time, odd.session_index) == ("", (), None, "")

"""How each kind of provider is asked for a fresh or stronger sign-in, and what of its answer is believed."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from idp_connectors.base import AskedProof, LoginRequest
from idp_connectors.saml import SamlConnector
from tests.builders.connector_deps import make_deps
from tests.builders.oidc_op import CALLBACK_URL, OpenIdProvider
from tests.builders.oidc_rp import make_login, sign_in
from tests.builders.saml_idp import ACS_URL, ENTITY_ID, SamlIdentityProvider, read_authn_request

STRONG = AskedProof(acr_values=("unknown", "phr", "phrh"))


def asked_of_oidc(proof: AskedProof | None, **settings: Any) -> dict[str, str]:
    request = LoginRequest(
        base_url="https://broker.example", callback_url=CALLBACK_URL, entity_id="", flow_id="f", proof=proof
    )
    url = make_login(**settings).begin(request, make_deps(OpenIdProvider())).redirect_url
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


@pytest.mark.parametrize(
    ("proof", "settings", "expected"),
    [
        pytest.param(None, {}, {}, id="nothing-asked"),
        pytest.param(AskedProof(max_age=300), {}, {"max_age": "300"}, id="max-age"),
        pytest.param(AskedProof(max_age=0), {}, {"max_age": "0"}, id="max-age-0"),
        pytest.param(AskedProof(login=True), {}, {"prompt": "login", "max_age": "0"}, id="login"),
        pytest.param(
            AskedProof(login=True, max_age=900), {}, {"prompt": "login", "max_age": "0"}, id="login-and-age"
        ),
        pytest.param(
            STRONG, {"step_up_values": ["phr", "phrh"]}, {"acr_values": "phr phrh"}, id="listed-values-only"
        ),
        pytest.param(STRONG, {}, {}, id="no-values-listed"),
        pytest.param(
            AskedProof(login=True, max_age=5, acr_values=("phr",)),
            {"step_up": "none", "step_up_values": ["phr"]},
            {},
            id="a-provider-that-cannot-be-asked",
        ),
    ],
)
def test_an_openid_provider_is_asked(
    proof: AskedProof | None, settings: dict[str, Any], expected: dict[str, str]
) -> None:
    asked = asked_of_oidc(proof, **settings)
    names = ("prompt", "max_age", "acr_values", "claims")
    assert {name: asked[name] for name in names if name in asked} == expected


def test_a_fixed_parameter_does_not_weaken_what_is_asked() -> None:
    fixed = {"extra_authorize_params": {"prompt": "select_account", "max_age": "99999"}}
    asked = asked_of_oidc(AskedProof(login=True), **fixed)
    assert (asked["prompt"], asked["max_age"]) == ("login", "0")


def test_entra_is_asked_for_a_context_by_the_claims_parameter() -> None:
    asked = asked_of_oidc(AskedProof(acr_values=("c2",)), step_up="acrs", step_up_values=["c1", "c2"])
    assert json.loads(asked["claims"]) == {"id_token": {"acrs": {"essential": True, "value": "c2"}}}
    assert "acr_values" not in asked


@pytest.mark.parametrize(
    ("claims", "acr"),
    [
        pytest.param({"acrs": ["c7", "c1"]}, "c1", id="listed"),
        pytest.param({"acrs": ["c7"]}, "", id="not-listed"),
        pytest.param({"acrs": "c1"}, "", id="not-a-list"),
        pytest.param({"acr": "c1"}, "", id="in-another-claim"),
        pytest.param({}, "", id="absent"),
    ],
)
def test_of_entras_contexts_only_listed_ones_are_believed(claims: dict[str, Any], acr: str) -> None:
    settings = {"step_up": "acrs", "step_up_values": ["c1"]}
    assert sign_in(OpenIdProvider(), settings=settings, **claims).acr == acr


@pytest.mark.parametrize(
    ("proof", "forces", "contexts"),
    [
        pytest.param(None, None, [], id="nothing-asked"),
        pytest.param(AskedProof(login=True), "true", [], id="login"),
        pytest.param(AskedProof(max_age=300), "true", [], id="max-age"),
        pytest.param(STRONG, None, ["phr"], id="listed-contexts-only"),
    ],
)
def test_a_saml_provider_is_asked(proof: AskedProof | None, forces: str | None, contexts: list[str]) -> None:
    config = SamlIdentityProvider().config(step_up_values=["phr", "other"])
    request = LoginRequest(
        base_url="", callback_url=ACS_URL, entity_id=ENTITY_ID, flow_id="flow-handle", proof=proof
    )
    begun = SamlConnector().interactive(config, {}).begin(request, make_deps())
    sent = read_authn_request(begun.redirect_url)
    assert sent.get("ForceAuthn") == forces
    found = sent.xpath("//*[local-name()='RequestedAuthnContext']/*")
    assert [one.text for one in found] == contexts
    assert all(one.getparent().get("Comparison") == "exact" for one in found)

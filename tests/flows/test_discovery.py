"""Discovery: MCP-01 to MCP-03, ASM-01 to ASM-07, DISC-01 to DISC-06, and metadata that is true."""

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.discovery import OpenIDProviderMetadata

from broker.discovery.documents import well_known
from broker.kernel.plain import PlainReply, PlainRequest
from broker.oauth.device import DEVICE_CODE
from broker.oauth.endpoints import ENDPOINTS
from broker.oauth.foreign_jwts import JWT_BEARER
from broker.oauth.grants import GRANTS
from tests.builders.oauth import Scene, claims_of
from tests.builders.world import TICKETS

OAUTH = "/.well-known/oauth-authorization-server/t/acme"
OIDC_INSERTED = "/.well-known/openid-configuration/t/acme"
OIDC_APPENDED = "/t/acme/.well-known/openid-configuration"
AGENT_INSERTED = "/.well-known/agent-broker-configuration/t/acme"
AGENT_APPENDED = "/t/acme/.well-known/agent-broker-configuration"


def get(scene: Scene, path: str, method: str = "GET", **headers: str) -> PlainReply:
    reply = well_known(scene.world.rt, PlainRequest(method, path, "", headers, b"", scene.world.ctx))
    assert reply is not None, path
    return reply


def document(scene: Scene, path: str) -> dict[str, Any]:
    reply = get(scene, path)
    assert reply.status == 200
    return json.loads(reply.body)


def test_mcp_01_one_document_at_all_three_addresses(scene: Scene) -> None:
    bodies = {get(scene, path).body for path in (OAUTH, OIDC_INSERTED, OIDC_APPENDED)}
    assert len(bodies) == 1
    reply = get(scene, OAUTH)
    headers = dict(reply.headers)
    assert headers["Content-Type"] == "application/json"
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "max-age" in headers["Cache-Control"]
    assert json.loads(reply.body)["issuer"] == scene.tenant.issuer


def test_asm_the_document_is_valid_metadata(scene: Scene) -> None:
    told = document(scene, OAUTH)
    # The development profile serves http; the rules for the real thing are checked on its https form.
    secure = json.loads(json.dumps(told).replace("http://127.0.0.1:8080", "https://broker.example"))
    AuthorizationServerMetadata(secure).validate()
    # OpenID Connect Discovery wants RS256 listed; this broker signs ES256 and lists only what is true.
    algorithms = [*secure["id_token_signing_alg_values_supported"], "RS256"]
    OpenIDProviderMetadata({**secure, "id_token_signing_alg_values_supported": algorithms}).validate()
    assert [name for name, value in told.items() if value in ([], {}, None, "")] == []  # ASM-03


def test_mcp_02_and_03_what_clients_insist_on(scene: Scene) -> None:
    told = document(scene, OAUTH)
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert told["response_types_supported"] == ["code"]
    assert told["authorization_response_iss_parameter_supported"] is True
    # An assertion grant is offered where somebody is trusted to sign one (IDJ-26), the device flow where
    # the tenant wants it.
    assert set(told["grant_types_supported"]) == set(GRANTS) - {JWT_BEARER, DEVICE_CODE}
    assert "offline_access" not in told["scopes_supported"]


def test_every_advertised_endpoint_answers(scene: Scene) -> None:
    told = document(scene, OAUTH)
    for name in ("token", "introspection", "revocation", "userinfo"):
        endpoint = told[f"{name}_endpoint"].rpartition("/")[2]
        assert endpoint in ENDPOINTS
        assert scene.call(endpoint, {}).status in {400, 401}
    keys = scene.call(told["jwks_uri"].rpartition("/")[2], method="GET")
    assert keys.json["keys"][0]["alg"] in told["id_token_signing_alg_values_supported"]
    assert "d" not in keys.json["keys"][0]
    assert "Authorization" not in dict(keys.reply.headers)


def test_prm_04_disc_the_agent_document_fits_its_schema_and_the_metadata(scene: Scene) -> None:
    told, metadata = document(scene, AGENT_INSERTED), document(scene, OAUTH)
    assert get(scene, AGENT_APPENDED).body == get(scene, AGENT_INSERTED).body
    schema = json.loads(files("broker.discovery").joinpath("agent_broker_configuration_1.json").read_bytes())
    jsonschema.Draft202012Validator(schema).validate(told)
    # DISC-01: whatever both say is said alike.
    for name in ("issuer", "jwks_uri"):
        assert told[name] == metadata[name]
    assert told["revocation"]["endpoint"] == metadata["revocation_endpoint"]
    assert told["revocation"]["introspection_endpoint"] == metadata["introspection_endpoint"]
    assert told["document_uri"] == metadata["agent_broker_configuration"]
    exchange = metadata["actor_profile_token_exchange"]
    assert told["delegation"]["subject_token_types"] == exchange["subject_token_types_supported"]
    provenance = told["token_profile"]["group_provenance"]
    assert provenance["claim"] == "dlg.groups"
    assert claims_of(scene.person_token())["dlg"]["groups"]["state"] in provenance["states"]
    assert len(get(scene, AGENT_INSERTED).body) <= 32_768  # DISC-06
    # Nothing in it, or in the metadata, tells of people, providers or resources.
    everything = get(scene, AGENT_INSERTED).body + get(scene, OAUTH).body
    for private in (b"okta", b"support.agent", b"tickets", TICKETS.encode(), b"maya", b"cli_a"):
        assert private not in everything


def test_disc_06_a_fresh_copy_needs_no_body(scene: Scene) -> None:
    first = get(scene, AGENT_INSERTED)
    etag = dict(first.headers)["ETag"]
    again = get(scene, AGENT_INSERTED, **{"if-none-match": etag})
    assert (again.status, again.body) == (304, b"")
    scene.world.clock.advance(301)
    assert get(scene, AGENT_INSERTED, **{"if-none-match": etag}).status == 200


def test_asm_07_unknown_and_disabled_tenants_are_alike(scene: Scene) -> None:
    scene.world.tenant("closed", state="disabled")
    answers = [get(scene, f"/t/{slug}/.well-known/openid-configuration") for slug in ("nobody", "closed")]
    assert {reply.status for reply in answers} == {404}
    told = [json.loads(reply.body) for reply in answers]
    assert [one["error_description"] for one in told] == [told[0]["error_description"]] * 2


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/acme",
        "/.well-known/oauth-authorization-server/t/acme/x",
        "/t/acme/.well-known/oauth-authorization-server",
        "/.well-known/nothing/t/acme",
    ],
)
def test_other_addresses_are_not_ours(scene: Scene, path: str) -> None:
    assert well_known(scene.world.rt, PlainRequest("GET", path, "", {}, b"", scene.world.ctx)) is None


def test_a22_the_issuer_is_configured_and_never_the_host_header(scene: Scene) -> None:
    for headers in (
        {"host": "evil.example"},
        {"x-forwarded-host": "evil.example"},
        {"forwarded": "host=evil"},
    ):
        assert b"evil" not in get(scene, OAUTH, **headers).body

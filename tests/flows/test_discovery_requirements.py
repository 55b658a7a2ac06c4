"""Discovery, one test per requirement: ASM-01 to ASM-07, DISC-01 to DISC-06 (protocols §3.12, §4.3)."""

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from joserfc import jws
from joserfc.jwk import KeySet

from broker.discovery.documents import well_known
from broker.kernel import versions
from broker.kernel.plain import PlainReply, PlainRequest
from broker.oauth.endpoints import ENDPOINTS
from broker.oauth.grants import GRANTS
from tests.builders.minting import Statements
from tests.builders.oauth import Scene, claims_of
from tests.builders.world import TICKETS

OAUTH = "/.well-known/oauth-authorization-server/t/acme"
OIDC = ("/.well-known/openid-configuration/t/acme", "/t/acme/.well-known/openid-configuration")
AGENT = (
    "/t/acme/.well-known/agent-broker-configuration",
    "/.well-known/agent-broker-configuration/t/acme",
)
PAGES = {"authorize", "logout"}


def get(scene: Scene, path: str, method: str = "GET", **headers: str) -> PlainReply:
    reply = well_known(scene.world.rt, PlainRequest(method, path, "", headers, b"", scene.world.ctx))
    assert reply is not None, path
    return reply


def told(scene: Scene, path: str = OAUTH, **headers: str) -> dict[str, Any]:
    reply = get(scene, path, **headers)
    assert reply.status == 200, reply.body
    return json.loads(reply.body)


def view_of(scene: Scene, name: str = "a") -> tuple[str, dict[str, Any]]:
    """A token of an agent for the tenant itself, and what it is shown."""
    form = {"grant_type": "client_credentials", "resource": scene.tenant.issuer}
    token = scene.call("token", form, client=f"cli_{name}").token
    return token, told(scene, AGENT[0], authorization=f"Bearer {token}")


def verified(scene: Scene, text: str, typ: str) -> dict[str, Any]:
    """What a signed document says, verified with the published keys by a library."""
    keys = KeySet.import_key_set(scene.call("jwks", method="GET").json)
    found = jws.deserialize_compact(text, keys, algorithms=["ES256"])
    assert found.headers()["typ"] == typ
    return json.loads(found.payload)


def schema() -> dict[str, Any]:
    return json.loads(files("broker.discovery").joinpath("agent_broker_configuration_1.json").read_bytes())


# -- RFC 8414 and OpenID Connect Discovery ------------------------------------------------------------


def test_asm_01_metadata_stands_where_each_specification_puts_it(scene: Scene) -> None:
    for path in (OAUTH, *OIDC):
        assert get(scene, path).status == 200
    appended = "/t/acme/.well-known/oauth-authorization-server"
    asked = PlainRequest("GET", appended, "", {}, b"", scene.world.ctx)
    assert well_known(scene.world.rt, asked) is None


def test_asm_02_the_issuer_is_the_one_that_the_address_was_made_of(scene: Scene) -> None:
    scene.world.tenant("globex")
    for slug in ("acme", "globex"):
        issuer = f"http://127.0.0.1:8080/t/{slug}"
        document = told(scene, f"/.well-known/oauth-authorization-server/t/{slug}")
        assert document["issuer"] == issuer
        assert all(
            value.startswith(f"{issuer}/") for name, value in document.items() if name.endswith("_endpoint")
        )


def test_asm_03_no_member_is_empty(scene: Scene) -> None:
    for path in (OAUTH, AGENT[0]):
        assert [name for name, value in told(scene, path).items() if value in ([], {}, "", None)] == []


def test_asm_04_both_documents_are_one(scene: Scene) -> None:
    assert len({get(scene, path).body for path in (OAUTH, *OIDC)}) == 1


def test_asm_05_copies_may_be_kept_and_read_by_pages_of_others(scene: Scene) -> None:
    reply = get(scene, OAUTH)
    headers = dict(reply.headers)
    assert headers["Cache-Control"] == "public, max-age=300"
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert (get(scene, OAUTH, **{"if-none-match": headers["ETag"]}).status, headers["ETag"][0]) == (304, '"')
    assert get(scene, OAUTH, **{"if-none-match": '"other"'}).status == 200
    # Only documents and keys: an answer of another endpoint is for who asked, not for a page.
    refused = scene.call("token", {"grant_type": "client_credentials"}, client="cli_a", secret="wrong")
    assert "Access-Control-Allow-Origin" not in dict(refused.reply.headers)


def test_asm_05_another_node_s_copy_is_as_fresh(scene: Scene) -> None:
    first = dict(get(scene, OAUTH).headers)["ETag"]
    scene.world.rt.caches.renew(scene.tenant.id, "document:metadata", lambda _: (0, b"", ""))
    assert dict(get(scene, OAUTH).headers)["ETag"] == first


def test_asm_06_the_signed_metadata_says_the_same(scene: Scene) -> None:
    document = told(scene)
    signed = verified(scene, document.pop("signed_metadata"), "as-metadata+jwt")
    assert signed == {**document, "iss": scene.tenant.issuer}
    # It is no token of any kind that this issuer takes.
    for endpoint in ("userinfo", "introspect"):
        text = told(scene)["signed_metadata"]
        if endpoint == "userinfo":
            assert scene.call(endpoint, headers={"authorization": f"Bearer {text}"}).status == 401
        else:
            assert scene.introspect(text) == {"active": False}


def test_asm_07_a_stopped_tenant_costs_what_an_unknown_one_does(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.world.tenant("closed", state="disabled")
    monkeypatch.setattr(versions, "FRESH_SECONDS", 3600)
    costs = {}
    for slug in ("closed", "nobody", "acme"):
        path = f"/.well-known/oauth-authorization-server/t/{slug}"
        get(scene, path)
        scene.world.rt.caches._unsettled.clear()
        get(scene, path)
        with Statements(scene.world.rt.database.engine) as statements:
            reply = get(scene, path)
        costs[slug] = statements.count("SELECT")
        assert reply.status == (200 if slug == "acme" else 404)
    assert costs == {"closed": 1, "nobody": 1, "acme": 0}


# -- what is advertised is what is there --------------------------------------------------------------


def test_every_endpoint_that_is_advertised_answers_and_the_reverse(scene: Scene) -> None:
    for settings in ({}, {"onboarding": {"registration": "open"}}):
        slug = f"t{len(settings)}"
        scene.world.tenant(slug, **settings)
        documents = [told(scene, path.replace("acme", slug)) for path in (OAUTH, AGENT[0])]
        named = {url for document in documents for url in endpoints_in(document)}
        advertised = {url.rpartition(f"/t/{slug}/")[2] for url in named}
        assert advertised <= ENDPOINTS.keys() | PAGES
        for name in ENDPOINTS:
            reply = scene.call(name, {}, slug=slug, method="GET" if name == "jwks" else "POST")
            is_off = reply.status in {403, 404} or reply.error in {"access_denied", "not_found"}
            assert (name in advertised) is not is_off, (slug, name, reply.json)


def endpoints_in(document: dict[str, Any]) -> set[str]:
    """Every address of an endpoint that a document names, at whatever depth."""
    found = set()
    for name, value in document.items():
        if isinstance(value, dict):
            found |= endpoints_in(value)
        elif name.endswith(("endpoint", "jwks_uri")):
            found.add(value)
    return found


def test_every_grant_type_that_is_advertised_is_known_and_the_reverse(scene: Scene) -> None:
    advertised = set(told(scene)["grant_types_supported"])
    for grant_type in {*GRANTS, *advertised, "password", "implicit"}:
        reply = scene.call("token", {"grant_type": grant_type}, client="cli_a")
        is_refused = reply.error in {"unsupported_grant_type", "unauthorized_client"}
        assert is_refused is (grant_type not in advertised), grant_type


def test_every_algorithm_that_is_advertised_has_a_key(scene: Scene) -> None:
    published = {jwk["alg"] for jwk in scene.call("jwks", method="GET").json["keys"]}
    assert set(told(scene)["id_token_signing_alg_values_supported"]) <= published
    assert set(told(scene, AGENT[0])["token_profile"]["algs"]) <= published


# -- the agent discovery document ---------------------------------------------------------------------


def test_disc_01_what_the_metadata_says_too_is_said_alike(scene: Scene) -> None:
    metadata, (_, mine) = told(scene), view_of(scene)
    for document in (told(scene, AGENT[0]), mine):
        for name in metadata.keys() & document.keys() - {"signed_metadata"}:
            assert document[name] == metadata[name]
        assert document["revocation"]["endpoint"] == metadata["revocation_endpoint"]
        assert document["revocation"]["introspection_endpoint"] == metadata["introspection_endpoint"]
    assert metadata["agent_broker_configuration"] == told(scene, AGENT[0])["document_uri"]
    link = dict(get(scene, OAUTH).headers)["Link"]
    assert link == f'<{metadata["agent_broker_configuration"]}>; rel="http://127.0.0.1:8080/rel/agent-broker"'


def test_disc_02_who_ignores_the_document_gets_a_token_all_the_same(scene: Scene) -> None:
    metadata = told(scene)
    form = {"grant_type": "client_credentials", "resource": TICKETS}
    endpoint = metadata["token_endpoint"].rpartition("/")[2]
    assert claims_of(scene.call(endpoint, form, client="cli_a").token)["iss"] == metadata["issuer"]


def test_disc_03_a_resource_s_own_metadata_is_never_ours_to_serve(scene: Scene) -> None:
    _, mine = view_of(scene)
    (resource,) = mine["resources"]
    assert resource["protected_resource_metadata"] == (
        "https://mcp.tickets.example/.well-known/oauth-protected-resource/mcp"
    )
    asked = PlainRequest("GET", "/.well-known/oauth-protected-resource/t/acme", "", {}, b"", scene.world.ctx)
    assert well_known(scene.world.rt, asked) is None


def test_disc_04_an_agent_card_can_point_at_what_is_served(scene: Scene) -> None:
    document = told(scene, AGENT[0])
    assert document["oauth_authorization_server"].endswith(OAUTH)
    assert document["openid_configuration"].endswith(OIDC[1])
    assert (
        get(scene, document["oauth_authorization_server"].removeprefix("http://127.0.0.1:8080")).status == 200
    )
    assert document["delegation"]["profile"] == "actor-profile"


def test_disc_05_all_ways_lead_to_the_same_issuer(scene: Scene) -> None:
    issuers = {told(scene, path)["issuer"] for path in (OAUTH, *OIDC, *AGENT)}
    assert issuers == {scene.tenant.issuer} == {claims_of(scene.own_token("a"))["iss"]}


def test_disc_06_both_views_fit_the_schema_and_are_small(scene: Scene) -> None:
    _, mine = view_of(scene)
    for document in (told(scene, AGENT[0]), mine):
        jsonschema.Draft202012Validator(schema()).validate(document)
        signed = verified(scene, document["signed_metadata"], "agent-broker-config+jwt")
        assert signed.pop("iss") == scene.tenant.issuer
        assert {
            **signed,
            "signed_metadata": document["signed_metadata"],
            "issuer": signed["issuer"],
        } == document
    reply = get(scene, AGENT[0])
    assert len(reply.body) <= 32_768
    assert dict(reply.headers)["Vary"] == "Authorization"
    assert dict(reply.headers)["Cache-Control"] == "public, max-age=300"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema()).validate({**mine, "resources": ["x"]})


def test_disc_06_an_agent_with_very_many_resources_still_gets_a_small_document(scene: Scene) -> None:
    many = [f"https://api{number}.example/{'x' * 80}" for number in range(150)]
    for identifier in many:
        scene.world.resource(scene.tenant, identifier)
    agent = scene.world.agent(scene.tenant, "wide", resources=many)
    scene.world.client(scene.tenant, "cli_wide", agent=agent)
    token, mine = view_of(scene, "wide")
    assert len(get(scene, AGENT[0], authorization=f"Bearer {token}").body) <= 32_768
    assert mine["resources_complete"] is False
    assert len(mine["resources"]) > 20


def test_an_agent_sees_what_it_may_reach_and_nothing_of_others(scene: Scene) -> None:
    token, mine = view_of(scene)
    assert mine["agent"] == scene.agents["a"].id
    assert [one["resource"] for one in mine["resources"]] == [TICKETS]
    assert mine["resources"][0]["scopes"] == ["tickets:read", "tickets:write"]
    assert mine["role_catalog"] == [{"role": "support.agent", "scopes": ["tickets:write"]}]
    assert mine["delegable_to"] == [scene.agents["b"].id]
    assert mine["trust_anchors"] == {scene.tenant.issuer: mine["jwks_uri"]}
    headers = dict(get(scene, AGENT[0], authorization=f"Bearer {token}").headers)
    assert (headers["Cache-Control"], headers["Vary"]) == ("no-store", "Authorization")
    assert "Access-Control-Allow-Origin" not in headers
    # The public view has none of it, also right after an agent was here.
    assert {"agent", "resources", "role_catalog", "delegable_to"}.isdisjoint(told(scene, AGENT[0]))


@pytest.mark.parametrize("kind", ["for_a_resource", "ended", "garbage", "basic", "anothers_tenant"])
def test_a_token_that_is_not_for_us_shows_nothing(scene: Scene, kind: str) -> None:
    token, _ = view_of(scene)
    header = f"Bearer {token}"
    path = AGENT[0]
    if kind == "for_a_resource":
        header = f"Bearer {scene.own_token('a')}"
    elif kind == "ended":
        assert scene.call("revoke", {"token": token}, client="cli_a").status == 200
    elif kind == "garbage":
        header = "Bearer x.y.z"
    elif kind == "basic":
        header = "Basic Y2xpX2E6eA=="
    else:
        scene.world.tenant("globex")
        path = path.replace("acme", "globex")
    reply = get(scene, path, authorization=header)
    headers = dict(reply.headers)
    assert reply.status == 401
    assert headers["WWW-Authenticate"].startswith("Bearer")
    assert (headers["Vary"], headers["Cache-Control"]) == ("Authorization", "no-store")
    assert TICKETS.encode() not in reply.body


def test_a_token_for_the_tenant_opens_nothing_else(scene: Scene) -> None:
    token, _ = view_of(scene)
    assert claims_of(token)["scope"] == "openid"
    assert scene.introspect(token) == {"active": False}
    form = {"grant_type": "client_credentials", "resource": scene.tenant.issuer, "scope": "tickets:read"}
    assert scene.call("token", form, client="cli_a").error == "invalid_scope"

"""Where an authorization response goes: O23 to O27, and ``iss`` in every answer (RFC 9207)."""

from urllib.parse import parse_qs, urlsplit

import pytest

from broker.approvals.consents import give_consent
from broker.kernel.errors import Refusal
from broker.oauth.authorize import advance
from broker.oauth.redirect_uris import is_registered
from tests.builders.oauth import REDIRECT_URI, Scene
from tests.builders.world import TICKETS

HOSTILE = [
    "https://writer.example/callback/",
    "https://writer.example/callback/../evil",
    "https://writer.example/callback..;/x",
    "https://writer.example/callback%2f..%2fevil",
    "https://writer.example/callbackevil",
    "https://writer.example/Callback",
    "https://WRITER.example/callback",
    "https://writer.example:443/callback",
    "https://writer.example:8443/callback",
    "https://writer.example./callback",
    "https://evil.writer.example/callback",
    "https://writer.example.evil.example/callback",
    "https://evil.example/https://writer.example/callback",
    "https://evil.example/?https://writer.example/callback",
    "https://writer.example@evil.example/callback",
    "https://writer.example:pw@evil.example/callback",
    "https://evil.example\\@writer.example/callback",
    "https://writer.example\\.evil.example/callback",
    "https://writer.example/callback#",
    "https://writer.example/callback#fragment",
    "https://writer.example/callback?x=1",
    "https://writer.example/callback?code=stolen",
    "https://writer.example/callback%00",
    "http://writer.example/callback",
    "//writer.example/callback",
    "writer.example/callback",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "",
    "https://xn--writer-example",
    "https://writer。example/callback",
]


def test_o23_nothing_is_sent_to_an_address_that_differs(scene: Scene) -> None:
    scene.consent("cli_a", ["tickets:read", "tickets:write"])
    session = scene.session()
    for uri in HOSTILE:
        with pytest.raises(Refusal) as refused:
            scene.authorize(session, redirect_uri=uri)
        assert refused.value.reason in {"redirect_uri", "malformed", "unprintable"}, uri
    honest = scene.authorize(scene.session())
    assert honest.location.startswith(f"{REDIRECT_URI}?code=")


LOOPBACK = "http://127.0.0.1/cb"


@pytest.mark.parametrize(
    ("uri", "is_fine"),
    [
        pytest.param("http://127.0.0.1/cb", True, id="as-registered"),
        pytest.param("http://127.0.0.1:51004/cb", True, id="any-port"),
        pytest.param("http://localhost:51004/cb", False, id="O24-localhost-is-a-name"),
        pytest.param("http://localhost.evil.example/cb", False, id="O24-prefix"),
        pytest.param("http://127.0.0.1:80@evil.example/cb", False, id="O24-userinfo"),
        pytest.param("http://127.0.0.1.evil.example/cb", False, id="O24-suffix"),
        pytest.param("http://127.0.0.1:51004/cb/../x", False, id="O24-path"),
        pytest.param("http://127.0.0.1:51004/cb?x=1", False, id="O24-query"),
        pytest.param("http://127.0.0.1:51004/cb#x", False, id="O24-fragment"),
        pytest.param("http://127.0.0.1:port/cb", False, id="O24-not-a-port"),
        pytest.param("http://127.0.0.2:51004/cb", False, id="O24-neighbour"),
        pytest.param("http://[::1]:51004/cb", False, id="O24-other-family"),
        pytest.param("https://127.0.0.1:51004/cb", False, id="O24-other-scheme"),
        pytest.param("http://2130706433:51004/cb", False, id="O24-decimal"),
        pytest.param("http://127.0.0.1:51004\\@evil.example/cb", False, id="O24-backslash"),
    ],
)
def test_o24_only_a_native_apps_loopback_port_is_free(scene: Scene, uri: str, is_fine: bool) -> None:
    native = scene.world.client(
        scene.tenant,
        "cli_native",
        agent=scene.agents["a"],
        auth_method="none",
        application_type="native",
        redirect_uris=[LOOPBACK],
    )
    web = scene.world.client(
        scene.tenant, "cli_web", agent=scene.agents["a"], redirect_uris=[LOOPBACK], application_type="web"
    )
    assert is_registered(native, uri) is is_fine
    assert is_registered(web, uri) is (uri == LOOPBACK)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"client_id": "nobody"}, id="O27-unknown-client"),
        pytest.param({"client_id": None}, id="O27-no-client"),
        pytest.param({"client_id": "rs_tickets"}, id="O27-a-resources-client"),
        pytest.param(
            {"redirect_uri": "https://evil.example/", "response_type": "token"}, id="O27-response-type"
        ),
        pytest.param({"redirect_uri": "https://evil.example/", "scope": "nonsense"}, id="O27-scope"),
    ],
)
def test_o27_an_error_is_shown_until_the_address_is_trusted(scene: Scene, changes: dict) -> None:
    with pytest.raises(Refusal):
        scene.authorize(scene.session(), **changes)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"response_type": "token"}, "unsupported_response_type", id="O29-implicit"),
        pytest.param({"response_type": "code id_token"}, "unsupported_response_type", id="O29-hybrid"),
        pytest.param({"response_type": None}, "invalid_request", id="no-response-type"),
        pytest.param({"response_mode": "fragment"}, "invalid_request", id="response-mode"),
        pytest.param({"request": "x.y.z"}, "request_not_supported", id="request-object"),
        pytest.param({"request_uri": "urn:x"}, "request_uri_not_supported", id="request-uri"),
        pytest.param({"resource": "https://evil.example/mcp"}, "invalid_target", id="A31-unknown-resource"),
        pytest.param({"scope": "nonsense"}, "invalid_scope", id="nothing-left"),
        pytest.param({"prompt": "none login"}, "invalid_request", id="prompt-none-with-more"),
        pytest.param({"max_age": "-1"}, "invalid_request", id="max-age"),
    ],
)
def test_mcp03_errors_go_back_with_state_and_iss(scene: Scene, changes: dict, error: str) -> None:
    onward = scene.authorize(scene.session(), **changes)
    answer = parse_qs(urlsplit(onward.location).query)
    assert onward.location.startswith(f"{REDIRECT_URI}?")
    assert answer["error"] == [error]
    assert answer["state"] == ["st-1"]
    assert answer["iss"] == [scene.tenant.issuer]


def test_iss_01_success_carries_iss(scene: Scene) -> None:
    scene.consent("cli_a", ["tickets:read", "tickets:write"])
    answer = parse_qs(urlsplit(scene.authorize(scene.session()).location).query)
    assert answer["iss"] == [scene.tenant.issuer]
    assert answer["state"] == ["st-1"]


def test_o26_a_state_cannot_add_parameters(scene: Scene) -> None:
    scene.consent("cli_a", ["tickets:read", "tickets:write"])
    hostile = "x&code=stolen&iss=https://evil.example#frag"
    answer = parse_qs(urlsplit(scene.authorize(scene.session(), state=hostile).location).query)
    assert answer["state"] == [hostile]
    assert len(answer["code"]) == 1
    assert answer["iss"] == [scene.tenant.issuer]


def test_prompt_none_says_what_is_missing(scene: Scene) -> None:
    assert "error=login_required" in scene.authorize(None, prompt="none").location
    assert "error=consent_required" in scene.authorize(scene.session(), prompt="none").location
    scene.consent("cli_a", ["tickets:read", "tickets:write"])
    assert "code=" in scene.authorize(scene.session(), prompt="none").location


def test_a_consent_for_less_does_not_cover_more(scene: Scene) -> None:
    scene.consent("cli_a", ["tickets:read"])
    assert "/consent/" in scene.authorize(scene.session()).location
    assert "code=" in scene.authorize(scene.session(), scope="tickets:read").location


def test_a02_every_agents_client_asks_for_itself(scene: Scene) -> None:
    """The confused deputy of GHSA-c2jp-c369-7pvx: what one client was allowed opens nothing for another."""
    scene.consent("cli_a", ["tickets:read"])
    scene.world.client(scene.tenant, "cli_a2", agent=scene.agents["a"])
    with scene.world.rt.database.write(scene.tenant.id) as session:
        # And a client that was moved to another agent asks again for that one.
        give_consent(
            session,
            tenant_id=scene.tenant.id,
            user_id=scene.maya,
            client_id="cli_c",
            agent_id=scene.agents["b"].id,
            resources=[TICKETS],
            scopes=["tickets:read"],
            ttl_seconds=3600,
            now=scene.world.now,
        )
    for other in ("cli_b", "cli_a2", "cli_c"):
        onward = scene.authorize(scene.session(), scope="tickets:read", client_id=other)
        assert "/consent/" in onward.location
    assert "code=" in scene.authorize(scene.session(), scope="tickets:read").location


def test_a03_another_browser_cannot_finish_what_one_began(scene: Scene) -> None:
    """CVE-2026-27124: one browser obtains the consent page, another comes back from the provider."""
    handle = scene.authorize(None).location.partition("resume=")[2]
    with pytest.raises(Refusal) as refused:
        advance(scene.visit(scene.session(), browser="x" * 43), handle)
    assert refused.value.reason == "interaction_of_other_browser"
    assert "/consent/" in advance(scene.visit(scene.session()), handle).location


def test_o55_a_request_belongs_to_one_browser_and_one_session(scene: Scene) -> None:
    handle = scene.authorize(None).location.partition("resume=")[2]
    with pytest.raises(Refusal) as other_browser:
        advance(scene.visit(scene.session(), browser="x" * 43), handle)
    assert other_browser.value.code == "sign_in_expired"
    first = scene.session()
    assert "/consent/" in advance(scene.visit(first), handle).location
    with pytest.raises(Refusal) as swapped:
        advance(scene.visit(scene.session(scene.world.user(scene.tenant, scene.okta, "eve"))), handle)
    assert swapped.value.reason == "session_swapped"
    assert "/consent/" in advance(scene.visit(first), handle).location

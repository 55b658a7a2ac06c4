"""What the authorization endpoint answers: RI-01 to RI-06, ISS-01 to ISS-03, OC-01, 03, 06 to 08."""

from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from broker.agents.naming import check_resource_identifier
from broker.discovery.metadata import server_metadata
from broker.kernel.errors import Refusal
from broker.oauth.authorize import Onward, advance
from broker.oauth.targets import canonical
from tests.builders.oauth import REDIRECT_URI, Scene, claims_of
from tests.builders.site import Site
from tests.builders.world import TICKETS, World

SCOPES = ["tickets:read", "tickets:write", "openid"]
CRM = "https://crm.example/api"


@pytest.fixture
def agreed(scene: Scene) -> Scene:
    scene.consent("cli_a", SCOPES)
    return scene


def answer_of(onward: Onward) -> dict[str, str]:
    if onward.fields is not None:
        return dict(onward.fields)
    return {name: values[0] for name, values in parse_qs(urlsplit(onward.location).query).items()}


def asked(scene: Scene, **changes: Any) -> dict[str, str]:
    return answer_of(scene.authorize(scene.session(), **changes))


# -- iss and response modes ------------------------------------------------------------------------------


def test_iss_01_every_answer_names_its_issuer(agreed: Scene) -> None:
    issuer = server_metadata(agreed.world.rt, agreed.tenant)["issuer"]
    for mode in ("query", "form_post"):
        for changes in (
            {},
            {"response_type": "token"},
            {"resource": "https://x.example"},
            {"prompt": "none x"},
        ):
            answer = asked(agreed, response_mode=mode, **changes)
            assert answer["iss"] == issuer, (mode, changes)
            assert answer["state"] == "st-1"
            assert ("code" in answer) is (changes == {})


def test_iss_01_an_answer_after_pages_names_it_too(scene: Scene) -> None:
    onward = scene.authorize(scene.session(), response_mode="form_post")
    handle = onward.location.rpartition("/")[2]
    with scene.world.rt.database.write(scene.tenant.id) as session:
        from broker.approvals.models import Interaction

        session.query(Interaction).update({"state": "denied"})
    refused = advance(scene.visit(scene.session()), handle)
    assert (refused.location, refused.is_answer) == (REDIRECT_URI, True)
    assert answer_of(refused)["error"] == "access_denied"
    assert answer_of(refused)["iss"] == scene.tenant.issuer


def test_iss_02_iss_03_the_metadata_says_so(scene: Scene) -> None:
    told = server_metadata(scene.world.rt, scene.tenant)
    assert told["authorization_response_iss_parameter_supported"] is True
    assert told["issuer"] == scene.tenant.issuer
    assert told["response_modes_supported"] == ["query", "form_post"]


def test_o26_form_post_puts_nothing_into_the_address(agreed: Scene) -> None:
    onward = agreed.authorize(agreed.session(), response_mode="form_post")
    assert onward.location == REDIRECT_URI
    assert set(answer_of(onward)) == {"code", "state", "iss"}
    assert agreed.redeem(answer_of(onward)["code"]).status == 200
    for mode in ("fragment", "query.jwt", "web_message", "FORM_POST"):
        refused = agreed.authorize(agreed.session(), response_mode=mode)
        assert answer_of(refused)["error"] == "invalid_request"
        assert refused.location.startswith(f"{REDIRECT_URI}?")


class _Form(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.action, self.fields = "", dict[str, str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            assert found["method"] == "post"
            self.action = found["action"]
        elif tag == "input":
            self.fields[found["name"]] = found["value"]


def test_o26_the_page_of_form_post_holds_text_only(site: Site) -> None:
    scene = Scene(site.world, slug="forms")
    hostile = '"><script>alert(1)</script>'
    query = urlencode(scene.request(response_mode="form_post", response_type="token", state=hostile))
    page = site.browser().get(f"/t/forms/authorize?{query}")
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    form = _Form()
    form.feed(page.text)
    assert form.action == REDIRECT_URI
    assert form.fields["state"] == hostile
    assert form.fields["iss"] == scene.tenant.issuer
    policy = page.headers["Content-Security-Policy"]
    assert "form-action *" in policy
    assert "script-src 'self'" in policy
    # Every other page keeps its forms to itself.
    other = site.browser().get("/t/forms/authorize")
    assert "form-action 'self'" in other.headers["Content-Security-Policy"]


# -- resources -------------------------------------------------------------------------------------------


def test_ri_01_a_resource_is_an_absolute_address_without_fragment(agreed: Scene) -> None:
    for wrong in (f"{TICKETS}#part", "tickets", "/mcp", "urn:x", "", f"{TICKETS} "):
        refused = asked(agreed, resource=wrong) if wrong else {"error": "invalid_target"}
        assert refused["error"] == "invalid_target", wrong
    for wrong in ("https://A.example/mcp", "https://a.example/", "https://a.example/#x", "ftp://a.example/x"):
        with pytest.raises(Refusal):
            check_resource_identifier("identifier", wrong)
    check_resource_identifier("identifier", "https://a.example/Mcp/")
    assert "code" in asked(agreed)


def second_resource(world: World, scene: Scene) -> None:
    """A second resource that agent A may use, and Maya's consent for both."""
    world.resource(scene.tenant, CRM, scopes={"tickets:read": {"description": "Read", "effect": "read"}})
    with world.rt.database.write(scene.tenant.id) as session:
        from broker.agents.models import Agent
        from broker.approvals.consents import give_consent
        from broker.kernel.versions import bump

        row = session.query(Agent).filter_by(slug="a").one()
        row.resources = [TICKETS, CRM]
        give_consent(
            session,
            tenant_id=scene.tenant.id,
            user_id=scene.maya,
            client_id="cli_a",
            agent_id=row.id,
            resources=[TICKETS, CRM],
            scopes=SCOPES,
            ttl_seconds=28_800,
            now=world.now,
        )
        bump(session.connection(), scene.tenant.id)


def test_mcp_06_ri_02_ri_04_ri_05_the_request_is_the_ceiling(scene: Scene) -> None:
    second_resource(scene.world, scene)
    both = [TICKETS, CRM]
    for resource, wanted in ((both, CRM), (both, TICKETS), ([TICKETS], TICKETS)):
        code = asked(scene, resource=resource, scope="tickets:read")["code"]
        first = scene.redeem(code, resource=wanted)
        assert claims_of(first.token)["aud"] == wanted
    # RI-04: the refresh token opens another resource inside the ceiling, and none outside.
    again = {"grant_type": "refresh_token", "refresh_token": first.json["refresh_token"], "resource": CRM}
    assert scene.call("token", again, client="cli_a").error == "invalid_target"
    code = asked(scene, resource=both, scope="tickets:read")["code"]
    refresh = scene.redeem(code, resource=TICKETS).json["refresh_token"]
    other = scene.call("token", {**again, "refresh_token": refresh}, client="cli_a")
    assert claims_of(other.token)["aud"] == CRM
    # RI-05: one token, one audience.
    code = asked(scene, resource=both, scope="tickets:read")["code"]
    assert scene.redeem(code, resource=both).error == "invalid_target"


def test_ri_03_an_unknown_or_closed_resource_is_invalid_target(scene: Scene) -> None:
    second_resource(scene.world, scene)
    assert asked(scene, client_id="cli_b", resource=CRM)["error"] == "invalid_target"
    assert asked(scene, resource="https://unknown.example")["error"] == "invalid_target"
    assert "code" in asked(scene, resource=CRM, scope="tickets:read")


def test_ri_06_one_spelling_counts(agreed: Scene) -> None:
    scheme, rest = TICKETS.split("://")
    host, _, path = rest.partition("/")
    loud = f"{scheme.upper()}://{host.upper()}/{path}"
    code = asked(agreed, resource=loud)["code"]
    assert claims_of(agreed.redeem(code, resource=loud).token)["aud"] == TICKETS
    assert canonical("https://A.example/") == "https://a.example"
    assert canonical("https://A.example/B/?C=D") == "https://a.example/B/?C=D"
    assert canonical("https://A.example?x=/Y") == "https://a.example?x=/Y"
    for other in (f"{TICKETS}/", TICKETS.replace("mcp", "MCP"), f"{TICKETS}?x=1"):
        assert asked(agreed, resource=other)["error"] == "invalid_target", other


# -- prompts, hints and what is ignored ------------------------------------------------------------------


def test_oc_03_prompt_none_never_shows_a_page(scene: Scene) -> None:
    assert answer_of(scene.authorize(None, prompt="none"))["error"] == "login_required"
    assert asked(scene, prompt="none")["error"] == "consent_required"
    scene.consent("cli_a", SCOPES)
    assert "code" in asked(scene, prompt="none")
    for mixed in ("none login", "none consent", "none select_account", "create", "NONE"):
        assert asked(scene, prompt=mixed)["error"] == "invalid_request"


def test_oc_03_prompts_ask_again(agreed: Scene) -> None:
    assert "/sign-in?" in agreed.authorize(agreed.session(), prompt="login").location
    assert "/sign-in?" in agreed.authorize(agreed.session(), prompt="select_account").location
    assert "/consent/" in agreed.authorize(agreed.session(), prompt="consent").location
    assert "/sign-in?" in agreed.authorize(agreed.session(), acr_values="phrh").location
    assert "code" in asked(agreed, max_age=600, acr_values="phr phrh")
    session = agreed.session()
    agreed.world.clock.advance(61)
    assert "/sign-in?" in agreed.authorize(session, max_age=60).location
    assert "code" in answer_of(agreed.authorize(session, max_age=61))


def id_token(scene: Scene, client: str = "cli_a") -> str:
    scene.consent(client, ["openid"])
    onward = scene.authorize(scene.session(), client_id=client, scope="openid", resource=scene.tenant.issuer)
    return str(scene.redeem(answer_of(onward)["code"], client).json["id_token"])


def test_oc_03_id_token_hint_names_the_person(agreed: Scene) -> None:
    hint = id_token(agreed)
    ben = agreed.world.user(agreed.tenant, agreed.okta, "ben", groups=["support"])
    agreed.world.clock.advance(86_400)  # it has ended, and still says whom the client expects
    agreed.consent("cli_a", SCOPES)
    assert "code" in asked(agreed, id_token_hint=hint, prompt="none")
    other = agreed.session(ben)
    assert answer_of(agreed.authorize(other, id_token_hint=hint, prompt="none"))["error"] == "login_required"
    first = agreed.authorize(other, id_token_hint=hint)
    assert "/sign-in?" in first.location
    # Whoever comes back from there as somebody else gets no second try.
    handle = parse_qs(urlsplit(first.location).query)["resume"][0]
    refused = answer_of(advance(agreed.visit(agreed.session(ben)), handle))
    assert refused["error"] == "login_required"
    second = agreed.authorize(other, id_token_hint=hint)
    handle = parse_qs(urlsplit(second.location).query)["resume"][0]
    assert "code" in answer_of(advance(agreed.visit(agreed.session()), handle))


def test_oc_03_a_hint_of_another_kind_is_refused(agreed: Scene) -> None:
    token = agreed.person_token()
    for wrong in (token, "x", id_token(agreed, "cli_b"), f"{id_token(agreed)[:-4]}AAAA"):
        assert asked(agreed, id_token_hint=wrong)["error"] == "invalid_request"
    assert "code" in asked(agreed, id_token_hint=id_token(agreed))


def test_oc_07_what_is_unknown_is_ignored(agreed: Scene) -> None:
    extra = {"ui_locales": "de fr", "display": "popup", "claims_locales": "de", "foo": "bar", "claims": "{}"}
    assert "code" in asked(agreed, login_hint="maya@acme.example", **extra)


def test_oc_08_request_objects_are_refused(agreed: Scene) -> None:
    for request in ("eyJhbGciOiJub25lIn0.e30.", "x"):
        assert asked(agreed, request=request)["error"] == "request_not_supported"
    assert server_metadata(agreed.world.rt, agreed.tenant)["request_parameter_supported"] is False


def test_oc_01_only_codes_are_given(agreed: Scene) -> None:
    for kind in ("token", "id_token", "code token", "code id_token", "none"):
        assert asked(agreed, response_type=kind)["error"] == "unsupported_response_type"
    assert "code" in asked(agreed)


def test_oc_06_a_code_that_comes_back_ends_what_it_gave(agreed: Scene) -> None:
    code = asked(agreed)["code"]
    first = agreed.redeem(code)
    child = agreed.hand_over(first.token, "b").token
    assert agreed.redeem(code).error == "invalid_grant"
    assert agreed.introspect(first.token) == agreed.introspect(child) == {"active": False}


def test_oc_07_a_request_may_be_posted(site: Site) -> None:
    scene = Scene(site.world, slug="posts")
    posted = site.browser().post("/t/posts/authorize", data=scene.request())
    assert posted.status_code == 303
    assert posted.headers["Location"].startswith("/t/posts/authorize?response_type=code")

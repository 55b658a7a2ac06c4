"""Group lookups under attack: links and ids that lead elsewhere, endless and slow answers, storms.

Each attack stands beside the same inquiry answered honestly. What fails is "error" or "truncated", never an
empty list that counts as all.
"""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from idp_connectors.base import MemoryCache, VerifiedIdentity
from idp_connectors.groups import calls
from idp_connectors.groups.gathering import LookupFailed
from idp_connectors.oidc import OidcConnector
from tests.builders import google_directory, graph, okta_api
from tests.builders.connector_deps import make_deps
from tests.builders.graph import (
    GRAPH,
    LOGIN,
    OTHER_TENANT,
    PERSON,
    TENANT,
    MicrosoftCloud,
    entra_claims,
    overage,
)
from tests.builders.looking_up import INQUIRIES, Inquiry, at_google, at_graph, at_okta, values
from tests.builders.lookup_source import busy
from tests.builders.oidc_op import CLIENT_ID, CLIENT_SECRET
from tests.builders.oidc_rp import sign_in

SETTINGS = {
    "issuer": graph.ISSUER,
    "subject": "oid+tid",
    "group_kind": "id",
    "group_lookup": "entra_graph",
    "client_auth": "client_secret_post",
}


@pytest.fixture(params=INQUIRIES)
def inquiry(request: pytest.FixtureRequest) -> Inquiry:
    return INQUIRIES[request.param]()


def sign_in_at(
    cloud: MicrosoftCloud, settings: dict[str, Any] | None = None, **claims: Any
) -> VerifiedIdentity:
    return sign_in(cloud, settings={**SETTINGS, **(settings or {})}, **entra_claims(**claims))


def told(identity: VerifiedIdentity) -> tuple[int, str, str]:
    return len(identity.groups), identity.groups_state, identity.groups_source


# --- at sign-in -------------------------------------------------------------------------------------


def test_a_person_in_1500_groups_gets_all_of_them():
    cloud = MicrosoftCloud()
    cloud.graph.members[PERSON] = list(range(1500))
    identity = sign_in_at(cloud, **overage())
    assert told(identity) == (1500, "complete", "graph")
    assert [group.value for group in identity.groups] == [graph.group_id(number) for number in range(1500)]


@pytest.mark.parametrize(
    "claims", [overage(), {"hasgroups": True}, {"hasgroups": "true"}], ids=["names", "flag", "flag-text"]
)
def test_every_way_to_say_that_there_are_too_many_leads_to_a_lookup(claims: dict[str, Any]):
    assert told(sign_in_at(MicrosoftCloud(), **claims)) == (3, "complete", "graph")


def test_groups_that_fit_into_the_token_are_not_asked_for():
    cloud = MicrosoftCloud()
    assert told(sign_in_at(cloud, groups=[graph.group_id(9)])) == (1, "complete", "id_token")
    assert cloud.graph.requests == []


def test_a_connection_may_ask_always():
    cloud = MicrosoftCloud()
    identity = sign_in_at(cloud, {"group_lookup_when": "always"}, groups=[graph.group_id(9)])
    assert told(identity) == (3, "complete", "graph")


def test_without_a_lookup_overage_stays_what_it_is():
    cloud = MicrosoftCloud()
    assert told(sign_in_at(cloud, {"group_lookup": "none"}, **overage())) == (0, "overage", "id_token")
    assert cloud.graph.requests == []


@pytest.mark.parametrize(
    "link",
    [
        graph.RETIRED_LINK,
        "https://evil.example/collect",
        "http://169.254.169.254/latest/meta-data/",
        f"https://{GRAPH}@evil.example/v1.0",
        f"https://{GRAPH}/v1.0/users/bbbbbbbb-0000-0000-0000-00000000000b/getMemberObjects",
    ],
)
def test_the_link_in_the_token_is_never_followed(link: str):
    cloud = MicrosoftCloud()
    assert told(sign_in_at(cloud, **overage(link))) == (3, "complete", "graph")
    assert cloud.graph.hosts() == {LOGIN, GRAPH}
    assert {request.url.path.split("/")[3] for request in cloud.graph.api_requests()} == {PERSON}
    assert [url for url in cloud.requests if link in url] == []


@pytest.mark.parametrize(
    "fault",
    [
        lambda request: httpx2.Response(500, text="<html>"),
        lambda request: httpx2.Response(200, text="<html>"),
        lambda request: httpx2.Response(
            200, headers={"Content-Encoding": "gzip"}, stream=httpx2.ByteStream(b'{"value": []}')
        ),
        lambda request: httpx2.Response(200, json=[]),
        lambda request: httpx2.Response(200, json={"value": None}),
        lambda request: httpx2.Response(403, json={"error": {"code": "Authorization_RequestDenied"}}),
        lambda request: httpx2.Response(302, headers={"Location": "https://evil.example/"}),
        busy("600"),
    ],
    ids=["500", "html", "compressed", "list", "null", "403", "redirect", "429"],
)
def test_a_failed_lookup_keeps_the_sign_in_and_says_error(fault: Callable[..., httpx2.Response]):
    cloud = MicrosoftCloud()
    cloud.graph.faults = [fault]
    identity = sign_in_at(cloud, **overage())
    assert identity.subject == f"{TENANT}/{PERSON}"
    assert told(identity) == (0, "error", "graph")
    assert "evil.example" not in cloud.graph.hosts()


def test_the_connector_tells_groups_between_sign_ins_too():
    lookup = OidcConnector().group_lookup(
        {**SETTINGS, "client_id": CLIENT_ID}, {"client_secret": CLIENT_SECRET}
    )
    inquiry = at_graph()
    assert values(Inquiry(inquiry.source, lookup, inquiry.key, "").ask()) == values(inquiry.ask())


# --- ids and links that lead elsewhere --------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        f"{OTHER_TENANT}/{PERSON}",
        f"{TENANT}/../{PERSON}",
        f"{TENANT}/{PERSON}/../../me",
        f"{TENANT}/{PERSON}?$filter=x",
        f"{TENANT}/{PERSON.upper()}",
        f"{TENANT}/{PERSON}\n",
        f"common/{PERSON}",
        f"{TENANT}/me",
        PERSON.upper(),
        f"{PERSON}?$filter=x",
        "me",
        "/",
    ],
)
def test_graph_is_asked_about_people_of_its_directories_by_id_only(key: str):
    inquiry = at_graph()
    answer = inquiry.ask(key)
    assert (answer.groups, answer.state) == ((), "error")
    assert inquiry.source.requests == []
    assert inquiry.ask().state == "complete"


def test_an_object_id_alone_needs_a_lookup_for_one_directory():
    assert at_graph().ask(PERSON).state == "complete"
    shared = at_graph(tenant_ids=frozenset({TENANT, OTHER_TENANT}))
    assert (shared.ask(PERSON).state, shared.source.requests) == ("error", [])


@pytest.mark.parametrize("key", ["../me", "a/b", "00u1?x", "00u 1", "me@corp.example", "", "1" * 65, "٣"])
def test_other_sources_take_their_own_ids_only(key: str):
    for inquiry in (at_google(), at_okta()):
        answer = inquiry.lookup.lookup(key, make_deps(inquiry.source))
        assert (answer.groups, answer.state) == ((), "error")
        assert inquiry.source.requests == []
        assert inquiry.ask().state == "complete"


@pytest.mark.parametrize(
    "name", ["ada", "../x@corp.example", "a/b@corp.example", "a@b", "a@b.c?d", "@corp.example"]
)
def test_a_user_name_is_an_address_or_nothing(inquiry: Inquiry, name: str):
    assert inquiry.ask(name, by="username").state == "error"
    assert inquiry.source.requests == []


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/v1.0/users/x",
        f"https://{GRAPH}.evil.example/v1.0/x",
        f"https://{GRAPH}@evil.example/v1.0/x",
        f"https://{GRAPH}:8443/v1.0/x",
        f"http://{GRAPH}/v1.0/x",
        f"https://{GRAPH}/beta/x",
        f"https://{LOGIN}/v1.0/x",
        f"//{GRAPH}/v1.0/x",
        "/v1.0/x",
        "",
        7,
    ],
    ids=str,
)
def test_graph_pages_lie_at_graph(link: Any):
    inquiry = at_graph()
    inquiry.source.members[PERSON] = list(range(1500))
    assert inquiry.ask().state == "complete"
    page = {"value": [{"id": graph.group_id(1), "displayName": "One"}], "@odata.nextLink": link}
    inquiry.source.faults = [lambda request: httpx2.Response(200, json=page)]
    before = len(inquiry.source.requests)
    answer = inquiry.ask()
    assert (values(answer), answer.state) == ([graph.group_id(1)], "error")
    assert {request.url.host for request in inquiry.source.requests[before:]} == {LOGIN, GRAPH}
    assert len(inquiry.source.requests[before:]) == 2


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/api/v1/users/x",
        f"https://{okta_api.HOST}.evil.example/api/v1/users/x",
        f"https://{okta_api.HOST}@evil.example/api/v1/users/x",
        f"http://{okta_api.HOST}/api/v1/users/x",
        f"https://{okta_api.HOST}/oauth2/v1/token",
    ],
)
def test_okta_pages_lie_at_the_organisation(link: str):
    inquiry = at_okta()
    inquiry.source.groups[okta_api.USER] = [str(number) for number in range(300)]
    assert inquiry.ask().state == "complete"
    inquiry.source.next_link = link
    assert (len(inquiry.ask().groups), inquiry.ask().state) == (200, "error")
    assert inquiry.source.hosts() == {okta_api.HOST}
    assert {request.url.path.split("/")[1] for request in inquiry.source.api_requests()} == {"api"}


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x",
        f"http://{GRAPH}/x",
        f"https://{GRAPH}:8443/x",
        f"https://{GRAPH}@evil.example/x",
        f"https://user@{GRAPH}/x",
        f"https://evil.example\\@{GRAPH}/x",
        f"https://{GRAPH}.evil.example/x",
        f"https://[{GRAPH}/x",
        "file:///etc/passwd",
    ],
)
def test_a_token_leaves_for_the_sources_hosts_only(url: str):
    source = graph.Graph()
    conversation = calls.Calls(make_deps(source), (GRAPH,), "who", source.watch.pace())
    with pytest.raises(LookupFailed):
        conversation.get(url, "token")
    assert source.requests == []
    assert conversation.get(f"https://{GRAPH}/v1.0/x", "token").status == 401


def test_a_nested_group_that_disappears_is_not_a_person_who_does():
    inquiry = at_google()
    assert inquiry.ask().person == "unknown"
    inquiry.source.faults = [inquiry.source.answer, lambda request: inquiry.source.error(404, "gone")]
    answer = inquiry.ask()
    assert (values(answer), answer.state, answer.person) == (["team@corp.example"], "error", "unknown")


def test_pages_in_a_circle_end():
    at = {"graph": at_graph(), "google": at_google(), "okta": at_okta()}
    at["graph"].source.members[PERSON] = list(range(1500))
    own = f"https://{GRAPH}/v1.0/users/{PERSON}/transitiveMemberOf/microsoft.graph.group?$skiptoken=0"
    at["graph"].source.next_link = own
    at["google"].source.parents = {google_directory.ACCOUNT: [str(number) for number in range(500)]}
    at["google"].source.next_page = "200"
    at["okta"].source.groups[okta_api.USER] = [str(number) for number in range(500)]
    at[
        "okta"
    ].source.next_link = f"https://{okta_api.HOST}/api/v1/users/{okta_api.USER}/groups?limit=200&after=0"
    for inquiry in at.values():
        assert inquiry.ask().state == "error"
        assert len(inquiry.source.api_requests()) <= 3


def test_a_key_file_does_not_choose_where_its_proof_goes():
    inquiry = at_google(key_file=google_directory.key_file(token_uri="https://evil.example/token"))
    assert inquiry.ask().state == "complete"
    assert inquiry.source.hosts() == {"oauth2.googleapis.com", "admin.googleapis.com"}


# --- credentials ------------------------------------------------------------------------------------


def test_a_token_is_not_lent_to_somebody_with_another_secret():
    cache, source = MemoryCache(), graph.Graph()
    assert at_graph(source).ask(cache=cache).state == "complete"
    stranger = at_graph(source, client_secret="guess")
    assert stranger.ask(cache=cache).state == "error"
    assert at_graph(source).ask(cache=cache).state == "complete"


def test_a_token_that_was_withdrawn_is_forgotten():
    inquiry, cache = at_graph(), MemoryCache()
    assert inquiry.ask(cache=cache).state == "complete"
    inquiry.source.tokens.clear()
    assert [inquiry.ask(cache=cache).state for _ in range(2)] == ["error", "complete"]


@pytest.mark.parametrize("token", ["a b", "a\r\nX-Evil: 1", "ä", "", "x" * 20_000, 5, None], ids=repr)
def test_an_unusable_token_is_not_sent(token: Any):
    inquiry = at_graph()
    assert inquiry.ask().state == "complete"
    inquiry.source.token = lambda request: httpx2.Response(200, json={"access_token": token})
    assert inquiry.ask().state == "error"
    assert len(inquiry.source.api_requests()) == 1


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda: at_graph(client_secret="wr0ng-s3cret"), id="graph"),
        pytest.param(
            lambda: at_google(key_file=google_directory.key_file(private_key="s3cret-key")), id="google"
        ),
        pytest.param(lambda: at_google(key_file="s3cret-key"), id="google-no-json"),
        pytest.param(lambda: at_google(key_file='["s3cret-key"]'), id="google-list"),
        pytest.param(lambda: at_okta(private_key="s3cret-key"), id="okta"),
        pytest.param(lambda: at_okta(private_key='{"kty":"oct","k":"s3cret-key"}'), id="okta-symmetric"),
        pytest.param(lambda: at_okta(client_id="0oaother"), id="okta-other-client"),
    ],
)
def test_a_faulty_credential_is_an_error_that_does_not_repeat_it(build: Callable[[], Inquiry]):
    answer = build().ask()
    assert (answer.groups, answer.state) == ((), "error")
    assert answer.problem
    assert "s3cret" not in answer.problem


def test_a_refusal_tells_the_administrator_what_to_grant():
    at = {"graph": at_graph(), "google": at_google(), "okta": at_okta()}
    hints = {"graph": "GroupMember.Read.All", "google": "domain-wide delegation", "okta": "okta.groups.read"}
    for name, inquiry in at.items():
        error = inquiry.source.error(403, "denied")
        inquiry.source.faults = [lambda request, error=error: error]
        answer = inquiry.ask()
        assert answer.state == "error"
        assert hints[name] in answer.problem
        assert inquiry.ask().problem == ""


def test_groups_with_invisible_names_do_not_pass_for_others():
    inquiry = at_okta()
    inquiry.source.groups[okta_api.USER] = ["agents", "agents\u200b"]
    assert (values(inquiry.ask()), inquiry.ask().state) == (["agents"], "error")
    inquiry.source.groups[okta_api.USER] = ["agents", "agents-b"]
    assert inquiry.ask().state == "complete"

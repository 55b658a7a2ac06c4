"""What each source is asked and what becomes of its answers: pages, nesting, kinds of names, settings."""

import itertools
import json
from typing import Any

import pytest

from idp_connectors.base import Group, GroupLookup, MemoryCache
from idp_connectors.groups import sources
from idp_connectors.groups.calls import Pace
from idp_connectors.groups.entra_graph import LOGIN_HOSTS, EntraGraphLookup, entra_tenants
from idp_connectors.groups.settings import GroupLookupSettings
from idp_connectors.groups.sources import SignInFacts, make_lookup
from tests.builders import google_directory, graph, okta_api
from tests.builders.connector_deps import NOW
from tests.builders.looking_up import INQUIRIES, at_google, at_graph, at_okta, values


@pytest.mark.parametrize("source", INQUIRIES)
def test_an_answer_says_where_and_when_it_comes_from(source: str):
    answer = INQUIRIES[source]().ask()
    names = {"graph": "graph", "google": "directory_api", "okta": "okta_api"}
    assert (answer.state, answer.source, answer.fetched_at) == ("complete", names[source], NOW)
    assert answer.problem == ""
    assert answer.groups


@pytest.mark.parametrize("source", INQUIRIES)
def test_somebody_in_no_group_is_a_complete_answer(source: str):
    inquiry = INQUIRIES[source]()
    book = {"graph": "members", "google": "parents", "okta": "groups"}[source]
    person = inquiry.key.rpartition("/")[2]
    setattr(inquiry.source, book, {person: []})
    answer = inquiry.ask()
    assert (answer.groups, answer.state) == ((), "complete")


@pytest.mark.parametrize("source", INQUIRIES)
def test_nobody_is_not_somebody_without_groups(source: str):
    inquiry = INQUIRIES[source]()
    answer = inquiry.ask(inquiry.unknown_key)
    assert (answer.groups, answer.state, answer.person) == ((), "absent", "not_found")


@pytest.mark.parametrize("source", INQUIRIES)
def test_a_token_is_used_for_as_long_as_it_lives(source: str):
    inquiry, cache = INQUIRIES[source](), MemoryCache()
    for now in (NOW, NOW + 60, NOW + 3000):
        inquiry.ask(now=now, cache=cache)
    assert len(inquiry.source.requests) - len(inquiry.source.api_requests()) == 1
    inquiry.source.now = NOW + 3700
    assert inquiry.ask(now=NOW + 3700, cache=cache).state == "complete"
    assert len(inquiry.source.requests) - len(inquiry.source.api_requests()) == 2


@pytest.mark.parametrize("size", [0, 1, 998, 999, 1000, 1500, 1998, 5000])
def test_graph_gives_every_page(size: int):
    inquiry = at_graph()
    inquiry.source.members[graph.PERSON] = list(range(size))
    answer = inquiry.ask()
    assert answer.state == "complete"
    assert values(answer) == [graph.group_id(number) for number in range(size)]
    assert len(inquiry.source.api_requests()) == max(1, -(-size // 999))


def test_graph_names_groups_by_id_and_shows_their_names():
    assert at_graph().ask().groups[0] == Group("id", graph.group_id(1), "Group 1")


@pytest.mark.parametrize("graph_host", LOGIN_HOSTS)
def test_every_cloud_has_hosts_of_its_own(graph_host: str):
    inquiry = at_graph(graph.Graph(LOGIN_HOSTS[graph_host], graph_host))
    assert inquiry.ask().state == "complete"
    assert inquiry.source.hosts() == {graph_host, LOGIN_HOSTS[graph_host]}


def test_the_directories_are_those_listed_or_the_one_of_the_issuer():
    assert entra_tenants(graph.ISSUER, ()) == {graph.TENANT}
    assert entra_tenants(graph.TEMPLATE, (graph.OTHER_TENANT,)) == {graph.OTHER_TENANT}
    assert entra_tenants("https://op.example", ()) == frozenset()


def test_a_user_name_is_looked_up_where_there_is_one_directory():
    inquiry = at_graph()
    inquiry.source.members["ada@corp.example"] = [7]
    assert values(inquiry.ask("ada@corp.example", by="username")) == [graph.group_id(7)]
    two = at_graph(tenant_ids=frozenset({graph.TENANT, graph.OTHER_TENANT}))
    assert two.ask("ada@corp.example", by="username").state == "error"


def test_google_groups_of_groups_are_found_and_circles_end():
    inquiry = at_google()
    inquiry.source.parents = {
        google_directory.ACCOUNT: ["a", "b"],
        google_directory.address("a"): ["c"],
        google_directory.address("b"): ["c"],
        google_directory.address("c"): ["a", "d"],
    }
    answer = inquiry.ask()
    assert answer.state == "complete"
    assert values(answer) == [google_directory.address(name) for name in "abcd"]
    assert answer.groups[0] == Group("email", "a@corp.example", "A")
    assert len(inquiry.source.api_requests()) == 5


def test_google_pages_are_followed():
    inquiry = at_google(kind="id")
    inquiry.source.page_size = 2
    inquiry.source.parents = {google_directory.ACCOUNT: ["a", "b", "c", "d", "e"]}
    answer = inquiry.ask()
    assert (answer.state, values(answer)) == ("complete", [f"id-{name}" for name in "abcde"])


def test_google_nesting_without_end_is_truncated():
    inquiry = at_google()
    chain = [f"level{number}" for number in range(20)]
    inquiry.source.parents = {google_directory.ACCOUNT: chain[:1]} | {
        google_directory.address(child): [parent] for child, parent in itertools.pairwise(chain)
    }
    answer = inquiry.ask()
    assert answer.state == "truncated"
    assert 0 < len(answer.groups) < 20


def test_okta_pages_are_followed():
    inquiry = at_okta()
    inquiry.source.groups[okta_api.USER] = [f"group-{number}" for number in range(450)]
    answer = inquiry.ask()
    assert (answer.state, len(answer.groups)) == ("complete", 450)
    assert len(inquiry.source.api_requests()) == 3


def test_okta_groups_by_id_show_their_names():
    assert at_okta(kind="id").ask().groups[1] == Group("id", "00g1", "agents-finance")


def test_okta_takes_its_key_as_jwk_too():
    assert at_okta(private_key=json.dumps(okta_api.KEY.as_dict(private=True))).ask().state == "complete"


# --- settings ---------------------------------------------------------------------------------------

GOOGLE_FACTS = {"issuer": "https://accounts.google.com", "group_kind": "email"}
OKTA_FACTS = {"issuer": okta_api.ISSUER, "group_kind": "name"}
ENTRA_FACTS = {"issuer": graph.ISSUER, "group_kind": "id", "subject": "oid+tid"}
GOOGLE_SETTINGS = {
    "group_lookup": "google_directory",
    "google_admin": google_directory.ADMIN,
    "google_service_account": "{}",
}
OKTA_SETTINGS = {"group_lookup": "okta_api", "okta_api_client_id": "0oa", "okta_api_key": "{}"}
ENTRA_SETTINGS = {"group_lookup": "entra_graph"}


def build(settings: dict[str, Any], facts: dict[str, Any]) -> GroupLookup | None:
    full = {"client_id": "c", "client_secret": "s", "subject": "sub", **facts}
    return make_lookup(GroupLookupSettings.model_validate(settings), SignInFacts(**full), Pace())


def test_each_name_of_a_lookup_makes_one():
    assert build({}, ENTRA_FACTS) is None
    assert isinstance(build(ENTRA_SETTINGS, ENTRA_FACTS), EntraGraphLookup)
    assert build(GOOGLE_SETTINGS, GOOGLE_FACTS) is not None
    assert build(OKTA_SETTINGS, OKTA_FACTS) is not None
    assert set(sources._MAKERS) == {"entra_graph", "google_directory", "okta_api"}


@pytest.mark.parametrize(
    ("settings", "facts", "changes"),
    [
        pytest.param(ENTRA_SETTINGS, ENTRA_FACTS, {"subject": "sub"}, id="entra-by-sub"),
        pytest.param(ENTRA_SETTINGS, ENTRA_FACTS, {"group_kind": "name"}, id="entra-by-name"),
        pytest.param(ENTRA_SETTINGS, ENTRA_FACTS, {"issuer": "https://op.example"}, id="entra-no-directory"),
        pytest.param(
            ENTRA_SETTINGS,
            ENTRA_FACTS,
            {"issuer": f"https://evil.example/{graph.TENANT}/v2.0"},
            id="entra-host",
        ),
        pytest.param(
            {**ENTRA_SETTINGS, "entra_graph_host": "graph.microsoft.us"},
            ENTRA_FACTS,
            {},
            id="entra-other-cloud",
        ),
        pytest.param(GOOGLE_SETTINGS, GOOGLE_FACTS, {"issuer": "https://op.example"}, id="google-issuer"),
        pytest.param(GOOGLE_SETTINGS, GOOGLE_FACTS, {"group_kind": "name"}, id="google-by-name"),
        pytest.param({**GOOGLE_SETTINGS, "google_admin": "x"}, GOOGLE_FACTS, {}, id="google-admin"),
        pytest.param({**GOOGLE_SETTINGS, "google_service_account": None}, GOOGLE_FACTS, {}, id="google-key"),
        pytest.param(OKTA_SETTINGS, OKTA_FACTS, {"issuer": "http://localhost:9000"}, id="okta-http"),
        pytest.param(OKTA_SETTINGS, OKTA_FACTS, {"issuer": "https://acme.okta.example:8443"}, id="okta-port"),
        pytest.param(OKTA_SETTINGS, OKTA_FACTS, {"subject": "oid+tid"}, id="okta-subject"),
        pytest.param(OKTA_SETTINGS, OKTA_FACTS, {"group_kind": "email"}, id="okta-by-email"),
        pytest.param({**OKTA_SETTINGS, "okta_api_client_id": ""}, OKTA_FACTS, {}, id="okta-client"),
        pytest.param({**OKTA_SETTINGS, "okta_api_key": None}, OKTA_FACTS, {}, id="okta-key"),
    ],
)
def test_a_lookup_that_cannot_work_is_refused_with_a_sentence(
    settings: dict[str, Any], facts: dict[str, Any], changes: dict[str, Any]
):
    with pytest.raises(ValueError, match=r"[a-z]{3,} [a-z]{2,}"):
        build(settings, {**facts, **changes})


def test_an_unknown_cloud_is_no_setting():
    with pytest.raises(ValueError):
        GroupLookupSettings.model_validate({"entra_graph_host": "graph.evil.example"})

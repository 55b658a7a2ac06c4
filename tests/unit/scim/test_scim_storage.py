"""The protocol core's own rules for a storage, on both databases, and what bounds a search."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from scim2_models import ScimProvider
from scim2_server.testing import ScimStorageContract

from broker.scim import scanning
from broker.scim.desk import push_desk
from broker.scim.resources import PROVIDER
from broker.scim.storage import SqlStorage
from tests.builders.minting import Statements
from tests.builders.provisioning import Provider
from tests.builders.world import open_world


class TestSqlStorage(ScimStorageContract):
    @pytest.fixture
    def provider(self) -> ScimProvider:
        return PROVIDER

    @pytest.fixture
    def storage(self, sqlite_url: str, tmp_path: Path) -> Iterator[SqlStorage]:
        with open_world(sqlite_url, tmp_path) as world:
            acme = world.tenant()
            yield self.storage_of(Provider(world, acme, world.connection(acme, "okta")))

    @staticmethod
    def storage_of(pusher: Provider) -> SqlStorage:
        tenant = pusher.world.again(pusher.tenant)
        desk = push_desk(pusher.rt, tenant, pusher.connection, pusher.token.view, pusher.world.ctx)
        return SqlStorage(desk, writes=True)


# Pages have numbers here; cursors are not offered.
for _name in dir(ScimStorageContract):
    if _name.startswith("test_cursor"):
        setattr(TestSqlStorage, _name, None)


def test_filters_of_providers_are_answered_by_the_database(pusher: Provider):
    for name in ("ann", "bob"):
        pusher.user(
            name,
            externalId=f"id-{name}",
            displayName=name.title(),
            emails=[{"value": f"{name}@x.example", "type": "work"}],
        )
    filters = [
        'userName eq "ANN"',
        'externalId eq "id-ann"',
        'displayName eq "ann"',
        'emails.value eq "Ann@x.example"',
        'emails eq "ann@x.example"',
        'emails[type eq "work"].value eq "ann@x.example"',
        'emails[type eq "work" and value eq "ann@x.example"]',
        'active eq true and userName eq "ann"',
        'userName eq "nobody" or userName eq "ann"',
        'urn:ietf:params:scim:schemas:core:2.0:User:userName eq "ann"',
    ]
    for scim_filter in filters:
        with Statements(pusher.rt.database.engine) as seen:
            found = pusher.find("Users", scim_filter)
        assert found.names == ["ann"], scim_filter
        assert any("count(" in text for text in seen.texts), f"{scim_filter} was not pushed down"


def test_an_external_id_counts_with_its_case(pusher: Provider):
    pusher.user("ann", externalId="Ab")
    assert pusher.find("Users", 'externalId eq "Ab"').json["totalResults"] == 1
    assert pusher.find("Users", 'externalId eq "aB"').json["totalResults"] == 0


def test_a_search_without_an_index_is_bounded(pusher: Provider, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scanning, "MAX_SCAN", 3)
    for number in range(4):
        pusher.user(f"person-{number}", title="Boss")
    refused = pusher.find("Users", 'title eq "Boss"')
    assert (refused.status, refused.scim_type) == (400, "tooMany")
    assert pusher.get("Users?sortBy=userName").scim_type == "tooMany"
    # Narrowed by something that has an index, the same question is answered.
    narrowed = pusher.find("Users", 'title eq "Boss" and userName eq "person-1"')
    assert narrowed.names == ["person-1"]


def test_pages_are_stable_and_never_longer_than_the_limit(pusher: Provider):
    for number in range(7):
        pusher.user(f"person-{number}")
        pusher.world.clock.advance(1)
    first = pusher.get("Users?startIndex=1&count=3")
    second = pusher.get("Users?startIndex=4&count=3")
    last = pusher.get("Users?startIndex=7&count=3")
    assert first.names + second.names + last.names == [f"person-{number}" for number in range(7)]
    assert first.json["totalResults"] == second.json["totalResults"] == 7
    assert isinstance(first.json["totalResults"], int)
    assert first.json["itemsPerPage"] == 3
    assert pusher.get("Users?count=0").json["totalResults"] == 7
    assert pusher.get("Users?count=0").json.get("Resources", []) == []
    assert pusher.get("Users?count=1000000").json["itemsPerPage"] == 7


def test_a_large_group_changes_at_the_cost_of_the_change(pusher: Provider):
    ids = [pusher.user(f"person-{number}").id for number in range(30)]
    group = pusher.group("everybody", *ids[:29]).id
    with Statements(pusher.rt.database.engine) as seen:
        done = pusher.patch(
            f"Groups/{group}", {"op": "add", "path": "members", "value": [{"value": ids[29]}]}
        )
    assert done.status == 204
    named = "scim_user_id IN", "scim_users.id IN"
    read = [
        text for text in seen.texts if "FROM scim_members" in text and not any(one in text for one in named)
    ]
    assert read == [], "the other members were read"
    assert len(pusher.get(f"Groups/{group}").json["members"]) == 30


def test_what_a_database_cannot_hold_is_refused_and_not_a_fault(pusher: Provider):
    for name in ("nul\u0000name", "x" * 321, "\ud800"):
        assert pusher.user(name).status == 400, name
    assert pusher.user("ann", title="a\u0000b").status == 400
    assert pusher.find("Users", 'userName eq "a\\u0000b"').scim_type == "invalidFilter"
    assert pusher.find("Users", 'title eq "\\ud800"').status == 400
    assert pusher.get("Users/%00").status == 404
    assert pusher.get("Users/" + "x" * 300).status == 404
    assert pusher.user("ann").status == 201

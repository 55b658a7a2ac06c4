"""Whom a record may become (security C04, C07, C08, C09, C10), each attack beside its twin."""

import threading

import pytest

from broker.directory.provisioning import find_provisioned
from tests.builders.oauth import Scene
from tests.builders.provisioning import Provider


@pytest.fixture
def okta(scene: Scene) -> Provider:
    return Provider(scene.world, scene.tenant, scene.okta)


@pytest.fixture
def entra(scene: Scene) -> Provider:
    """A second connection of the same tenant."""
    return Provider(scene.world, scene.tenant, scene.world.connection(scene.tenant, "entra"))


def user_of(okta: Provider, person_id: str) -> str | None:
    with okta.rt.database.core_read() as connection:
        person = find_provisioned(connection, okta.tenant.id, person_id)
    return person.user_id if person else None


# -- C04: what a push may not set -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param({"op": "replace", "path": "id", "value": "scu_other"}, id="C04-id"),
        pytest.param({"op": "replace", "value": {"id": "scu_other"}}, id="C04-id-without-path"),
        pytest.param({"op": "replace", "path": "meta.version", "value": 'W/"9"'}, id="C04-version"),
        pytest.param(
            {"op": "replace", "path": "meta", "value": {"created": "2000-01-01T00:00:00Z"}}, id="C04-meta"
        ),
        pytest.param({"op": "add", "path": "groups", "value": [{"value": "scg_x"}]}, id="C04-groups"),
        pytest.param({"op": "replace", "path": "userName", "value": "TOM"}, id="C04-foreign-user-name"),
        pytest.param({"op": "replace", "path": "externalId", "value": "tom-key"}, id="C04-foreign-key"),
    ],
)
def test_c04_a_record_cannot_become_another(scene: Scene, okta: Provider, operation: dict[str, object]):
    okta.user("tom", externalId="tom-key")
    maya = okta.user("maya", externalId="maya").id
    before = okta.get(f"Users/{maya}").json
    refused = okta.patch(f"Users/{maya}", operation)
    assert refused.status in {400, 409}
    assert refused.scim_type in {"mutability", "uniqueness"}
    assert okta.get(f"Users/{maya}").json == before
    # The twin: a free name of one's own.
    assert okta.patch(f"Users/{maya}", {"op": "replace", "path": "userName", "value": "maya2"}).status == 204


def test_c04_who_is_known_by_a_key_keeps_it(scene: Scene, okta: Provider):
    victim = scene.world.user(scene.tenant, scene.okta, "victim")
    maya = okta.user("maya", externalId="maya").id
    pending = okta.user("new", externalId="not-seen-yet").id
    assert user_of(okta, maya) == scene.maya
    taken = okta.patch(f"Users/{maya}", {"op": "replace", "path": "externalId", "value": "victim"})
    assert (taken.status, taken.scim_type) == (400, "mutability")
    removed = okta.patch(f"Users/{maya}", {"op": "remove", "path": "externalId"})
    assert (removed.status, removed.scim_type) == (400, "mutability")
    assert user_of(okta, maya) == scene.maya
    # The twin: somebody whom nobody knows yet gets the right key, and is who it says.
    assert (
        okta.patch(f"Users/{pending}", {"op": "replace", "path": "externalId", "value": "victim"}).status
        == 204
    )
    assert user_of(okta, pending) == victim


def test_c04_what_a_provider_calls_a_role_gives_nothing(scene: Scene, okta: Provider):
    made = okta.user(
        "maya", externalId="maya", roles=[{"value": "support.agent"}], entitlements=[{"value": "x"}]
    )
    assert made.status == 201
    assert "roles" not in made.json
    scene.world.user(scene.tenant, scene.okta, "maya", groups=[])
    assert scene.introspect(scene.person_token())["scope"] == "tickets:read"


# -- C07: coming again ----------------------------------------------------------------------------------


def test_c07_the_same_address_under_another_key_inherits_nothing(scene: Scene, okta: Provider):
    email = [{"type": "work", "value": "maya@acme.example", "primary": True}]
    maya = okta.user("maya@acme.example", externalId="maya", emails=email).id
    token = scene.person_token()
    okta.call("DELETE", f"Users/{maya}")
    scene.world.clock.advance(1)
    again = okta.user("maya@acme.example", externalId="another-maya", emails=email).id
    stranger = scene.world.user(scene.tenant, scene.okta, "another-maya", email="maya@acme.example")
    assert user_of(okta, again) == stranger
    assert stranger != scene.maya
    assert scene.introspect(token) == {"active": False}


def test_c07_the_same_key_is_the_same_person_without_the_old_grants_and_groups(scene: Scene, okta: Provider):
    maya = okta.user("maya", externalId="maya").id
    okta.group("support", maya)
    token = scene.person_token()
    okta.call("DELETE", f"Users/{maya}")
    scene.world.clock.advance(1)
    again = okta.user("maya", externalId="maya").id
    assert user_of(okta, again) == scene.maya
    assert scene.introspect(token) == {"active": False}
    scene.world.clock.advance(1)
    assert scene.introspect(scene.person_token())["scope"] == "tickets:read"


# -- C08: two at once -----------------------------------------------------------------------------------


def test_c08_an_update_of_what_has_changed_meanwhile_is_refused(okta: Provider):
    maya = okta.user("maya").id
    seen = okta.get(f"Users/{maya}").header("ETag")
    assert (
        okta.patch(f"Users/{maya}", {"op": "replace", "path": "title", "value": "A"}, if_match=seen).status
        == 204
    )
    lost = okta.patch(f"Users/{maya}", {"op": "replace", "path": "title", "value": "B"}, if_match=seen)
    assert lost.status == 412
    assert okta.call("DELETE", f"Users/{maya}", if_match=seen).status == 412
    assert okta.get(f"Users/{maya}").json["title"] == "A"
    fresh = okta.get(f"Users/{maya}").header("ETag")
    assert okta.get(f"Users/{maya}", if_none_match=fresh).status == 304
    group = okta.group("g", maya).id
    stale = okta.get(f"Groups/{group}").header("ETag")
    gone = {"op": "remove", "path": f'members[value eq "{maya}"]'}
    assert okta.patch(f"Groups/{group}", gone, if_match=stale).status == 204
    assert okta.patch(f"Groups/{group}", gone, if_match=stale).status == 412


def test_c08_of_many_who_change_one_version_exactly_one_does(okta: Provider):
    maya = okta.user("maya").id
    seen = okta.get(f"Users/{maya}").header("ETag")
    statuses: list[int] = []

    def change(number: int) -> None:
        operation = {"op": "replace", "path": "title", "value": f"title {number}"}
        statuses.append(okta.patch(f"Users/{maya}", operation, if_match=seen).status)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [204, 412, 412, 412, 412, 412]


def test_c08_members_added_at_once_are_all_there(okta: Provider):
    people = [okta.user(f"person-{number}").id for number in range(6)]
    group = okta.group("g").id

    def add(one: str) -> None:
        okta.patch(f"Groups/{group}", {"op": "add", "path": "members", "value": [{"value": one}]})

    threads = [threading.Thread(target=add, args=(one,)) for one in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one["value"] for one in okta.get(f"Groups/{group}").json["members"]} == set(people)


def test_c08_one_of_two_who_push_the_same_person_stores_them(okta: Provider):
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(okta.user("maya").status)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201, 409, 409, 409, 409]


# -- C09, C10: other connections, and addresses ----------------------------------------------------------


def test_c09_the_same_key_at_another_connection_is_somebody_else(
    scene: Scene, okta: Provider, entra: Provider
):
    token = scene.person_token()
    theirs = entra.user("maya", externalId="maya").id
    assert user_of(entra, theirs) is None
    entra.patch(f"Users/{theirs}", {"op": "replace", "path": "active", "value": False})
    assert scene.introspect(token)["active"], "another provider cannot switch Maya off"
    mine = okta.user("maya", externalId="maya").id
    assert user_of(okta, mine) == scene.maya
    assert okta.get(f"Users/{theirs}").status == 404
    assert entra.get("Users").json["totalResults"] == 1


def test_c09_people_of_another_connection_enter_no_group(okta: Provider, entra: Provider):
    theirs, mine = entra.user("maya").id, okta.user("maya").id
    group = okta.group("support").id
    for foreign in (theirs, "scu_00000000000000000000", group):
        add = {"op": "add", "path": "members", "value": [{"value": foreign}]}
        refused = okta.patch(f"Groups/{group}", add)
        assert (refused.status, refused.scim_type) == (400, "invalidValue")
    assert okta.group("others", theirs).status == 400
    assert okta.find("Groups", 'displayName eq "others"').json["totalResults"] == 0
    add = {"op": "add", "path": "members", "value": [{"value": mine}]}
    assert okta.patch(f"Groups/{group}", add).status == 204


@pytest.mark.parametrize(
    "pushed",
    [
        pytest.param({"externalId": "other", "emails": [{"value": "maya@acme.example"}]}, id="C10-emails"),
        pytest.param({"externalId": "maya@acme.example"}, id="C10-address-as-key"),
        pytest.param({}, id="C10-no-key"),
    ],
)
def test_c10_an_address_recognises_nobody(scene: Scene, okta: Provider, pushed: dict[str, object]):
    scene.world.user(scene.tenant, scene.okta, "maya@acme.example", email="maya@acme.example")
    token = scene.person_token()
    record = okta.user("maya@acme.example", **pushed).id
    assert user_of(okta, record) is None
    okta.patch(f"Users/{record}", {"op": "replace", "path": "active", "value": False})
    assert scene.introspect(token)["active"]
    assert scene.world.user(scene.tenant, scene.okta, "maya@acme.example", email="maya@acme.example")
    # The twin: the key of sign-in does.
    assert user_of(okta, okta.user("maya", externalId="maya").id) == scene.maya


def test_c09_two_people_under_one_key_are_not_guessed_between(scene: Scene, okta: Provider):
    # A connection that serves two issuers: both know a subject of this name.
    one = scene.world.user(scene.tenant, scene.okta, "same", issuer="https://idp.example/one")
    two = scene.world.user(scene.tenant, scene.okta, "same", issuer="https://idp.example/two")
    assert one != two
    assert user_of(okta, okta.user("same", externalId="same").id) is None
    assert user_of(okta, okta.user("maya", externalId="maya").id) == scene.maya


def test_c10_where_the_admin_says_that_the_key_means_nothing_nobody_is_recognised(scene: Scene):
    cautious = Provider(scene.world, scene.tenant, scene.okta, matching="manual")
    assert user_of(cautious, cautious.user("maya", externalId="maya").id) is None
    scene.world.user(scene.tenant, scene.okta, "maya", groups=["support"])
    assert "tickets:write" in scene.introspect(scene.person_token())["scope"]

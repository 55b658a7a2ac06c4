"""Somebody joins: recognised by their key at sign-in or before, with the groups that were pushed."""

import pytest

from broker.directory.provisioning import bind, find_provisioned
from broker.directory.roles import live_roles
from broker.kernel.errors import Refusal
from broker.scim.access import end_silent_links, revoke_token
from tests.builders.oauth import Scene
from tests.builders.provisioning import OPERATOR, Provider


@pytest.fixture
def okta(scene: Scene) -> Provider:
    return Provider(scene.world, scene.tenant, scene.okta)


def roles(scene: Scene, user_id: str) -> tuple[list[str], str, str]:
    with scene.world.rt.database.core_read() as connection:
        found = live_roles(connection, scene.world.rt, scene.tenant.id, user_id, scene.world.now)
    return sorted(found.roles), found.groups_state, found.source


def user_of(scene: Scene, person_id: str) -> str | None:
    with scene.world.rt.database.core_read() as connection:
        person = find_provisioned(connection, scene.tenant.id, person_id)
    assert person is not None
    return person.user_id


def test_who_signed_in_before_is_recognised_by_their_key(scene: Scene, okta: Provider):
    maya = okta.user("maya@acme.example", externalId="maya").id
    assert user_of(scene, maya) == scene.maya
    (event,) = okta.events("scim.person_bound")
    assert (event.target_id, event.subject_id, event.reason) == (maya, scene.maya, "key")


def test_who_comes_later_has_the_pushed_groups_at_their_first_token(scene: Scene, okta: Provider):
    tom = okta.user("tom", externalId="00u-tom").id
    okta.group("support", tom)
    assert user_of(scene, tom) is None
    user_id = scene.world.user(scene.tenant, scene.okta, "00u-tom", groups=[], groups_state="absent")
    assert user_of(scene, tom) == user_id
    assert roles(scene, user_id) == (["support.agent"], "complete", "scim")


def test_entras_object_id_is_the_person_who_proves_directory_and_object(scene: Scene):
    """Entra pushes ``objectId`` alone; a sign-in's subject is directory and object."""
    world, entra_id = scene.world, {"subject": "oid+tid", "tenant_ids": ["dir-1"]}
    entra = world.connection(scene.tenant, "entra", config=entra_id)
    known = world.user(scene.tenant, entra, "dir-1/oid-maya")
    provider = Provider(world, scene.tenant, entra)
    assert user_of(scene, provider.user("maya", externalId="oid-maya").id) == known
    later = provider.user("tom", externalId="oid-tom").id
    assert user_of(scene, later) is None
    assert user_of(scene, later) != world.user(scene.tenant, entra, "dir-2/oid-tom")
    assert user_of(scene, later) is None
    tom = world.user(scene.tenant, entra, "dir-1/oid-tom")
    assert user_of(scene, later) == tom


def test_of_two_directories_behind_one_connection_nobody_is_guessed(scene: Scene):
    world, entra_id = scene.world, {"subject": "oid+tid", "tenant_ids": ["dir-1", "dir-2"]}
    entra = world.connection(scene.tenant, "entra", config=entra_id)
    world.user(scene.tenant, entra, "dir-1/oid-maya")
    provider = Provider(world, scene.tenant, entra)
    assert user_of(scene, provider.user("maya", externalId="oid-maya").id) is None


def test_pushed_groups_stand_whatever_the_sign_in_tells(scene: Scene, okta: Provider):
    maya = okta.user("maya", externalId="maya").id
    group = okta.group("support", maya).id
    okta.patch(f"Groups/{group}", {"op": "remove", "path": f'members[value eq "{maya}"]'})
    assert roles(scene, scene.maya) == ([], "complete", "scim")
    scene.world.user(scene.tenant, scene.okta, "maya", groups=["support"])
    assert roles(scene, scene.maya) == ([], "complete", "scim")
    # When the last token is revoked nobody pushes any more, and the next sign-in tells.
    with okta.rt.database.write(scene.tenant.id) as session:
        revoke_token(session, okta.rt, scene.world.ctx, scene.tenant, okta.token.view.id, OPERATOR)
    scene.world.user(scene.tenant, scene.okta, "maya", groups=["support"])
    assert roles(scene, scene.maya) == (["support.agent"], "complete", "token")


def test_when_the_last_token_has_expired_the_sign_in_tells_again(scene: Scene, okta: Provider):
    maya = okta.user("maya", externalId="maya").id
    okta.group("others", maya)
    assert end_silent_links(okta.rt, scene.world.now) == 0
    scene.world.user(scene.tenant, scene.okta, "maya", groups=["support"])
    assert roles(scene, scene.maya) == ([], "complete", "scim")
    scene.world.clock.advance(30 * 86_400)
    assert end_silent_links(okta.rt, scene.world.now) == 1
    assert end_silent_links(okta.rt, scene.world.now) == 0
    scene.world.user(scene.tenant, scene.okta, "maya", groups=["support"])
    assert roles(scene, scene.maya) == (["support.agent"], "complete", "token")


def test_a_group_change_follows_at_the_next_mint(scene: Scene, okta: Provider):
    maya = okta.user("maya", externalId="maya").id
    group = okta.group("support", maya).id
    assert "tickets:write" in scene.introspect(scene.person_token())["scope"]
    refresh = scene.redeem(scene.code("cli_a")).json["refresh_token"]
    okta.patch(f"Groups/{group}", {"op": "Remove", "path": "members", "value": [{"value": maya}]})
    again = scene.call("token", {"grant_type": "refresh_token", "refresh_token": refresh}, client="cli_a")
    assert scene.introspect(again.token)["scope"] == "tickets:read"


def test_a_renamed_or_deleted_group_is_another_fact(scene: Scene, okta: Provider):
    maya = okta.user("maya", externalId="maya").id
    group = okta.group("support", maya).id
    assert roles(scene, scene.maya)[0] == ["support.agent"]
    okta.patch(f"Groups/{group}", {"op": "replace", "value": {"id": group, "displayName": "Former support"}})
    assert roles(scene, scene.maya)[0] == []
    okta.patch(f"Groups/{group}", {"op": "replace", "path": "displayName", "value": "support"})
    assert roles(scene, scene.maya)[0] == ["support.agent"]
    okta.call("DELETE", f"Groups/{group}")
    assert roles(scene, scene.maya)[0] == []


def test_a_rule_by_id_matches_the_groups_external_id(scene: Scene, okta: Provider):
    scene.world.role(scene.tenant, "finance")
    scene.world.mapping(scene.tenant, scene.okta, "b1f0-object-id", "finance", kind="id")
    maya = okta.user("maya", externalId="maya").id
    okta.group("Finance team", maya, externalId="b1f0-object-id")
    assert roles(scene, scene.maya)[0] == ["finance"]


@pytest.mark.parametrize("count", [40, pytest.param(1_500, marks=pytest.mark.proof)])
def test_a_person_in_many_groups_has_the_roles_of_all(scene: Scene, okta: Provider, count: int):
    maya = okta.user("maya", externalId="maya").id
    for number in range(count - 1):
        okta.group(f"group-{number:04}", maya, externalId=f"id-{number:04}")
    okta.group("support", maya)
    assert roles(scene, scene.maya) == (["support.agent"], "complete", "scim")


@pytest.mark.parametrize("how", ["inactive", "deleted"])
def test_who_was_removed_before_they_came_stays_out(scene: Scene, okta: Provider, how: str):
    tom = okta.user("tom", externalId="tom").id
    if how == "deleted":
        okta.call("DELETE", f"Users/{tom}")
    else:
        okta.patch(f"Users/{tom}", {"op": "replace", "path": "active", "value": False})
    with pytest.raises(Refusal) as refused:
        scene.world.user(scene.tenant, scene.okta, "tom")
    assert refused.value.reason == "user_disabled"
    if how == "deleted":
        okta.user("tom", externalId="tom")
    else:
        okta.patch(f"Users/{tom}", {"op": "replace", "path": "active", "value": True})
    assert scene.world.user(scene.tenant, scene.okta, "tom")


def test_an_administrator_joins_a_pending_person_with_a_user(scene: Scene, okta: Provider):
    pending = okta.user("maya.in.hr", externalId="maya@acme.example").id
    okta.group("support", pending)
    assert user_of(scene, pending) is None
    with scene.world.rt.database.core_write() as connection:
        bind(connection, scene.tenant.id, scene.okta.id, pending, scene.maya)
    assert roles(scene, scene.maya) == (["support.agent"], "complete", "scim")
    okta.patch(f"Users/{pending}", {"op": "replace", "path": "active", "value": False})
    assert okta.events("user.disabled")[0].subject_id == scene.maya

    second = okta.user("maya.again", externalId="someone").id
    with pytest.raises(Refusal), scene.world.rt.database.core_write() as connection:
        bind(connection, scene.tenant.id, scene.okta.id, second, scene.maya)

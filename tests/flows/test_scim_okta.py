"""Okta's requests as it documents them (idp-quirks §7.2), and what its published test suite asserts."""

import pytest

from tests.builders.oauth import Scene
from tests.builders.provisioning import ERROR, USER, Provider

OKTA_ID = "00ujl29u0le5T6Aj10h7"
AGENT = "Okta SCIM Client 1.0.0"


@pytest.fixture
def okta(scene: Scene) -> Provider:
    return Provider(scene.world, scene.tenant, scene.okta)


def create(okta: Provider, name: str = "maya@acme.example", **more: object) -> str:
    first = okta.find("Users", f'userName eq "{name}"', "&startIndex=1&count=100")
    assert first.json["totalResults"] == 0
    made = okta.call(
        "POST",
        "Users",
        {
            "schemas": [USER],
            "userName": name,
            "name": {"givenName": "Maya", "familyName": "Lind"},
            "emails": [{"primary": True, "value": name, "type": "work"}],
            "displayName": "Maya Lind",
            "locale": "en-US",
            "externalId": OKTA_ID,
            "groups": [],
            "password": "1mz050nq",
            "active": True,
            **more,
        },
        content_type="application/scim+json; charset=utf-8",
        user_agent=AGENT,
    )
    assert made.status == 201, made.json
    return made.id


def test_a_throw_away_password_is_neither_kept_nor_shown(okta: Provider):
    maya = create(okta)
    assert "password" not in okta.get(f"Users/{maya}").json
    with okta.rt.database.core_read() as connection:
        for table in ("scim_users", "scim_requests", "audit_events"):
            for row in connection.exec_driver_sql(f"SELECT * FROM {table}"):
                assert "1mz050nq" not in str(tuple(row)), table


def test_what_its_published_suite_asserts(okta: Provider):
    maya = create(okta)
    page = okta.get("Users?count=1&startIndex=1").json
    assert page["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:ListResponse"]
    assert (page["totalResults"], page["itemsPerPage"], page["startIndex"]) == (1, 1, 1)
    first = page["Resources"][0]
    assert first["id"] == maya
    assert first["name"] == {"givenName": "Maya", "familyName": "Lind"}
    assert (first["userName"], first["active"]) == ("maya@acme.example", True)
    assert first["emails"][0]["value"] == "maya@acme.example"

    assert okta.find("Users", 'userName eq "nobody@acme.example"').json["totalResults"] == 0
    assert okta.find("Users", 'userName eq "MAYA@ACME.EXAMPLE"').json["totalResults"] == 1
    missing = okta.get("Users/010101001010101011001010101011")
    assert (missing.status, missing.json["status"], missing.json["schemas"]) == (404, "404", [ERROR])
    assert missing.json["detail"]
    refused = okta.call("GET", "Users", token="")
    assert (refused.status, refused.json["schemas"]) == (401, [ERROR])
    twice = okta.user("maya@acme.example")
    assert (twice.status, twice.scim_type) == (409, "uniqueness")
    assert okta.get("Groups").status == 200


def test_a_replaced_person_keeps_what_the_request_leaves_out(okta: Provider):
    maya = create(okta)
    okta.patch(f"Users/{maya}", {"op": "replace", "value": {"active": False}})
    body = okta.get(f"Users/{maya}").json | {"displayName": "Maya Berg"}
    for name in ("active", "externalId", "meta"):
        body.pop(name)
    done = okta.call("PUT", f"Users/{maya}", body)
    assert done.status == 200
    assert (done.json["displayName"], done.json["active"]) == ("Maya Berg", False)
    assert done.json["externalId"] == OKTA_ID
    again = okta.call("PUT", f"Users/{maya}", done.json | {"active": True, "nickName": "M"})
    assert (again.json["active"], again.json["nickName"]) == (True, "M")


def test_activation_without_a_path(okta: Provider):
    maya = create(okta)
    for active in (False, True):
        assert okta.patch(f"Users/{maya}", {"op": "replace", "value": {"active": active}}).status == 204
        assert okta.get(f"Users/{maya}").json["active"] is active


def test_a_group_is_renamed_and_its_members_change_in_one_request(okta: Provider):
    maya, tom = create(okta), create(okta, "tom@acme.example", externalId="00uotherotherother00")
    group = okta.group("Support", maya).id
    rename = {"op": "replace", "value": {"id": group, "displayName": "Help desk"}}
    done = okta.patch(
        f"Groups/{group}",
        rename,
        {"op": "remove", "path": f'members[value eq "{maya}"]'},
        {"op": "add", "path": "members", "value": [{"value": tom, "display": "tom@acme.example"}]},
    )
    assert done.status == 204, done.json
    shown = okta.get(f"Groups/{group}").json
    assert (shown["displayName"], [one["value"] for one in shown["members"]]) == ("Help desk", [tom])
    # It is sent again at every change and changes nothing then.
    version = shown["meta"]["version"]
    assert okta.patch(f"Groups/{group}", rename).status == 204
    assert okta.get(f"Groups/{group}").json["meta"]["version"] == version
    assert okta.find("Groups", 'displayName eq "Help desk"').names == ["Help desk"]


def test_an_empty_group_is_pushed_as_an_empty_list(okta: Provider):
    group = okta.group("Support", create(okta)).id
    assert okta.patch(f"Groups/{group}", {"op": "replace", "path": "members", "value": []}).status == 204
    assert "members" not in okta.get(f"Groups/{group}").json
    whole = {"op": "replace", "value": {"displayName": "Support", "members": []}}
    assert okta.patch(f"Groups/{group}", whole).status == 204


def test_the_header_with_and_without_its_scheme_and_other_media_types(okta: Provider):
    plain = okta.call("GET", "Users", authorization=okta.secret)
    assert plain.status == 200
    text = okta.call("POST", "Users", {"schemas": [USER], "userName": "x"}, content_type="text/json")
    assert text.status == 201
    form = okta.call("POST", "Users", {"userName": "y"}, content_type="application/x-www-form-urlencoded")
    assert form.status == 415


def test_a_conflicting_key_is_told_and_nothing_is_stored_twice(okta: Provider):
    create(okta)
    twice = okta.user("other@acme.example", externalId=OKTA_ID)
    assert (twice.status, twice.scim_type) == (409, "uniqueness")
    assert okta.get("Users").json["totalResults"] == 1

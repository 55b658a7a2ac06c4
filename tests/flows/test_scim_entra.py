"""Entra ID's requests as Microsoft documents them (idp-quirks §7.1), with and without its feature flag."""

import pytest

from tests.builders.oauth import Scene
from tests.builders.provisioning import ENTERPRISE, GROUP, USER, Provider

ADSCIM_GROUP = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"
OBJECT_ID = "7a6f3d2e-1b0c-4f6e-9a55-0d1c2b3a4f5e"


@pytest.fixture
def entra(scene: Scene) -> Provider:
    return Provider(scene.world, scene.tenant, scene.world.connection(scene.tenant, "entra"))


def create(entra: Provider, name: str = "maya@acme.example", **more: object) -> str:
    made = entra.call(
        "POST",
        "Users",
        {
            "schemas": [USER, ENTERPRISE],
            "externalId": OBJECT_ID,
            "userName": name,
            "active": True,
            "addresses": None,
            "displayName": "Maya Lind",
            "emails": [{"primary": True, "type": "work", "value": name}],
            "meta": {"resourceType": "User"},
            "name": {"formatted": "Maya Lind", "familyName": "Lind", "givenName": "Maya"},
            "roles": [],
            **more,
        },
    )
    assert made.status == 201, made.json
    return made.id


def test_the_connection_test_asks_for_somebody_who_does_not_exist(entra: Provider):
    for kind, attribute in (("Users", "userName"), ("Groups", "displayName")):
        found = entra.find(kind, f'{attribute} eq "{OBJECT_ID}"', "&excludedAttributes=members")
        assert (found.status, found.json["totalResults"]) == (200, 0)
        assert found.header("Content-Type") == "application/scim+json"
    assert entra.get(f"Users/{OBJECT_ID}").status == 404
    assert entra.get("Users?aadOptscim062020&count=1").status == 200


@pytest.mark.parametrize("value", ["False", "false", False, [{"value": "False"}], ["False"]])
def test_switching_off_in_every_spelling(entra: Provider, value: object):
    maya = create(entra)
    assert entra.patch(f"Users/{maya}", {"op": "Replace", "path": "active", "value": value}).status == 204
    shown = entra.get(f"Users/{maya}")
    assert (shown.status, shown.json["active"]) == (200, False)
    assert entra.patch(f"Users/{maya}", {"op": "Replace", "path": "active", "value": "True"}).status == 204
    assert entra.get(f"Users/{maya}").json["active"] is True
    assert len(entra.events("scim.person_deactivated")) == len(entra.events("scim.person_reactivated")) == 1


def test_a_boolean_attribute_takes_no_other_word(entra: Provider):
    maya = create(entra)
    refused = entra.patch(f"Users/{maya}", {"op": "Replace", "path": "active", "value": "perhaps"})
    assert (refused.status, refused.scim_type) == (400, "invalidValue")


def test_one_operation_for_each_attribute(entra: Provider):
    maya = create(entra)
    done = entra.patch(
        f"Users/{maya}",
        {"op": "Replace", "path": "displayName", "value": "Maya Berg"},
        {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "berg@acme.example"},
        {"op": "Add", "path": 'emails[type eq "other"].value', "value": "m@home.example"},
        {"op": "Replace", "path": "name.familyName", "value": "Berg"},
        {"op": "Add", "path": f"{ENTERPRISE}:department", "value": "Support"},
        {"op": "Add", "path": f"{ENTERPRISE}:manager", "value": "26118915-6090-4610-87e4-49d8ca9f808d"},
        {"op": "Add", "path": 'addresses[type eq "work"].formatted', "value": "Street 1"},
        {"op": "Replace", "path": 'roles[primary eq "True"].value', "value": "admin"},
    )
    assert done.status == 204, done.json
    shown = entra.get(f"Users/{maya}").json
    assert shown["displayName"] == "Maya Berg"
    assert shown["name"]["familyName"] == "Berg"
    assert {one["type"]: one["value"] for one in shown["emails"]} == {
        "work": "berg@acme.example",
        "other": "m@home.example",
    }
    assert shown[ENTERPRISE] == {"department": "Support"}
    assert "addresses" not in shown
    assert "roles" not in shown, "what a provider calls a role gives nothing here (C04)"


def test_one_operation_for_all_attributes_with_the_flag(entra: Provider):
    maya = create(entra)
    done = entra.patch(
        f"Users/{maya}",
        {
            "op": "replace",
            "value": {
                "displayName": "Maya Berg",
                "name.givenName": "M.",
                "name.familyName": "Berg",
                'emails[type eq "work"].value': "berg@acme.example",
                f"{ENTERPRISE}:employeeNumber": "4711",
                "active": False,
            },
        },
    )
    assert done.status == 204, done.json
    shown = entra.get(f"Users/{maya}").json
    assert (shown["displayName"], shown["active"]) == ("Maya Berg", False)
    assert shown["name"] == {"formatted": "Maya Lind", "familyName": "Berg", "givenName": "M."}
    assert shown["emails"][0]["value"] == "berg@acme.example"
    assert shown[ENTERPRISE]["employeeNumber"] == "4711"


@pytest.mark.parametrize(
    ("scim_filter"),
    [
        'userName eq "MAYA@acme.example"',
        f'externalId eq "{OBJECT_ID}"',
        'emails[type eq "work"].value eq "maya@acme.example"',
        f'userName eq "maya@acme.example" and externalId eq "{OBJECT_ID}"',
    ],
)
def test_every_filter_that_it_sends(entra: Provider, scim_filter: str):
    create(entra)
    assert entra.find("Users", scim_filter).names == ["maya@acme.example"]


def test_groups_as_it_pushes_them(entra: Provider):
    maya = create(entra)
    made = entra.call(
        "POST",
        "Groups",
        {
            "schemas": [GROUP, ADSCIM_GROUP],
            "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
            "displayName": "Support",
            "meta": {"resourceType": "Group"},
        },
    )
    assert made.status == 201, made.json
    member = {"op": "Add", "path": "members", "value": [{"$ref": None, "value": maya}]}
    for _ in range(2):
        done = entra.patch(f"Groups/{made.id}", member)
        assert (done.status, done.reply.body) == (204, b"")
    check = entra.find("Groups", f'id eq "{made.id}" and members eq "{maya}"', "&attributes=id")
    assert check.json["totalResults"] == 1
    assert [one["value"] for one in entra.get(f"Groups/{made.id}").json["members"]] == [maya]
    without = entra.find("Groups", 'displayName eq "support"', "&excludedAttributes=members")
    assert "members" not in without.json["Resources"][0]
    gone = {"op": "Remove", "path": "members", "value": [{"$ref": None, "value": maya}]}
    assert entra.patch(f"Groups/{made.id}", gone).status == 204
    assert "members" not in entra.get(f"Groups/{made.id}").json
    assert entra.group("SUPPORT").status == 409, "displayName of groups is unique"


def test_removing_with_the_flag_and_removing_everybody(entra: Provider):
    maya, tom = create(entra), create(entra, "tom@acme.example", externalId="tom-object-id")
    group = entra.group("Support", maya, tom).id
    one = {"op": "remove", "path": f'members[value eq "{maya}"]'}
    assert entra.patch(f"Groups/{group}", one).status == 204
    assert [each["value"] for each in entra.get(f"Groups/{group}").json["members"]] == [tom]
    # Nobody to remove is not everybody; leaving the value out is.
    assert entra.patch(f"Groups/{group}", {"op": "Remove", "path": "members", "value": []}).status == 204
    refused = entra.patch(f"Groups/{group}", {"op": "Remove", "path": "members", "value": None})
    assert (refused.status, refused.scim_type) == (400, "invalidValue")
    assert [each["value"] for each in entra.get(f"Groups/{group}").json["members"]] == [tom]
    assert entra.patch(f"Groups/{group}", {"op": "Remove", "path": "members"}).status == 204
    assert "members" not in entra.get(f"Groups/{group}").json


def test_soft_deleted_people_stay_readable_until_they_are_deleted(entra: Provider):
    maya = create(entra)
    entra.patch(f"Users/{maya}", {"op": "Replace", "path": "active", "value": "False"})
    assert entra.find("Users", 'userName eq "maya@acme.example"').json["totalResults"] == 1
    assert entra.call("DELETE", f"Users/{maya}").status == 204
    assert entra.get(f"Users/{maya}").status == 404
    assert entra.call("DELETE", f"Users/{maya}").status == 404

"""Who may push, and what no request may cost (security C01, C02, C03, C06), each beside its twin."""

import pytest
from sqlalchemy import update

from broker.kernel.versions import bump
from broker.scim.access import READ, replace_tokens, revoke_token
from broker.scim.models import ScimToken
from broker.tenants.models import Connection, Tenant
from broker.tokens.switching_off import end_connection, end_tenant
from tests.builders.oauth import Scene
from tests.builders.provisioning import OPERATOR, PATCH, USER, Provider


@pytest.fixture
def okta(scene: Scene) -> Provider:
    return Provider(scene.world, scene.tenant, scene.okta)


# -- C01, C02: whose token, and what for ---------------------------------------------------------------


def test_c01_a_token_opens_no_other_tenant(scene: Scene, okta: Provider):
    globex = scene.world.tenant("globex")
    other = Provider(scene.world, globex, scene.world.connection(globex, "okta"))
    maya = okta.user("maya").id
    assert okta.call("GET", "Users", slug="globex").status == 401
    assert okta.call("DELETE", f"Users/{maya}", slug="globex").status == 401
    # Nor does the other's own token reach a person of this tenant.
    assert other.get(f"Users/{maya}").status == 404
    assert other.get("Users").json["totalResults"] == 0
    assert okta.get(f"Users/{maya}").status == 200


def test_c01_unknown_tenants_and_tokens_get_one_answer(scene: Scene, okta: Provider):
    scene.world.tenant("empty")
    answers = {
        okta.call("GET", "Users", slug=slug, token=token).reply.body
        for slug, token in (
            ("nobody", okta.secret),
            ("empty", okta.secret),
            ("acme", "brk_scim_x"),
            ("acme", ""),
        )
    }
    assert len(answers) == 1
    refused = okta.call("GET", "Users", token="brk_scim_wrong")
    assert (refused.status, refused.header("WWW-Authenticate")) == (401, 'Bearer realm="SCIM"')
    assert okta.get("Users").status == 200


@pytest.mark.parametrize("path", ["Users", "Groups", "Schemas", "ResourceTypes", "ServiceProviderConfig", ""])
def test_c01_nothing_is_told_without_a_token(okta: Provider, path: str):
    assert okta.call("GET", path, token="").status == 401
    assert okta.get(path).status == 200


def test_c02_a_token_that_may_only_look_cannot_push(scene: Scene, okta: Provider):
    maya = okta.user("maya").id
    looking = Provider(scene.world, scene.tenant, scene.okta, scopes={READ})
    assert looking.get(f"Users/{maya}").status == 200
    off = {"op": "replace", "path": "active", "value": False}
    for refused in (
        looking.user("tom"),
        looking.group("g"),
        looking.patch(f"Users/{maya}", off),
        looking.call("PUT", f"Users/{maya}", {"schemas": [USER], "userName": "x"}),
        looking.call("DELETE", f"Users/{maya}"),
    ):
        assert (refused.status, "scim:write" in refused.json["detail"]) == (403, True)
    assert okta.get(f"Users/{maya}").json["active"] is True
    assert okta.patch(f"Users/{maya}", off).status == 204


@pytest.mark.parametrize("what", ["revoked", "expired", "replaced", "connection", "tenant"])
def test_what_is_switched_off_pushes_nothing(scene: Scene, okta: Provider, what: str):
    spare = Provider(scene.world, scene.tenant, scene.okta)
    assert okta.get("Users").status == 200
    now, tenant_id = scene.world.now, scene.tenant.id
    if what == "revoked":
        with okta.rt.database.write(tenant_id) as session:
            assert revoke_token(session, okta.rt, scene.world.ctx, scene.tenant, okta.token.view.id, OPERATOR)
    elif what == "expired":
        with okta.rt.database.core_write() as connection:
            mine = ScimToken.id == okta.token.view.id
            connection.execute(update(ScimToken).where(mine).values(expires_at=now))
    elif what == "replaced":
        with okta.rt.database.write(tenant_id) as session:
            ctx, keep = scene.world.ctx, spare.token.view.id
            replaced = replace_tokens(
                session, okta.rt, ctx, scene.tenant, scene.okta.id, OPERATOR, keep=keep, until=now + 60
            )
            assert replaced == 1
        # The overlap: both are good until the provider has the new one.
        assert okta.get("Users").status == spare.get("Users").status == 200
        scene.world.clock.advance(60)
    elif what == "connection":
        with okta.rt.database.core_write() as connection:
            end_connection(connection, tenant_id, scene.okta.id, "test", now)
    else:
        with okta.rt.database.core_write() as connection:
            end_tenant(connection, tenant_id, "test", now)
    assert okta.get("Users").status == (403 if what == "connection" else 401)
    assert okta.user("tom").status in {401, 403}
    assert (spare.get("Users").status == 200) == (what in {"revoked", "expired", "replaced"})
    if what in {"connection", "tenant"}:
        table = Connection if what == "connection" else Tenant
        with okta.rt.database.core_write() as connection:
            connection.execute(update(table).values(state="active"))
            bump(connection, tenant_id)
        assert okta.get("Users").status == 200


# -- C03: filters --------------------------------------------------------------------------------------

INJECTIONS = [
    pytest.param('userName eq "x" or "1"="1"', id="C03-sql-words"),
    pytest.param("userName eq 'x' OR 1=1 --", id="C03-single-quotes"),
    pytest.param('userName eq "x\'; DROP TABLE scim_users; --"', id="C03-statement-in-value"),
    pytest.param('userName co "%"', id="C03-wildcard"),
    pytest.param('userName eq "%"', id="C03-wildcard-equal"),
    pytest.param('tenantId eq "ten_x" or userName pr', id="C03-column"),
    pytest.param("connection_id pr", id="C03-own-column"),
    pytest.param('password sw "a"', id="C03-password"),
    pytest.param("(" * 500 + 'userName eq "x"' + ")" * 500, id="C03-brackets"),
    pytest.param("not (" * 150 + 'userName eq "x"' + ")" * 150, id="C03-not-nested"),
    pytest.param('userName eq "' + "a" * 5_000 + '"', id="C03-long"),
    pytest.param('userName eq "x"' + ' or userName eq "x"' * 100, id="C03-many-terms"),
    pytest.param('emails[type eq "' + '"' * 50, id="C03-unclosed"),
    pytest.param('userName eq "' + "\\" * 999, id="C03-backslashes"),
]


@pytest.mark.parametrize("scim_filter", INJECTIONS)
def test_c03_a_crafted_filter_finds_nobody_else(scene: Scene, okta: Provider, scim_filter: str):
    globex = scene.world.tenant("globex")
    Provider(scene.world, globex, scene.world.connection(globex, "okta")).user("stranger")
    okta.user("maya")
    found = okta.find("Users", scim_filter)
    assert found.status in {200, 400}
    if found.status == 200:
        assert "stranger" not in found.names
        # What a filter may select is only ever this connection's own people.
        assert set(found.names) <= {"maya"}
    else:
        assert found.scim_type in {"invalidFilter", "invalidSyntax", ""}
    assert okta.find("Users", 'userName eq "maya"').names == ["maya"]


def test_c03_a_filter_has_an_honest_length(okta: Provider):
    okta.user("maya")
    terms = ['userName eq "maya"', *['userName eq "nobody"'] * 60]
    for text in (" or ".join(terms), "(" * 21 + terms[0] + ")" * 21):
        refused = okta.find("Users", text)
        assert (refused.status, refused.scim_type) == (400, "invalidFilter")
    assert okta.find("Users", " or ".join(terms[:20])).names == ["maya"]


def test_c03_paths_and_operations_are_bounded(okta: Provider):
    maya = okta.user("maya").id
    long_path = 'emails[type eq "' + "a" * 1_000 + '"].value'
    assert okta.patch(f"Users/{maya}", {"op": "add", "path": long_path, "value": "x"}).status == 400
    deep = "members[" + "(" * 200 + 'value eq "x"' + ")" * 200 + "]"
    group = okta.group("g").id
    assert okta.patch(f"Groups/{group}", {"op": "remove", "path": deep}).status == 400
    same = {"op": "replace", "path": "displayName", "value": "M"}
    assert okta.patch(f"Users/{maya}", *[same] * 1_001).status == 400
    assert okta.patch(f"Users/{maya}", *[same] * 50).status == 204
    nested = b'{"schemas":["' + PATCH.encode() + b'"],"Operations":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    assert okta.call("PATCH", f"Users/{maya}", raw=nested).status == 400


# -- C06: size ------------------------------------------------------------------------------------------


def test_c06_ten_thousand_operations_in_one_request_are_not_offered(okta: Provider):
    operations = [
        {
            "method": "POST",
            "path": "/Users",
            "bulkId": f"b{number}",
            "data": {"manager": f"bulkId:b{number + 1}"},
        }
        for number in range(10_000)
    ]
    body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations}
    assert okta.call("POST", "Bulk", body).status == 501
    assert okta.get("Users").json["totalResults"] == 0
    told = okta.get("ServiceProviderConfig").json["bulk"]
    assert told == {"supported": False, "maxOperations": 0, "maxPayloadSize": 0}


def test_c06_references_in_a_circle_are_refused_and_one_request_makes_one_person(okta: Provider):
    circle = [
        {
            "method": "POST",
            "path": "/Groups",
            "bulkId": one,
            "data": {"members": [{"value": f"bulkId:{other}"}]},
        }
        for one, other in (("a", "b"), ("b", "a"))
    ]
    body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": circle}
    assert okta.call("POST", "Bulk", body).status == 501
    # Nor does a reference do anything outside of a bulk request.
    assert okta.group("claims", "bulkId:a").status == 400
    assert okta.get("Groups").json["totalResults"] == 0
    assert okta.group("claims", okta.user("maya").id).status == 201

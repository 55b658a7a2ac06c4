"""What providers issued to our clients, exchanged: the matrix of TEX, IDJ-02, IDJ-04, A01, A04."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from lxml import etree
from sqlalchemy import func, select

from broker.agents.models import Trust
from broker.directory.models import GroupSnapshot, User
from broker.discovery.metadata import server_metadata
from broker.kernel.ids import new_id
from broker.kernel.versions import bump
from broker.tokens.models import Grant
from broker.tokens.switching_off import end_connection, end_user
from idp_connectors.registry import CONNECTORS
from tests.builders.oauth import ACCESS_TOKEN, Answer, Scene, claims_of
from tests.builders.oidc_op import OpenIdProvider, ec_key
from tests.builders.saml_idp import IDP_ENTITY_ID, NS, PERSISTENT, SamlIdentityProvider
from tests.builders.trusts import CHAT, CHAT_RESOURCE, ID_JAG, ID_TOKEN, target, trust
from tests.builders.world import TICKETS, TOKEN_EXCHANGE

SAML2 = "urn:ietf:params:oauth:token-type:saml2"
ACS = "https://app.example/saml/acs"
SERVICE = "https://app.example/saml"
OUTPUTS = ["access_token", "id_jag"]


@dataclass
class Upstream:
    """The scene with an OpenID and a SAML provider that Maya signed in through, and what they issue."""

    scene: Scene
    op: OpenIdProvider
    idp: SamlIdentityProvider

    def id_token(self, **changes: Any) -> str:
        now = self.scene.world.now
        claims = {
            "iss": self.op.issuer,
            "aud": "app-at-okta",
            "sub": "maya",
            "iat": now,
            "exp": now + 300,
            "nonce": "n-of-the-app",
            "jti": new_id("jti"),
            "auth_time": now - 60,
            "groups": ["support", "everything"],
            **changes,
        }
        return self.op.id_token({name: value for name, value in claims.items() if value is not None})

    def assertion(self, **changes: Any) -> str:
        self.idp.now = self.scene.world.now
        given = {
            "request_id": "_r1",
            "acs_url": ACS,
            "audience": SERVICE,
            "name_id": "maya",
            "attributes": {},
        }
        document = self.idp.respond(**{**given, "attributes": {}, **changes})
        inner = etree.fromstring(document).find("saml:Assertion", NS)
        return base64.urlsafe_b64encode(etree.tostring(inner)).rstrip(b"=").decode()

    def exchange(self, kind: str, token: str, *, client: str = "cli_a", **changes: Any) -> Answer:
        params = {
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": token,
            "subject_token_type": kind,
            "resource": TICKETS,
            "scope": "tickets:read",
            **changes,
        }
        return self.scene.call("token", {k: v for k, v in params.items() if v is not None}, client=client)

    def fresh(self, kind: str, **changes: Any) -> str:
        return self.id_token(**changes) if kind == ID_TOKEN else self.assertion(**changes)


@pytest.fixture
def upstream(scene: Scene) -> Upstream:
    world, op, idp = scene.world, OpenIdProvider(key=ec_key()), SamlIdentityProvider()
    op.alg = "ES256"
    config = {
        "issuer": op.issuer,
        "client_id": "broker-at-okta",
        "groups_claim": "groups",
        "allowed_algorithms": ["ES256"],
    }
    secrets = {"client_secret": "upstream-secret"}
    corp = world.connection(scene.tenant, "corp", config=config, secrets=secrets)
    adfs = world.connection(scene.tenant, "adfs", kind="saml", config=idp.config())
    world.user(scene.tenant, corp, "maya", issuer=op.issuer, groups=["support"])
    world.user(scene.tenant, adfs, "maya", issuer=IDP_ENTITY_ID, subject_kind="nameid", groups=["support"])
    for connection in (corp, adfs):
        world.mapping(scene.tenant, connection, "support", "support.agent")
    world.rt = replace(world.rt, egress=op)  # type: ignore[arg-type]
    world.rt.connectors.update(CONNECTORS)
    found = Upstream(scene, op, idp)
    enter(found)
    return found


def enter(upstream: Upstream, **changes: Any) -> None:
    reach = {"scopes": ["tickets:read", "tickets:write"], "resources": [TICKETS], "outputs": OUTPUTS}
    oidc = {"connection": "corp", "client": "cli_a", "audience": "app-at-okta"}
    saml = {"connection": "adfs", "client": "cli_a", "audience": SERVICE, "recipient": ACS}
    trust(upstream.scene, "subject", "app-oidc", **{**oidc, **reach, **changes})
    trust(upstream.scene, "subject", "app-saml", **{**saml, **reach, **changes})


@pytest.mark.parametrize(
    "kind", [pytest.param(ID_TOKEN, id="TEX-id_token"), pytest.param(SAML2, id="TEX-saml2")]
)
def test_what_a_provider_told_our_client_is_exchanged(upstream: Upstream, kind: str) -> None:
    answer = upstream.exchange(kind, upstream.fresh(kind), scope="tickets:read tickets:write")
    claims = claims_of(answer.token)
    assert answer.json["issued_token_type"] == ACCESS_TOKEN
    assert "refresh_token" not in answer.json
    assert "id_token" not in answer.json
    assert claims["act"]["sub"] == upstream.scene.agents["a"].id
    assert claims["scope"] == "tickets:read tickets:write"
    assert claims["dlg"]["origin"]["protocol"] == ("oidc" if kind == ID_TOKEN else "saml")
    assert upstream.scene.introspect(answer.token)["active"] is True


@pytest.mark.parametrize(
    "kind", [pytest.param(ID_TOKEN, id="IDJ-02-id_token"), pytest.param(SAML2, id="IDJ-02-saml2")]
)
def test_what_a_provider_told_our_client_gives_an_id_jag(upstream: Upstream, kind: str) -> None:
    target(upstream.scene)
    asked = {"requested_token_type": ID_JAG, "audience": CHAT, "resource": CHAT_RESOURCE}
    answer = upstream.exchange(kind, upstream.fresh(kind), **asked)
    assert answer.json["issued_token_type"] == ID_JAG
    assert claims_of(answer.token)["aud"] == CHAT


def test_groups_for_another_application_are_not_looked_at(upstream: Upstream) -> None:
    claims = claims_of(upstream.exchange(ID_TOKEN, upstream.id_token(groups=["everything"])).token)
    assert claims["roles"] == ["support.agent"]
    with upstream.scene.world.rt.database.read(upstream.scene.tenant.id) as session:
        stored = [group["value"] for row in session.scalars(select(GroupSnapshot)) for group in row.groups]
    assert "everything" not in stored


@pytest.mark.parametrize("kind", [ID_TOKEN, SAML2], ids=["id_token", "saml2"])
def test_it_counts_once(upstream: Upstream, kind: str) -> None:
    token = upstream.fresh(kind)
    assert upstream.exchange(kind, token).status == 200
    again = upstream.exchange(kind, token)
    assert (again.status, again.error) == (400, "invalid_grant")


ID_TOKEN_ATTACKS: dict[str, dict[str, Any]] = {
    "IDJ-02-made-for-the-broker": {"aud": "broker-at-okta"},
    "IDJ-02-made-for-another": {"aud": "other-app"},
    "IDJ-02-made-for-two": {"aud": ["app-at-okta", "other-app"]},
    "TEX-10-expired": {"iat": 1_795_500_000, "exp": 1_795_500_300},
    "TEX-10-old": {"iat": 1_795_503_600 - 900},
    "TEX-02-other-issuer": {"iss": "https://evil.example"},
    "TEX-02-unknown-person": {"sub": "mallory"},
    "TEX-02-no-sub": {"sub": None},
    "TEX-05-may-act-shape": {"may_act": "agt_1"},
}


@pytest.mark.parametrize("changes", ID_TOKEN_ATTACKS.values(), ids=ID_TOKEN_ATTACKS)
def test_an_id_token_that_does_not_fit_is_refused(upstream: Upstream, changes: dict[str, Any]) -> None:
    refused = upstream.exchange(ID_TOKEN, upstream.id_token(**changes))
    assert (refused.status, refused.error) == (400, "invalid_grant")
    assert upstream.exchange(ID_TOKEN, upstream.id_token()).status == 200


def test_tex_05_a_provider_may_name_the_one_actor(upstream: Upstream) -> None:
    scene = upstream.scene
    other = {"iss": scene.tenant.issuer, "sub": scene.agents["b"].id}
    assert upstream.exchange(ID_TOKEN, upstream.id_token(may_act=other)).error == "actor_unauthorized"
    mine = {"iss": scene.tenant.issuer, "sub": scene.agents["a"].id}
    assert upstream.exchange(ID_TOKEN, upstream.id_token(may_act=mine)).status == 200


ASSERTION_ATTACKS: dict[str, dict[str, Any]] = {
    "IDJ-02-made-for-another": {"audience": "https://other.example"},
    "IDJ-02-delivered-elsewhere": {"acs_url": "https://evil.example/acs"},
    "TEX-02-unknown-person": {"name_id": "mallory"},
    "TEX-02-unasked": {"request_id": ""},
    "TEX-02-quote-in-the-request": {"request_id": '"><x'},
}


@pytest.mark.parametrize("changes", ASSERTION_ATTACKS.values(), ids=ASSERTION_ATTACKS)
def test_an_assertion_that_does_not_fit_is_refused(upstream: Upstream, changes: dict[str, Any]) -> None:
    refused = upstream.exchange(SAML2, upstream.assertion(**changes))
    assert (refused.status, refused.error) == (400, "invalid_grant")
    assert upstream.exchange(SAML2, upstream.assertion()).status == 200


def test_an_assertion_must_be_signed_whole_and_alone(upstream: Upstream) -> None:
    good = upstream.assertion()
    text = base64.urlsafe_b64decode(good + "=" * (-len(good) % 4))
    variants = {
        "unsigned": etree.tostring(_without_signature(text)),
        "changed": text.replace(b">maya<", b">admin<"),
        "response": b"<x>" + text + b"</x>",
        "two": text + text,
        "closing": text + b"</samlp:Response>",
        "comment": text.replace(b">maya<", b">ma<!-- -->ya<"),
        "doctype": b"<!DOCTYPE x []>" + text,
    }
    for attack, document in variants.items():
        forged = base64.urlsafe_b64encode(document).rstrip(b"=").decode()
        assert upstream.exchange(SAML2, forged).error == "invalid_grant", attack
    upstream.idp.key_name = "other"
    assert upstream.exchange(SAML2, upstream.assertion()).error == "invalid_grant"
    upstream.idp.key_name = "idp"
    assert upstream.exchange(SAML2, good).status == 200
    assert PERSISTENT.encode() in text


def _without_signature(text: bytes) -> etree._Element:
    root = etree.fromstring(text)
    root.remove(root.find("{http://www.w3.org/2000/09/xmldsig#}Signature"))
    return root


def _remove_entries(upstream: Upstream) -> None:
    with upstream.scene.world.rt.database.write(upstream.scene.tenant.id) as session:
        for row in session.scalars(select(Trust)):
            session.delete(row)
        session.flush()
        bump(session.connection(), upstream.scene.tenant.id)


def _end_connections(upstream: Upstream) -> None:
    scene = upstream.scene
    with scene.world.rt.database.core_write() as core:
        for connection in scene.world.again(scene.tenant).connections.values():
            end_connection(core, scene.tenant.id, connection.id, "test", scene.world.now)


def _end_people(upstream: Upstream) -> None:
    scene = upstream.scene
    with scene.world.rt.database.core_write() as core:
        for user_id in core.execute(select(User.id)).scalars().all():
            end_user(core, scene.tenant.id, user_id, "test", scene.world.now)


CLOSINGS: dict[str, Callable[[Upstream], None]] = {
    "TEX-09-no-entry": _remove_entries,
    "TEX-09-connection-off": _end_connections,
    "TEX-10-person-off": _end_people,
}


@pytest.mark.parametrize("kind", [ID_TOKEN, SAML2], ids=["id_token", "saml2"])
@pytest.mark.parametrize("close", CLOSINGS.values(), ids=CLOSINGS)
def test_a01_without_the_tenants_word_a_providers_token_opens_nothing(
    upstream: Upstream, kind: str, close: Callable[[Upstream], None]
) -> None:
    assert upstream.exchange(kind, upstream.fresh(kind)).status == 200
    close(upstream)
    refused = upstream.exchange(kind, upstream.fresh(kind))
    assert (refused.status, refused.error) == (400, "invalid_grant")


@pytest.mark.parametrize("kind", [ID_TOKEN, SAML2], ids=["id_token", "saml2"])
def test_tex_09_the_entry_bounds_client_output_resource_and_scope(upstream: Upstream, kind: str) -> None:
    assert upstream.exchange(kind, upstream.fresh(kind), client="cli_b").error == "invalid_grant"
    elsewhere = upstream.exchange(kind, upstream.fresh(kind), resource="https://x.example/m")
    assert elsewhere.error == "invalid_target"
    assert upstream.exchange(kind, upstream.fresh(kind), scope="tickets:delete").error == "invalid_scope"
    enter(upstream, outputs=["id_jag"])
    assert upstream.exchange(kind, upstream.fresh(kind)).error == "invalid_grant"
    enter(upstream, scopes=[])
    assert upstream.exchange(kind, upstream.fresh(kind)).error == "invalid_scope"
    with upstream.scene.world.rt.database.read(upstream.scene.tenant.id) as session:
        assert session.scalar(select(func.count()).select_from(Grant).where(Grant.expires_at > 2**31)) == 0


def test_a01_a_providers_token_is_no_token_of_ours(upstream: Upstream) -> None:
    token = upstream.id_token()
    scene = upstream.scene
    assert scene.exchange(token, "a").error == "invalid_grant"
    assert scene.introspect(token) == {"active": False}
    as_bearer = {"authorization": f"Bearer {token}"}
    assert scene.call("userinfo", headers=as_bearer, method="GET").status == 401
    assert upstream.exchange(ID_TOKEN, token).status == 200


def test_the_metadata_tells_what_can_be_exchanged_here(upstream: Upstream) -> None:
    told = server_metadata(upstream.scene.world.rt, upstream.scene.tenant)["actor_profile_token_exchange"]
    assert {ACCESS_TOKEN, ID_TOKEN, SAML2} <= set(told["subject_token_types_supported"])
    assert told["requested_token_types_supported"] == [ACCESS_TOKEN]
    _remove_entries(upstream)
    told = server_metadata(upstream.scene.world.rt, upstream.scene.tenant)["actor_profile_token_exchange"]
    assert not {ID_TOKEN, SAML2} & set(told["subject_token_types_supported"])


def test_tex_04_an_actor_token_beside_it_must_be_the_agents_own(upstream: Upstream) -> None:
    scene, as_actor = upstream.scene, {"actor_token_type": ACCESS_TOKEN}
    stolen = upstream.exchange(ID_TOKEN, upstream.id_token(), actor_token=scene.own_token("b"), **as_actor)
    assert stolen.error == "actor_unauthorized"
    own = upstream.exchange(ID_TOKEN, upstream.id_token(), actor_token=scene.own_token("a"), **as_actor)
    assert claims_of(own.token)["act"]["sub"] == scene.agents["a"].id

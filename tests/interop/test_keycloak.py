"""Keycloak, set up as our preset describes it, by OIDC and by SAML: the connectors first, then the broker."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import httpx2
import pytest

from broker.app import create_app
from broker.demo.loopback import WsgiServer
from broker.demo.person_browser import PersonBrowser
from broker.kernel.clock import FixedClock
from broker.kernel.settings import load_settings
from broker.tokens.keys import create_key
from broker.web.current import shell_of
from idp_connectors.base import Callback, ConnectorError, Deps, LoginRequest, MemoryCache, VerifiedIdentity
from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.presets import PRESETS
from idp_connectors.presets.preset import explain
from idp_connectors.registry import CONNECTORS
from idp_connectors.remembered import REFRESH_PAUSE_SECONDS
from tests.builders.connector_deps import make_deps
from tests.builders.oauth import CHALLENGE, REDIRECT_URI, VERIFIER, claims_of
from tests.builders.world import SECRET, TICKETS, World
from tests.interop.servers.browser import walk
from tests.interop.servers.keycloak import Keycloak

pytestmark = pytest.mark.interop

BROKER = "http://127.0.0.1:9"
OIDC_CALLBACK = f"{BROKER}/t/acme/oidc/corp/callback"
SAML_CALLBACK = f"{BROKER}/t/acme/saml/corp/acs"
ENTITY_ID = f"{BROKER}/t/acme/saml/corp/metadata"


class PlainHttp:
    """An `HttpClient` without guards that trusts the authority of the provider's certificate."""

    def __init__(self, keycloak: Keycloak) -> None:
        self.client = keycloak.browser

    def fetch_json(
        self, url: str, *, max_bytes: int = 1 << 20, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        with self.client() as client:
            found: dict[str, Any] = client.get(url, headers=dict(headers or {})).raise_for_status().json()
        return found


class Connection:
    """One connection of the broker to Keycloak, without the broker around it; its cache lives on."""

    def __init__(self, keycloak: Keycloak, kind: str, *certificates: str) -> None:
        self.keycloak, self.kind = keycloak, kind
        config, secrets = keycloak.saml(*certificates) if kind == "saml" else keycloak.oidc()
        self.login = CONNECTORS[kind].interactive(config, secrets)
        self.callback_url = SAML_CALLBACK if kind == "saml" else OIDC_CALLBACK
        self.cache, self.ahead_seconds = MemoryCache(), 0

    def deps(self) -> Deps:
        """What the connector is given, at the connection's time."""
        now = int(time.time()) + self.ahead_seconds
        return make_deps(PlainHttp(self.keycloak), now=now, cache=self.cache)

    def sign_in(self, user: str = "ada") -> VerifiedIdentity:
        """Let a person sign in for real, in a new browser."""
        request = LoginRequest(
            base_url=BROKER, callback_url=self.callback_url, entity_id=ENTITY_ID, flow_id="flow-handle-1"
        )
        begun = self.login.begin(request, self.deps())
        brought = self.keycloak.answer(begun.redirect_url, user, f"{user}-password", self.callback_url)
        callback = Callback(
            method=brought.method,
            query=dict(parse_qsl(urlsplit(brought.url).query)),
            form=brought.form,
            private=begun.private,
            callback_url=self.callback_url,
            entity_id=ENTITY_ID,
        )
        return self.login.complete(callback, self.deps())


@pytest.fixture(params=["oidc", "saml"])
def connection(request: pytest.FixtureRequest, keycloak: Keycloak) -> Connection:
    keycloak.register_oidc(OIDC_CALLBACK)
    keycloak.register_saml(SAML_CALLBACK, ENTITY_ID)
    return Connection(keycloak, request.param)


def groups_of(identity: VerifiedIdentity) -> list[tuple[str, str]]:
    return sorted((group.kind, group.value) for group in identity.groups)


def test_the_presets_settings_sign_a_person_in(connection: Connection):
    ada = connection.sign_in()
    assert (ada.email, ada.email_verified_by) == ("ada@corp.example", "idp_verified_domain")
    assert (ada.given_name, ada.family_name) == ("Ada", "Example")
    assert ada.groups_state == "complete"
    assert groups_of(ada) == [("path", "/agents"), ("path", "/engineering")]
    again, bob = connection.sign_in(), connection.sign_in("bob")
    assert again.subject == ada.subject != bob.subject


def test_a_group_removed_upstream_is_gone_at_the_next_sign_in(connection: Connection):
    connection.keycloak.set_groups("ada", ["/engineering/platform"])
    assert groups_of(connection.sign_in()) == [("path", "/engineering/platform")]
    # In no group at all, Keycloak sends no list, which is not the same as an empty one.
    connection.keycloak.set_groups("ada", [])
    nowhere = connection.sign_in()
    assert (nowhere.groups, nowhere.groups_state) == ((), "absent")


def test_keys_change_at_the_provider_while_people_sign_in(keycloak: Keycloak):
    """By OpenID Connect the new key is fetched when a token names it; nobody does anything."""
    keycloak.register_oidc(OIDC_CALLBACK)
    connection = Connection(keycloak, "oidc")
    first = connection.sign_in().subject
    for _ in range(2):
        keycloak.publish_key()
        keycloak.use_key()
        connection.ahead_seconds += REFRESH_PAUSE_SECONDS
        assert [connection.sign_in().subject, connection.sign_in().subject] == [first, first]


def test_a_certificate_stored_before_it_is_used_loses_no_sign_in(keycloak: Keycloak):
    keycloak.register_saml(SAML_CALLBACK, ENTITY_ID)
    keycloak.publish_key()
    both = keycloak.certificates()
    prepared, unprepared = Connection(keycloak, "saml", *both), Connection(keycloak, "saml", both[0])
    first = prepared.sign_in().subject
    assert unprepared.sign_in().subject == first
    keycloak.use_key()
    assert prepared.sign_in().subject == first
    with pytest.raises(ConnectorError) as caught:
        unprepared.sign_in()
    assert caught.value.code == Code.SIGNATURE_INVALID


@pytest.mark.parametrize(
    ("scopes", "attributes", "code", "console"),
    [
        (["role_list"], {}, Code.CLAIM_INVALID, "Clients > Client scopes > role_list"),
        ([], {"saml_name_id_format": "username"}, Code.CLAIM_INVALID, "Clients > Name ID format"),
        ([], {"saml.assertion.signature": "false"}, Code.SIGNATURE_INVALID, "Clients > Sign assertions"),
        ([], {"saml.server.signature": "false"}, Code.SIGNATURE_INVALID, "Clients > Sign documents"),
    ],
)
def test_a_step_left_out_is_refused_and_explained(
    keycloak: Keycloak, scopes: list[str], attributes: dict[str, str], code: Code, console: str
):
    """The twin is the first test of this file: with every step done, the same person gets in."""
    keycloak.register_saml(SAML_CALLBACK, ENTITY_ID, scopes=scopes, **attributes)
    with pytest.raises(ConnectorError) as caught:
        Connection(keycloak, "saml").sign_in()
    assert caught.value.code == code, caught.value.detail
    mishaps = explain(PRESETS["keycloak"].sides["saml"], code, caught.value.detail)
    assert [mishap.console for mishap in mishaps] == [console]


@dataclass
class Served:
    """A broker on loopback with one connection to Keycloak, and an agent's client."""

    keycloak: Keycloak
    tenant_url: str
    kind: str

    def register(self, **attributes: str) -> None:
        """Make the broker's addresses known to Keycloak, with these attributes of the client."""
        here = f"{self.tenant_url}/{self.kind}/corp"
        if self.kind == "saml":
            self.keycloak.register_saml(f"{here}/acs", f"{here}/metadata", **attributes)
            return
        told = {"backchannel.logout.url": f"{here}/backchannel-logout", **attributes}
        self.keycloak.register_oidc(f"{here}/callback", **told)

    def sign_in(self, http: httpx2.Client, user: str = "ada", start: str = "") -> str:
        """Let a person sign in, by the link `start` if they have one; return where the browser ends."""
        link = start or f"{self.tenant_url}/sign-in/corp"
        found = walk(http, link, self.keycloak.base_url, user, f"{user}-password", stop_at=REDIRECT_URI)
        return str(found.url)

    def is_signed_in(self, http: httpx2.Client) -> bool:
        """Whether the broker knows the person at this browser."""
        return http.get(f"{self.tenant_url}/me/agents", follow_redirects=False).status_code == 200

    def delegate(self, user: str = "ada") -> dict[str, Any]:
        """Let a person in a new browser sign in and allow the agent; return what its token says."""
        asked = {
            "response_type": "code",
            "client_id": "cli_writer",
            "redirect_uri": REDIRECT_URI,
            "scope": "tickets:read tickets:delete",
            "resource": TICKETS,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        with self.keycloak.browser() as http:
            browser = PersonBrowser(stop_at=REDIRECT_URI)
            browser._http = http
            chooser = browser.open(f"{self.tenant_url}/authorize?{urlencode(asked)}")
            url = self.sign_in(http, user, urljoin(chooser.url, chooser.link_to("/sign-in/corp")))
            if not url.startswith(REDIRECT_URI):
                consent = browser.open(url)
                url = browser.press(consent, consent.form_with("decision", "allow"), "decision", "allow").url
            redeemed = http.post(
                f"{self.tenant_url}/token",
                auth=("cli_writer", SECRET),
                data={
                    "grant_type": "authorization_code",
                    "code": dict(parse_qsl(urlsplit(url).query))["code"],
                    "redirect_uri": REDIRECT_URI,
                    "code_verifier": VERIFIER,
                },
            )
        assert redeemed.status_code == 200, redeemed.text
        return claims_of(redeemed.json()["access_token"])


@pytest.fixture(params=["oidc", "saml"])
def served(
    request: pytest.FixtureRequest, keycloak: Keycloak, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Served]:
    # How an operator lets the broker trust a company's own authority.
    monkeypatch.setenv("SSL_CERT_FILE", str(keycloak.authority))
    with ExitStack() as stack:
        server = WsgiServer("127.0.0.1")
        stack.callback(server.stop)
        app = create_app(
            load_settings(profile="development", public_url=server.url, data_dir=tmp_path / "data")
        )
        rt = shell_of(app).rt
        stack.callback(rt.database.close)
        world = World(rt, FixedClock(rt.clock.now()))
        tenant = world.tenant()
        with rt.database.write(tenant.id) as session:
            create_key(session, rt, tenant.id, now=world.now)
        config, secrets = keycloak.oidc() if request.param == "oidc" else keycloak.saml()
        connection = world.connection(tenant, "corp", kind=request.param, config=config, secrets=secrets)
        world.role(tenant, "engineer", ["tickets:delete"])
        world.mapping(tenant, connection, "/engineering", "engineer", kind="path")
        world.resource(tenant, roles=["engineer"])
        scopes = ["tickets:read", "tickets:delete"]
        agent = world.agent(tenant, scopes=scopes, roles=["engineer"])
        world.client(tenant, agent=agent, redirect_uris=[REDIRECT_URI], scopes=scopes)
        server.start(app)
        served = Served(keycloak, tenant.issuer, request.param)
        served.register()
        yield served


def test_a_delegated_tokens_roles_follow_the_groups_of_now(served: Served):
    first = served.delegate()
    assert (first["roles"], first["scope"]) == (["engineer"], "tickets:delete tickets:read")
    assert first["act"]["sub_profile"] == "ai_agent"

    for groups in (["/agents"], []):
        served.keycloak.set_groups("ada", groups)
        later = served.delegate()
        assert (later["sub"], later["scope"]) == (first["sub"], "tickets:read")
        assert "roles" not in later

    served.keycloak.set_groups("ada", ["/engineering"])
    assert served.delegate()["roles"] == ["engineer"]
    assert "roles" not in served.delegate("bob")


@pytest.mark.parametrize("served", ["oidc"], indirect=True)
@pytest.mark.parametrize("names_session", [False, True])
def test_whom_the_provider_signs_out_is_signed_out_here(served: Served, names_session: bool):
    """Keycloak names the person, or one session where the client is set to require that."""
    served.register(**{"backchannel.logout.session.required": str(names_session).lower()})
    with ExitStack() as stack:
        laptop, phone, bobs = (stack.enter_context(served.keycloak.browser()) for _ in range(3))
        served.sign_in(laptop, "ada")
        [session_id] = served.keycloak.session_ids("ada")
        served.sign_in(phone, "ada")
        served.sign_in(bobs, "bob")
        assert [served.is_signed_in(one) for one in (laptop, phone, bobs)] == [True, True, True]
        served.keycloak.end_session(session_id)
        assert [served.is_signed_in(one) for one in (laptop, phone, bobs)] == [False, names_session, True]

"""Keycloak, set up as our preset describes it, by OIDC and by SAML: the connectors first, then the broker."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from sqlalchemy import select

from broker.federation.metadata_refresh import refresh_metadata
from broker.federation.models import MetadataReading
from idp_connectors.base import Callback, ConnectorError, Deps, LoginRequest, MemoryCache, VerifiedIdentity
from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.presets import PRESETS
from idp_connectors.presets.preset import explain
from idp_connectors.registry import CONNECTORS
from idp_connectors.remembered import REFRESH_PAUSE_SECONDS
from tests.builders.connector_deps import make_deps
from tests.interop.servers.keycloak import Keycloak
from tests.interop.servers.keycloak_broker import KeycloakBroker, served_broker

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


@pytest.fixture(params=["oidc", "saml", "saml-hardened"])
def served(
    request: pytest.FixtureRequest, keycloak: Keycloak, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KeycloakBroker]:
    """A broker of each kind; the hardened one signs what it sends and takes encrypted assertions only."""
    # How an operator lets the broker trust a company's own authority.
    monkeypatch.setenv("SSL_CERT_FILE", str(keycloak.authority))
    kind, _, hardened = request.param.partition("-")
    with served_broker(keycloak, tmp_path / "data", kind, is_hardened=bool(hardened)) as broker:
        yield broker


def test_a_delegated_tokens_roles_follow_the_groups_of_now(served: KeycloakBroker):
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
def test_whom_the_provider_signs_out_is_signed_out_here(served: KeycloakBroker, names_session: bool):
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


def test_who_signs_out_here_can_sign_out_at_the_provider_too(served: KeycloakBroker):
    with served.keycloak.browser() as browser:
        served.sign_in(browser)
        assert (served.is_signed_in(browser), len(served.keycloak.session_ids("ada"))) == (True, 1)
        assert "You are signed out here and at Corp." in served.sign_out(browser)
        assert (served.is_signed_in(browser), served.keycloak.session_ids("ada")) == (False, [])


@pytest.mark.parametrize("served", ["saml", "saml-hardened"], indirect=True)
def test_single_logout_from_the_provider_ends_the_session_here(served: KeycloakBroker):
    with served.keycloak.browser() as laptop, served.keycloak.browser() as phone:
        served.sign_in(laptop)
        served.sign_in(phone)
        page = served.keycloak.sign_out(laptop)
        assert str(page.url).startswith(served.keycloak.realm_url), page.url
        assert page.is_success, page.text
        assert (served.is_signed_in(laptop), served.is_signed_in(phone)) == (False, True)
        assert len(served.keycloak.session_ids("ada")) == 1


@pytest.mark.parametrize("served", ["saml"], indirect=True)
def test_a_key_that_only_unsigned_metadata_tells_of_is_shown_and_not_trusted(served: KeycloakBroker):
    """Keycloak does not sign its metadata: an administrator decides, as long as the old key still signs."""
    served.keycloak.publish_key()
    assert refresh_metadata(served.rt, CONNECTORS) == {"failed": 1}
    with served.rt.database.unscoped() as session:
        reading = session.scalars(select(MetadataReading)).one()
    assert reading.problem == "unsigned_change"
    assert len(reading.offered["changes"]["certificates"]) == 2
    assert served.delegate()["roles"] == ["engineer"]

"""An administrator hands a provider's own document over: a preview, fields filled in, nothing stored."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO

import pytest
from werkzeug.test import TestResponse

from broker.app import build_app
from broker.tenants.connections import open_secrets
from idp_connectors.registry import CONNECTORS
from tests.builders.forms import shown
from tests.builders.office import Office
from tests.builders.oidc_op import OpenIdProvider
from tests.builders.saml_idp import IDP_ENTITY_ID, SSO_URL
from tests.builders.saml_metadata import certificate_text, document, entity, key
from tests.builders.site import Browser, form_token

NEW = "/t/acme/admin/connections/new"
DRAFT = {"preset": "generic", "kind": "saml", "name": "Other", "slug": "other", "domains": ""}
KEYCLOAK = {"preset": "keycloak", "slug": "keycloak"}
BY_HAND = {"preset": "", "slug": "hand"}
OPENID = {"kind": "oidc", "slug": "op"}


@pytest.fixture
def metadata_address() -> Iterator[str]:
    """The address of a server on this machine that has one provider's metadata."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = document() if self.path == "/metadata" else b"x" * 300_000
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return None

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def read(browser: Browser, draft: dict[str, str], **fields: object) -> TestResponse:
    """Open the set-up page of a draft and have a document read there."""
    start = {"csrf_token": form_token(browser.get(f"{NEW}?kind=saml")), "do": "setup"}
    page = browser.post(NEW, {**start, **DRAFT, **draft})
    assert page.status_code == 200, page.text
    return browser.post(NEW, {**start, **shown(page), **DRAFT, **draft, "do": "read", **fields})


def save(browser: Browser, page: TestResponse, draft: dict[str, str]) -> TestResponse:
    sent = {"csrf_token": form_token(page), "do": "save", **DRAFT, **draft, **shown(page)}
    return browser.post(NEW, sent)


def assert_filled_in(page: TestResponse) -> None:
    assert page.status_code == 200, page.text
    fields = shown(page)
    assert fields["take-idp_entity_id"] == IDP_ENTITY_ID
    assert fields["take-sso_url"] == SSO_URL
    assert certificate_text()[:64] in fields["take-certificate"]
    assert "Filled in below, not saved yet." in page.text
    assert "CN=idp" in page.text


def test_metadata_is_read_from_text_a_file_and_an_address(office: Office, metadata_address: str) -> None:
    admin = office.admin()
    assert_filled_in(read(admin, {}, **{"metadata-text": document().decode()}))
    assert_filled_in(read(admin, {}, **{"metadata-file": (BytesIO(document()), "idp.xml")}))
    page = read(admin, {}, **{"metadata-url": f"{metadata_address}/metadata"})
    assert_filled_in(page)
    # What was read at an address is read there again.
    assert shown(page)["set-metadata_url"] == f"{metadata_address}/metadata"
    assert office.events("connection.created") == []

    saved = save(admin, page, {})
    assert saved.status_code == 303, saved.text
    made = office.world.again(office.tenant).find_connection("other")
    assert made is not None
    assert made.config["sso_url"] == SSO_URL


def test_several_certificates_are_kept_all(office: Office) -> None:
    admin = office.admin()
    page = read(admin, {}, **{"metadata-text": document(entity(keys=key() + key("next"))).decode()})
    saved = save(admin, page, {})
    assert saved.status_code == 303, saved.text
    made = office.world.again(office.tenant).find_connection("other")
    assert made is not None
    assert len(made.config["certificates"]) == 2


def test_a_presets_own_questions_are_answered_as_far_as_the_document_tells(office: Office) -> None:
    realm = "https://sso.corp.example/realms/corp"
    told = document(entity(realm)).decode().replace(SSO_URL + '"', f'{realm}/protocol/saml"')
    page = read(office.admin(), KEYCLOAK, **{"metadata-text": told})
    assert shown(page)["take-realm_url"] == realm
    other = read(office.admin(), KEYCLOAK, **{"metadata-text": document().decode()})
    assert "It does not tell Realm address." in other.text


def test_without_a_preset_the_settings_themselves_are_filled_in(office: Office) -> None:
    admin = office.admin()
    page = read(admin, BY_HAND, **{"metadata-text": document().decode()})
    assert shown(page)["set-sso_url"] == SSO_URL
    assert save(admin, page, BY_HAND).status_code == 303


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({}, "Give the address of the metadata", id="nothing"),
        pytest.param({"metadata-text": "<html>"}, "not well-formed", id="page"),
        pytest.param({"metadata-text": "<!DOCTYPE a []><a/>"}, "document type", id="dtd"),
        pytest.param({"metadata-url": "https://169.254.169.254/latest"}, "could not be", id="cloud"),
        pytest.param({"metadata-url": "http://10.0.0.1/metadata"}, "could not be", id="inside"),
        pytest.param({"metadata-url": "file:///etc/passwd"}, "could not be", id="file"),
        pytest.param({"metadata-url": "not an address"}, "could not be", id="no-address"),
    ],
)
def test_what_cannot_be_read_changes_nothing(office: Office, fields: dict[str, str], words: str) -> None:
    kept = {"take-sso_url": "https://typed.example/sso"}
    page = read(office.admin(), {}, **kept, **fields)
    assert page.status_code == 400
    assert "The provider could not be read." in page.text
    assert words in page.text
    assert shown(page)["take-sso_url"] == "https://typed.example/sso"


def test_a_document_that_is_too_long_is_not_read_to_its_end(office: Office, metadata_address: str) -> None:
    page = read(office.admin(), {}, **{"metadata-url": f"{metadata_address}/endless"})
    assert page.status_code == 400
    assert "more than is honest" in page.text


def discovering(office: Office) -> tuple[OpenIdProvider, Browser]:
    op = OpenIdProvider()
    office.rt = replace(office.rt, egress=op)  # type: ignore[arg-type]
    office.app = build_app(office.rt, CONNECTORS)
    return op, office.admin()


def test_an_issuer_is_looked_up(office: Office) -> None:
    op, admin = discovering(office)
    op.metadata_extra = {
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "end_session_endpoint": f"{op.issuer}/logout",
    }
    page = read(admin, OPENID, **{"take-issuer": f"{op.issuer}/.well-known/openid-configuration"})
    assert page.status_code == 200, page.text
    fields = shown(page)
    assert fields["take-issuer"] == op.issuer
    assert fields["set-client_auth"] == "client_secret_post"
    assert f"{op.issuer}/authorize" in page.text
    assert "1 usable, from" in page.text


def test_looking_an_issuer_up_keeps_the_secret_that_was_typed(office: Office) -> None:
    op, admin = discovering(office)
    typed = {"take-issuer": op.issuer, "take-client_id": "us", "take-client_secret": "sesame-open-now"}
    page = read(admin, OPENID, **typed)
    assert (page.status_code, "sesame-open-now" in page.text) == (200, False)
    assert "What you entered is kept; leave this empty to use it." in page.text
    assert save(admin, page, OPENID).status_code == 303
    made = office.world.again(office.tenant).find_connection("op")
    assert made is not None
    with office.rt.database.core_read() as core:
        secrets = open_secrets(office.rt, core, office.tenant.id, made.id)
    assert secrets == {"client_secret": "sesame-open-now"}


@pytest.mark.parametrize("fault", ["down", "other-issuer", "no-keys", "empty", "weak-algorithms"])
def test_an_issuer_that_does_not_fit_is_told(office: Office, fault: str) -> None:
    op, admin = discovering(office)
    issuer, words = (
        op.issuer,
        {
            "down": "could not be reached",
            "other-issuer": "names the issuer",
            "no-keys": "signing keys cannot be used",
            "empty": "Enter the issuer first.",
            "weak-algorithms": "no algorithm that is safe to accept",
        }[fault],
    )
    if fault == "down":
        op.down.add("/.well-known/openid-configuration")
    elif fault == "other-issuer":
        op.metadata_extra = {"issuer": "https://op.example/"}
    elif fault == "no-keys":
        op.published = []
    elif fault == "empty":
        issuer = ""
    else:
        op.metadata_extra = {"id_token_signing_alg_values_supported": ["HS256"]}
    page = read(admin, OPENID, **{"take-issuer": issuer})
    assert page.status_code == (200 if fault == "weak-algorithms" else 400)
    assert words in page.text

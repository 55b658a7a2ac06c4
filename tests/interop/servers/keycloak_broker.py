"""A broker on loopback with one connection to Keycloak and an agent's client, and people with browsers."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import httpx2

from broker.app import create_app
from broker.demo.loopback import WsgiServer
from broker.demo.person_browser import PersonBrowser
from broker.kernel.clock import FixedClock
from broker.kernel.runtime import Runtime
from broker.kernel.settings import load_settings
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.keys import create_key
from broker.web.current import shell_of
from tests.builders.oauth import CHALLENGE, REDIRECT_URI, VERIFIER, claims_of
from tests.builders.world import SECRET, TICKETS, World
from tests.interop.servers.browser import walk
from tests.interop.servers.keycloak import Keycloak

SCOPES = ["tickets:read", "tickets:delete"]
AES_256_GCM = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
RSA_OAEP = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"


@dataclass
class ServedBroker:
    """The broker as people, the agent and Keycloak reach it."""

    rt: Runtime
    keycloak: Keycloak
    tenant_url: str
    kind: str
    is_hardened: bool = False

    def register(self, **attributes: str) -> None:
        """Make the broker's addresses known to Keycloak, with these attributes of the client."""
        here = f"{self.tenant_url}/{self.kind}/corp"
        if self.kind == "saml":
            told = {"saml_single_logout_service_url_redirect": f"{here}/slo"}
            told |= self._keys(f"{here}/metadata") if self.is_hardened else {}
            self.keycloak.register_saml(f"{here}/acs", f"{here}/metadata", **told, **attributes)
            return
        told = {
            "backchannel.logout.url": f"{here}/backchannel-logout",
            "post.logout.redirect.uris": f"{here}/signed-out",
        }
        self.keycloak.register_oidc(f"{here}/callback", **told, **attributes)

    def _keys(self, metadata_url: str) -> dict[str, str]:
        """Return what an administrator of the realm makes of the keys in our metadata."""
        with self.keycloak.browser() as http:
            document = http.get(metadata_url).raise_for_status().text
        found = dict(
            re.findall(r'use="(signing|encryption)".*?X509Certificate>([^<]+)<', document, flags=re.DOTALL)
        )
        return {
            "saml.client.signature": "true",
            "saml.signing.certificate": "".join(found["signing"].split()),
            "saml.encrypt": "true",
            "saml.encryption.certificate": "".join(found["encryption"].split()),
            "saml.encryption.algorithm": AES_256_GCM,
            "saml.encryption.keyAlgorithm": RSA_OAEP,
        }

    def sign_in(self, http: httpx2.Client, user: str = "ada", start: str = "") -> str:
        """Let a person sign in, by the link `start` if they have one; return where the browser ends."""
        link = start or f"{self.tenant_url}/sign-in/corp"
        found = walk(http, link, self.keycloak.base_url, user, f"{user}-password", stop_at=REDIRECT_URI)
        return str(found.url)

    def is_signed_in(self, http: httpx2.Client) -> bool:
        """Whether the broker knows the person at this browser."""
        return http.get(f"{self.tenant_url}/me/agents", follow_redirects=False).status_code == 200

    def sign_out(self, http: httpx2.Client) -> str:
        """Let a person sign out here and follow the offer to sign out there; return the last page's text."""
        browser = PersonBrowser()
        browser._http = http
        home = browser.open(f"{self.tenant_url}/me/agents")
        offer = browser.press(home, home.form_to("/sign-out"))
        found = walk(http, offer.link_to(self.keycloak.base_url), self.keycloak.base_url, "", "")
        assert isinstance(found, httpx2.Response)
        return found.text

    def delegate(self, user: str = "ada") -> dict[str, Any]:
        """Let a person in a new browser sign in and allow the agent; return what its token says."""
        asked = {
            "response_type": "code",
            "client_id": "cli_writer",
            "redirect_uri": REDIRECT_URI,
            "scope": " ".join(SCOPES),
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


@contextmanager
def served_broker(
    keycloak: Keycloak, data_dir: Path, kind: str, *, is_hardened: bool = False
) -> Iterator[ServedBroker]:
    """Serve a broker until the block ends; a hardened one signs requests and wants encrypted assertions."""
    with ExitStack() as stack:
        server = WsgiServer("127.0.0.1")
        stack.callback(server.stop)
        app = create_app(load_settings(profile="development", public_url=server.url, data_dir=data_dir))
        rt = shell_of(app).rt
        stack.callback(rt.database.close)
        world = World(rt, FixedClock(rt.clock.now()))
        tenant = world.tenant()
        config, secrets = keycloak.oidc() if kind == "oidc" else keycloak.saml()
        if is_hardened:
            config |= {"sign_requests": True, "encryption": "required"}
        _declare(world, tenant, kind, config, secrets)
        server.start(app)
        served = ServedBroker(rt, keycloak, tenant.issuer, kind, is_hardened)
        served.register()
        yield served


def _declare(
    world: World, tenant: TenantSnapshot, kind: str, config: dict[str, Any], secrets: dict[str, str]
) -> None:
    with world.rt.database.write(tenant.id) as session:
        create_key(session, world.rt, tenant.id, now=world.now)
    connection = world.connection(tenant, "corp", kind=kind, config=config, secrets=secrets)
    world.role(tenant, "engineer", ["tickets:delete"])
    world.mapping(tenant, connection, "/engineering", "engineer", kind="path")
    world.resource(tenant, roles=["engineer"])
    agent = world.agent(tenant, scopes=SCOPES, roles=["engineer"])
    world.client(tenant, agent=agent, redirect_uris=[REDIRECT_URI], scopes=SCOPES)

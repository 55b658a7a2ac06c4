"""A broker on loopback with one connection to Keycloak and an agent's client, and people with browsers."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from broker.demo.person_browser import PersonBrowser
from tests.builders.oauth import CHALLENGE, REDIRECT_URI, VERIFIER, claims_of
from tests.builders.world import SECRET, TICKETS
from tests.interop.servers.keycloak import Keycloak
from tests.interop.servers.served_broker import OpenBroker, ServedBroker, open_broker

SCOPES = ["tickets:read", "tickets:delete"]
AES_256_GCM = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
RSA_OAEP = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"


@dataclass
class KeycloakBroker(ServedBroker):
    """The broker as people, the agent and Keycloak reach it."""

    provider: Keycloak
    is_hardened: bool = False

    @property
    def keycloak(self) -> Keycloak:
        """The provider."""
        return self.provider

    def register(self, **attributes: str) -> None:
        """Make the broker's addresses known to Keycloak, with these attributes of the client."""
        here = self.here
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
) -> Iterator[KeycloakBroker]:
    """Serve a broker until the block ends; a hardened one signs requests and wants encrypted assertions."""
    config, secrets = keycloak.oidc() if kind == "oidc" else keycloak.saml()
    if is_hardened:
        config |= {"sign_requests": True, "encryption": "required"}
    with open_broker(data_dir, kind, config, secrets) as opened:
        _declare(opened)
        served = KeycloakBroker(opened.world.rt, keycloak, opened.tenant.issuer, kind, is_hardened)
        served.register()
        yield served


def _declare(opened: OpenBroker) -> None:
    world, tenant = opened.world, opened.tenant
    world.role(tenant, "engineer", ["tickets:delete"])
    world.mapping(tenant, opened.connection, "/engineering", "engineer", kind="path")
    world.resource(tenant, roles=["engineer"])
    agent = world.agent(tenant, scopes=SCOPES, roles=["engineer"])
    world.client(tenant, agent=agent, redirect_uris=[REDIRECT_URI], scopes=SCOPES)

"""Keycloak with a realm of ours: people, groups and keys change while it runs, by its own admin API."""

import contextlib
import json
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2

from idp_connectors.presets import PRESETS
from idp_connectors.presets.preset import fill
from tests.builders.tls_certificates import Authority
from tests.interop.servers.browser import VisitedProvider, walk
from tests.interop.servers.processes import free_port, running

FILES = Path(__file__).parent.parent / "keycloak"
FETCHER = Path(__file__).parents[3] / "deploy" / "ci" / "keycloak.sh"
REALM: dict[str, Any] = json.loads((FILES / "realm.json").read_text())
CLIENT: dict[str, Any] = REALM["clients"][0]
PEOPLE: dict[str, list[str]] = {one["username"]: one["groups"] for one in REALM["users"]}
ADMIN, ADMIN_PASSWORD = "interop-admin", "interop-admin-password"
START_SECONDS = 240
LIFE_SECONDS = 1800
JAVA = "-Xms64m -Xmx384m -XX:MaxMetaspaceSize=208m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
"""One person at a time signs in: a small heap and quick compiling, about 400 MB in all."""


class Keycloak(VisitedProvider):
    """A running Keycloak; its realm starts as `realm.json` says."""

    def __init__(self, port: int, authority: Path) -> None:
        self.base_url = f"https://localhost:{port}"
        self.realm_url = f"{self.base_url}/realms/{REALM['realm']}"
        self.authority = authority
        self.tls = ssl.create_default_context(cafile=str(authority))
        self._admin_url = f"{self.base_url}/admin/realms/{REALM['realm']}"
        self._keys_added: list[str] = []
        self._token, self._renew_at = "", 0.0

    # -- what an administrator of ours sets -----------------------------------------------------------

    def oidc(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Return settings and secrets of an `oidc` connection, as the preset fills them."""
        return self._filled("oidc", client_id=CLIENT["clientId"], client_secret=CLIENT["secret"])

    def saml(self, *certificates: str) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the same for a `saml` connection; without `certificates` it trusts the active one."""
        config, secrets = self._filled("saml", certificate=self.certificates()[0])
        return {**config, **({"certificates": list(certificates)} if certificates else {})}, secrets

    def _filled(self, side: str, **answers: str) -> tuple[dict[str, Any], dict[str, str]]:
        filled = fill(PRESETS["keycloak"].sides[side], {"realm_url": self.realm_url, **answers})
        secrets = {name: filled.pop(name) for name in ("client_secret",) if name in filled}
        return {**filled, "email_domains": ["corp.example"]}, secrets

    # -- what an administrator of the realm does ------------------------------------------------------

    def register_oidc(self, callback_url: str, **attributes: str) -> None:
        """Make the broker's callback address the client's only one."""
        client = self._ask("GET", f"/clients?clientId={CLIENT['clientId']}").json()[0]
        client["redirectUris"] = [callback_url]
        client["attributes"] |= attributes
        self._ask("PUT", f"/clients/{client['id']}", client)

    def register_saml(
        self, callback_url: str, entity_id: str, *, scopes: Sequence[str] = (), **attributes: str
    ) -> None:
        """Make the broker known as a SAML client, anew, in the way that the preset's steps describe."""
        for known in self._ask("GET", "/clients", params={"clientId": entity_id}).json():
            self._ask("DELETE", f"/clients/{known['id']}")
        client = json.loads((FILES / "saml_client.json").read_text())
        client |= {"clientId": entity_id, "redirectUris": [callback_url]}
        client["defaultClientScopes"] = list(scopes)
        client["attributes"] |= {"saml_assertion_consumer_url_post": callback_url, **attributes}
        self._ask("POST", "/clients", client)

    def set_groups(self, user: str, groups: Sequence[str]) -> None:
        """Put a person into exactly these groups, named by path; holds from their next sign-in."""
        person = self._person(user)
        now = {one["path"]: one["id"] for one in self._ask("GET", f"/users/{person}/groups").json()}
        for path in now.keys() - set(groups):
            self._ask("DELETE", f"/users/{person}/groups/{now[path]}")
        for path in set(groups) - now.keys():
            group = self._ask("GET", f"/group-by-path{path}").json()["id"]
            self._ask("PUT", f"/users/{person}/groups/{group}")

    def session_ids(self, user: str) -> list[str]:
        """Return the names of a person's sessions."""
        return [str(one["id"]) for one in self._ask("GET", f"/users/{self._person(user)}/sessions").json()]

    def end_sessions(self, user: str) -> None:
        """Sign a person out everywhere, as the realm's administrator."""
        self._ask("POST", f"/users/{self._person(user)}/logout")

    def end_session(self, session_id: str) -> None:
        """End one session, as the realm's administrator."""
        self._ask("DELETE", f"/sessions/{session_id}")

    def publish_key(self) -> None:
        """Add a signing key that is published and not used yet."""
        made = self._ask("POST", "/components", self._new_key(priority=1))
        self._keys_added.append(made.headers["location"].rpartition("/")[2])

    def use_key(self) -> None:
        """Sign with the key that was published last; the ones before stay published."""
        newest, priority = self._keys_added[-1], 1000 + len(self._keys_added)
        self._ask("PUT", f"/components/{newest}", {**self._new_key(priority=priority), "id": newest})

    def _new_key(self, *, priority: int) -> dict[str, Any]:
        config = {"priority": str(priority), "enabled": "true", "active": "true", "keySize": "2048"}
        return {
            "name": f"interop-{len(self._keys_added)}",
            "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "config": {name: [value] for name, value in config.items()},
        }

    def certificates(self) -> list[str]:
        """Return the certificates of all keys that sign or may sign, the active one first."""
        told = self._ask("GET", "/keys").json()
        usable = [key for key in told["keys"] if key.get("use") == "SIG" and key["type"] == "RSA"]
        usable.sort(key=lambda key: key["kid"] != told["active"]["RS256"])
        return [str(key["certificate"]) for key in usable]

    def reset(self) -> None:
        """Go back to the groups and keys that the realm starts with, and sign everybody out."""
        self._ask("POST", "/logout-all")
        for user, groups in PEOPLE.items():
            self.set_groups(user, groups)
        while self._keys_added:
            self._ask("DELETE", f"/components/{self._keys_added.pop()}")

    def _person(self, user: str) -> str:
        return str(self._ask("GET", "/users", params={"username": user, "exact": "true"}).json()[0]["id"])

    def _ask(self, method: str, path: str, body: Any = None, **given: Any) -> httpx2.Response:
        """Call the admin API."""
        with self.browser() as http:
            if time.monotonic() >= self._renew_at:
                form = {
                    "grant_type": "password",
                    "client_id": "admin-cli",
                    "username": ADMIN,
                    "password": ADMIN_PASSWORD,
                }
                told = http.post(f"{self.base_url}/realms/master/protocol/openid-connect/token", data=form)
                self._token = str(told.raise_for_status().json()["access_token"])
                self._renew_at = time.monotonic() + told.json()["expires_in"] / 2
            headers = {"Authorization": f"Bearer {self._token}"}
            answer = http.request(method, self._admin_url + path, json=body, headers=headers, **given)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer

    # -- what a person does ---------------------------------------------------------------------------

    def browser(self) -> httpx2.Client:
        """Return a new browser that trusts the authority of the provider's certificate."""
        return httpx2.Client(timeout=60, trust_env=False, verify=self.tls)

    def sign_out(self, client: httpx2.Client) -> httpx2.Response:
        """Let a person sign out at Keycloak's own page; return the page that the browser ends at."""
        found = walk(client, f"{self.realm_url}/protocol/openid-connect/logout", self.base_url, "", "")
        assert isinstance(found, httpx2.Response)
        return found


def find_place() -> tuple[Path | None, str]:
    """Return where Keycloak lies, or None and what to do."""
    told = subprocess.run([str(FETCHER), "place"], capture_output=True, text=True, timeout=30)
    place = Path(told.stdout.strip() or "/nowhere")
    if not (place / "complete").exists():
        return None, f"{place} is not complete; {FETCHER.name} fetches it"
    return place, ""


@contextlib.contextmanager
def start(directory: Path, place: Path) -> Iterator[Keycloak]:
    """Run Keycloak on loopback over TLS, with its files in `directory`, until the block ends."""
    port, authority = free_port(), Authority("Interop CA")
    (directory / "authority.pem").write_text(authority.certificate)
    certificate, key = authority.issue("localhost", "127.0.0.1").write(directory, "server")
    home = _make_home(directory / "home", place)
    command = ["timeout", "--kill-after=10", str(LIFE_SECONDS), str(home / "bin/kc.sh")]
    command += ["start", "--optimized", "--import-realm", "--cache=local", "--hostname-strict=false"]
    command += ["--http-host=127.0.0.1", f"--https-port={port}"]
    command += [f"--https-certificate-file={certificate}", f"--https-certificate-key-file={key}"]
    env = {
        "JAVA_OPTS": JAVA,
        "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
        "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMIN_PASSWORD,
    }
    log = directory / "keycloak.log"
    with running(command, port=port, log=log, cwd=home, extra_env=env, start_seconds=START_SECONDS):
        yield Keycloak(port, directory / "authority.pem")


def _make_home(home: Path, place: Path) -> Path:
    """Return a home whose programs are the shared ones and whose data are this run's own."""
    for folder in ("bin", "data/import"):
        (home / folder).mkdir(parents=True)
    for folder in ("lib", "conf", "providers", "themes"):
        (home / folder).symlink_to(place / folder)
    # A link would lead the script back to the shared home.
    shutil.copy(place / "bin" / "kc.sh", home / "bin" / "kc.sh")
    shutil.copy(FILES / "realm.json", home / "data" / "import" / "realm.json")
    return home

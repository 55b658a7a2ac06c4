"""SimpleSAMLphp, as Debian packages it, as a SAML identity provider with a few people."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2

from tests.builders.saml_idp import key_and_certificate
from tests.interop.servers.browser import VisitedProvider, walk
from tests.interop.servers.processes import free_port, running

PACKAGE = Path("/usr/share/simplesamlphp")
PEOPLE: dict[str, dict[str, Any]] = {
    "ada": {"password": "ada-password", "groups": ["engineering", "agents"]},
    "bob": {"password": "bob-password", "groups": ["sales"]},
}


class SimpleSamlPhp(VisitedProvider):
    """A running provider: people and services can be changed at any time, it reads its files each time."""

    name = "simplesamlphp"
    kind = "saml"

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.base_url = f"http://localhost:{port}/"
        self.entity_id = f"{self.base_url}saml2/idp/metadata.php"
        self.sso_url = f"{self.base_url}saml2/idp/SSOService.php"
        self.sign_out_url = f"{self.base_url}saml2/idp/initSLO.php"
        self.slo_url = f"{self.base_url}saml2/idp/SingleLogoutService.php"
        self.certificate = key_and_certificate("simplesamlphp")[1].decode()
        self._services: dict[str, dict[str, Any]] = {}
        self._people: dict[str, dict[str, Any]] = {}

    @property
    def config(self) -> dict[str, Any]:
        """The settings of a `saml` connection to this provider."""
        return {
            "idp_entity_id": self.entity_id,
            "sso_url": self.sso_url,
            "certificates": [self.certificate],
            "subject": "attribute:uid",
            "groups_attribute": "groups",
            "email_domains": ["corp.example"],
        }

    @property
    def secrets(self) -> dict[str, str]:
        """The secrets of that connection: there are none."""
        return {}

    def register(
        self, callback_url: str, entity_id: str, *, sign_out_url: str = "", certificate: str = ""
    ) -> None:
        """Make the broker's connection known to the provider; `certificate` checks what it signs."""
        service: dict[str, Any] = {"AssertionConsumerService": callback_url}
        if sign_out_url:
            binding = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
            service |= {
                "SingleLogoutService": [{"Binding": binding, "Location": sign_out_url}],
                "certData": certificate,
                "validate.logout": True,
            }
        self._services[entity_id] = service
        entries = "".join(
            f"$metadata[{_php(entity)}] = {_php(one)};\n" for entity, one in self._services.items()
        )
        self._write("metadata/saml20-sp-remote.php", entries)

    def set_person(self, user: str, password: str, groups: Sequence[str]) -> None:
        """Add a person or change their groups; holds from their next sign-in."""
        self._people[user] = {"password": password, "groups": list(groups)}
        users = {
            f"{user}:{person['password']}": {
                "uid": [user],
                "mail": [f"{user}@corp.example"],
                "displayName": [user.capitalize()],
                "groups": person["groups"],
            }
            for user, person in self._people.items()
        }
        source = {0: "exampleauth:UserPass", **users}
        self._write("config/authsources.php", f"$config = {_php({'people': source})};\n")

    def sign_out(self, client: httpx2.Client) -> httpx2.Response:
        """Let a person sign out at the provider, which tells everybody whom they signed in to."""
        found = walk(client, f"{self.sign_out_url}?RelayState={self.base_url}", self.base_url, "", "")
        assert isinstance(found, httpx2.Response)
        return found

    def reset(self) -> None:
        """Go back to the people that a provider starts with."""
        self._people.clear()
        for user, person in PEOPLE.items():
            self.set_person(user, person["password"], person["groups"])

    def write_files(self) -> None:
        """Write configuration, key and metadata of the provider."""
        for name in ("config", "metadata", "cert", "log", "data", "tmp", "sessions"):
            (self.directory / name).mkdir()
        pem, certificate = key_and_certificate("simplesamlphp")
        (self.directory / "cert/idp.pem").write_bytes(pem)
        (self.directory / "cert/idp.crt").write_bytes(certificate)
        directory = f"{self.directory}/"
        settings = {
            "baseurlpath": self.base_url,
            "certdir": f"{directory}cert/",
            "loggingdir": f"{directory}log/",
            "datadir": f"{directory}data/",
            "tempdir": f"{directory}tmp",
            "metadatadir": f"{directory}metadata/",
            "metadata.sources": [{"type": "flatfile"}],
            "secretsalt": "interoperability-test",
            "auth.adminpassword": "not-used-here",
            "technicalcontact_email": "na@corp.example",
            "timezone": "UTC",
            "logging.handler": "file",
            "enable.saml20-idp": True,
            "module.enable": {"core": True, "saml": True, "exampleauth": True},
            "store.type": "phpsession",
            "session.cookie.secure": False,
            "session.phpsession.savepath": f"{directory}sessions",
            "language.default": "en",
            "production": False,
            # The page of an error would hold a form to report it, which our browser would send.
            "errorreporting": False,
        }
        self._write("config/config.php", f"$config = {_php(settings)};\n")
        hosted = {
            "host": "__DEFAULT__",
            "privatekey": "idp.pem",
            "certificate": "idp.crt",
            "auth": "people",
            "userid.attribute": "uid",
            "sign.logout": True,
        }
        self._write(
            "metadata/saml20-idp-hosted.php", f"$metadata[{_php(self.entity_id)}] = {_php(hosted)};\n"
        )
        self._write("metadata/saml20-sp-remote.php", "")
        self.reset()

    def _write(self, name: str, text: str) -> None:
        path = self.directory / name
        new = path.with_suffix(".new")
        new.write_text(f"<?php\n{text}")
        new.replace(path)


def missing_reason() -> str:
    """Return what is missing on this machine to run it, or an empty text."""
    return "" if (PACKAGE / "www").is_dir() else f"{PACKAGE} does not exist (Debian package simplesamlphp)"


@contextlib.contextmanager
def start(directory: Path, php: str) -> Iterator[SimpleSamlPhp]:
    """Run SimpleSAMLphp on loopback with its files in `directory` until the block ends."""
    port = free_port()
    server = SimpleSamlPhp(directory, port)
    server.write_files()
    command = [php, "-d", f"session.save_path={directory}/sessions", "-d", "opcache.enable=0"]
    command += ["-S", f"127.0.0.1:{port}", "-t", str(PACKAGE / "www")]
    env = {"SIMPLESAMLPHP_CONFIG_DIR": f"{directory}/config", "PHP_CLI_SERVER_WORKERS": "2"}
    with running(command, port=port, log=directory / "php.log", cwd=directory, extra_env=env):
        yield server


def _php(value: object) -> str:
    """Return `value` as PHP source."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if isinstance(value, Mapping):
        return "[" + ", ".join(f"{_php(key)} => {_php(item)}" for key, item in value.items()) + "]"
    assert isinstance(value, list)
    return "[" + ", ".join(_php(item) for item in value) + "]"

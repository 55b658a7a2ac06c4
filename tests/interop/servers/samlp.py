"""A SAML identity provider on npm's samlp, with a few people of ours."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.builders.saml_idp import key_and_certificate
from tests.interop.servers.browser import VisitedProvider
from tests.interop.servers.processes import free_port, running

PEOPLE: dict[str, dict[str, Any]] = {
    "ada": {"password": "ada-password", "groups": ["engineering", "agents"]},
    "bob": {"password": "bob-password", "groups": ["sales"]},
}


class Samlp(VisitedProvider):
    """A running provider: people, services and faults can be changed at any time."""

    name = "samlp"
    kind = "saml"

    def __init__(self, directory: Path, port: int) -> None:
        self.base_url = f"http://localhost:{port}"
        self.state_file = directory / "state.json"
        key, certificate = key_and_certificate("samlp")
        self._state: dict[str, Any] = {
            "key": key.decode(),
            "cert": certificate.decode(),
            "services": {},
            "options": {},
            "people": {},
        }
        self.reset()

    @property
    def config(self) -> dict[str, Any]:
        """The settings of a `saml` connection to this provider."""
        return {
            "idp_entity_id": f"{self.base_url}/metadata",
            "sso_url": f"{self.base_url}/sso",
            "certificates": [self._state["cert"]],
            "groups_attribute": "groups",
            "email_domains": ["corp.example"],
            "response_signed": True,
        }

    @property
    def secrets(self) -> dict[str, str]:
        """The secrets of that connection: there are none."""
        return {}

    def register(self, callback_url: str, entity_id: str) -> None:
        """Make the broker's connection known to the provider."""
        self._state["services"][entity_id] = callback_url
        self._write()

    def set_person(self, user: str, password: str, groups: Sequence[str]) -> None:
        """Add a person or change their groups; holds from their next sign-in."""
        attributes = {
            "mail": f"{user}@corp.example",
            "displayName": user.capitalize(),
            "groups": list(groups),
        }
        self._state["people"][user] = {"password": password, "attributes": attributes}
        self._write()

    def set_options(self, **options: Any) -> None:
        """Have samlp work with these options of its own instead of those that we give it."""
        self._state["options"] = options
        self._write()

    def reset(self) -> None:
        """Go back to the people and options that a provider starts with."""
        self._state["people"].clear()
        self._state["options"] = {}
        for user, person in PEOPLE.items():
            self.set_person(user, person["password"], person["groups"])

    def _write(self) -> None:
        new = self.state_file.with_suffix(".new")
        new.write_text(json.dumps(self._state))
        new.replace(self.state_file)


@contextlib.contextmanager
def start(directory: Path, place: Path, node: str) -> Iterator[Samlp]:
    """Run the provider on loopback with its state in `directory` until the block ends."""
    port = free_port()
    server = Samlp(directory, port)
    command = [node, str(place / "saml_idp.mjs"), str(port), str(server.state_file)]
    with running(command, port=port, log=directory / "node.log", cwd=place, extra_env={"NODE_ENV": "test"}):
        yield server

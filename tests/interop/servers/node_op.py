"""node oidc-provider, a certified OpenID provider of other people, with a few people of ours."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
from joserfc.jwk import RSAKey

from tests.interop.servers.browser import VisitedProvider, walk
from tests.interop.servers.processes import free_port, running

CLIENT_ID = "agent-sso-broker"
CLIENT_SECRET = "interop+secret/with:odd%characters"
PEOPLE: dict[str, dict[str, Any]] = {
    "ada": {"password": "ada-password", "groups": ["engineering", "agents"]},
    "bob": {"password": "bob-password", "groups": ["sales"]},
}


class NodeOpenIdProvider(VisitedProvider):
    """A running provider: people and callback addresses can be changed at any time."""

    name = "node-oidc-provider"
    kind = "oidc"

    def __init__(self, directory: Path, port: int) -> None:
        self.issuer = self.base_url = f"http://localhost:{port}"
        self.state_file = directory / "state.json"
        key = RSAKey.generate_key(2048, {"kid": "interop-1", "use": "sig", "alg": "RS256"}, private=True)
        self._state: dict[str, Any] = {
            "jwks": {"keys": [key.as_dict(private=True)]},
            "client": {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET},
            "redirect_uris": [],
            "post_logout_redirect_uris": [],
            "logout": {"uri": "", "names_session": False},
            "people": {},
        }
        self.reset()

    @property
    def config(self) -> dict[str, Any]:
        """The settings of an `oidc` connection to this provider."""
        return {
            "issuer": self.issuer,
            "client_id": CLIENT_ID,
            "scopes": ["openid", "profile", "email", "groups"],
            "groups_claim": "groups",
            "email_domains": ["corp.example"],
        }

    @property
    def secrets(self) -> dict[str, str]:
        """The secrets of that connection."""
        return {"client_secret": CLIENT_SECRET}

    def register(self, callback_url: str, entity_id: str = "") -> None:
        """Make the broker's callback address known to the provider; it has no use for `entity_id`."""
        self._state["redirect_uris"].append(callback_url)
        self._write()

    def register_sign_out(self, told_url: str, return_url: str, *, names_session: bool) -> None:
        """Let it tell sign-outs at `told_url`, by session or by person, and send people to `return_url`."""
        self._state["logout"] = {"uri": told_url, "names_session": names_session}
        self._state["post_logout_redirect_uris"] = [return_url]
        self._write()

    def sign_out(self, client: httpx2.Client) -> httpx2.Response:
        """Let a person sign out at the provider, which tells the broker from server to server."""
        found = walk(client, f"{self.issuer}/session/end", self.base_url, "", "")
        assert isinstance(found, httpx2.Response)
        return found

    def set_person(self, user: str, password: str, groups: Sequence[str]) -> None:
        """Add a person or change their groups; holds from their next sign-in."""
        claims = {
            "name": user.capitalize(),
            "email": f"{user}@corp.example",
            "email_verified": True,
            "groups": list(groups),
        }
        self._state["people"][user] = {"password": password, "claims": claims}
        self._write()

    def reset(self) -> None:
        """Go back to the people that a provider starts with."""
        self._state["people"].clear()
        self._state |= {"post_logout_redirect_uris": [], "logout": {"uri": "", "names_session": False}}
        for user, person in PEOPLE.items():
            self.set_person(user, person["password"], person["groups"])

    def _write(self) -> None:
        new = self.state_file.with_suffix(".new")
        new.write_text(json.dumps(self._state))
        new.replace(self.state_file)


@contextlib.contextmanager
def start(directory: Path, place: Path, node: str) -> Iterator[NodeOpenIdProvider]:
    """Run the provider on loopback with its state in `directory` until the block ends."""
    port = free_port()
    server = NodeOpenIdProvider(directory, port)
    command = [node, str(place / "op.mjs"), str(port), str(server.state_file)]
    with running(command, port=port, log=directory / "node.log", cwd=place, extra_env={"NODE_ENV": "test"}):
        yield server

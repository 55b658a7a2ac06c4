"""Clients that publish what they are at an address, and a world whose broker reads them there.

The broker's own egress reads; only the wire below it is ours. ``asked`` lists every address that was called.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2

from broker.kernel.egress import Egress
from tests.builders.oidc_op import OpenIdProvider
from tests.builders.world import TICKETS, World, open_world

CLIENT_ID = "https://app.example/oauth/client.json"
REDIRECT_URI = "https://app.example/callback"
LOOPBACK_URI = "http://127.0.0.1/callback"


def document(client_id: str = CLIENT_ID, **changes: Any) -> dict[str, Any]:
    """An honest document of a public MCP client; None leaves a member out."""
    given = {
        "client_id": client_id,
        "client_name": "Example Assistant",
        "client_uri": "https://app.example",
        "redirect_uris": [REDIRECT_URI],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}


def policy(**changes: Any) -> dict[str, Any]:
    """A tenant's policy that admits any address as an agent which may read tickets."""
    template = {
        "scopes": ["tickets:read", "tickets:write"],
        "resources": [TICKETS],
        "contact_name": "Olu Owner",
        "contact_email": "olu@acme.example",
        **changes.pop("template", {}),
    }
    return {"cimd": "any", "template": template, **changes}


class Published:
    """What stands at addresses; anything else there answers 404."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes, dict[str, str]]] = {}
        self.asked: list[str] = []

    def put(
        self,
        url: str = CLIENT_ID,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Let ``url`` answer ``body`` (an honest document unless given) as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body or document(url)).encode()
        sent = {"Content-Type": "application/json", "Cache-Control": "max-age=600", **(headers or {})}
        self.answers[url] = (status, content, sent)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        """Answer as the web would."""
        url = str(request.url)
        self.asked.append(url)
        status, content, headers = self.answers.get(url, (404, b"", {}))
        return httpx2.Response(status, headers=headers, stream=httpx2.ByteStream(content))


class PublishedEgress(Egress):
    """The broker's egress above a wire that knows only what was published."""

    def __init__(self, published: Published) -> None:
        super().__init__()
        self._wire = httpx2.Client(transport=httpx2.MockTransport(published.answer))

    def client(self) -> httpx2.Client:
        """Return a client on that wire."""
        return self._wire


class ProviderAndClients(OpenIdProvider):
    """An identity provider and published clients behind one wire."""

    get = Egress.get

    def __init__(self) -> None:
        super().__init__()
        self.clients = Published()

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        is_provider = str(request.url).startswith(self.issuer)
        return super()._answer(request) if is_provider else self.clients.answer(request)


@contextmanager
def open_published_world(
    database_url: str, data_dir: Path, **settings: Any
) -> Iterator[tuple[World, Published]]:
    """Yield an empty world whose broker reads published clients."""
    published = Published()
    with open_world(database_url, data_dir, **settings) as world:
        world.rt = replace(world.rt, egress=PublishedEgress(published))
        yield world, published


def serve_document(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer with the document of the client at whatever address it is asked for."""
    client_id = f"http://{environ['HTTP_HOST']}{environ['PATH_INFO']}"
    document = {
        "client_id": client_id,
        "client_name": "Assistant with an address",
        "redirect_uris": ["http://127.0.0.1/callback"],
        "token_endpoint_auth_method": "none",
    }
    start_response("200 OK", [("Content-Type", "application/json"), ("Cache-Control", "max-age=600")])
    return [json.dumps(document).encode()]

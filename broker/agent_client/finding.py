"""From a resource's address to its authorization server, each step checked against the one before."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2


@dataclass(frozen=True, slots=True)
class FoundServer:
    """The authorization server of a resource: its issuer and its RFC 8414 metadata."""

    issuer: str
    metadata: dict[str, Any]

    def endpoint(self, name: str) -> str:
        """Return the address of an endpoint; raises ``ValueError`` when the server has none."""
        address = self.metadata.get(f"{name}_endpoint")
        if not isinstance(address, str):
            raise ValueError(f"The server offers no {name} endpoint.")
        return address


def find_server(http: httpx2.Client, resource: str) -> FoundServer:
    """Follow 401 → resource metadata → server metadata (RFC 9728 §5, RFC 8414 §3).

    Raises ``ValueError`` where a step contradicts the one before, ``httpx2.HTTPError`` where one fails.
    """
    challenge = http.post(resource, json={}).headers.get("www-authenticate", "")
    where = metadata_link(challenge)
    if not where:
        raise ValueError("The resource does not say who issues its tokens.")
    described = http.get(where).raise_for_status().json()
    # Without this: a server could send us to fetch a token for somebody else's resource.
    if described.get("resource") != resource:
        raise ValueError("The metadata describes another resource.")
    issuer = described["authorization_servers"][0]
    metadata: dict[str, Any] = http.get(metadata_address(issuer)).raise_for_status().json()
    # Without this: one server's metadata could send our codes and secrets to another's endpoints.
    if metadata.get("issuer") != issuer:
        raise ValueError("The metadata names another issuer.")
    return FoundServer(issuer, metadata)


def metadata_link(challenge: str) -> str:
    """Return where a challenge says that the resource describes itself, or nothing (RFC 9728 §5.1)."""
    return challenge.partition('resource_metadata="')[2].partition('"')[0]


def metadata_address(issuer: str) -> str:
    """Return where an issuer's metadata stands: the well-known name goes before the path (RFC 8414 §3.1)."""
    parts = urlsplit(issuer)
    return f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path.rstrip('/')}"

"""Every request the kit makes, all of them to the configured issuer: metadata, key set, introspection."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2

MAX_DOCUMENT_BYTES = 256 * 1024
TIMEOUT_SECONDS = 5.0
_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


class IssuerUnavailable(Exception):
    """The issuer did not answer, or answered something that cannot be used."""


def require_safe_url(url: str, what: str) -> str:
    """Return `url` when it is https, or http on loopback, without userinfo, query or fragment.

    Raises ValueError. Without this: a token, or the keys that verify it, would travel in clear text.
    """
    parts = urlsplit(url)
    is_loopback = parts.hostname in _LOOPBACK_HOSTS
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback):
        raise ValueError(f"{what} must be an https URL (http is accepted on loopback only): {url!r}")
    if not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError(f"{what} must have a host and no userinfo, query or fragment: {url!r}")
    return url


def well_known_url(identifier: str, suffix: str) -> str:
    """The path-inserted well-known address of an identifier (RFC 8414 §3.1, RFC 9728 §3.1)."""
    parts = urlsplit(identifier)
    return f"{parts.scheme}://{parts.netloc}/.well-known/{suffix}{parts.path.rstrip('/')}"


class IssuerClient:
    """Fetches JSON from one issuer: no redirects, bounded time and size.

    `http` lets an application bring its own client (proxy, private CA); redirects stay off in any case.
    """

    def __init__(self, issuer: str, http: httpx2.Client | None = None) -> None:
        self.issuer = issuer
        # A proxy configured for the outside world must not see calls to an issuer on this machine.
        trust_env = urlsplit(issuer).hostname not in _LOOPBACK_HOSTS
        self._http = http or httpx2.Client(timeout=TIMEOUT_SECONDS, trust_env=trust_env)

    def get_metadata(self) -> dict[str, Any]:
        """The issuer's RFC 8414 metadata, accepted only when it names this issuer byte for byte.

        Raises IssuerUnavailable. Without the comparison: a mixed-up or planted document would make us trust
        somebody else's keys (RFC 8414 §3.3).
        """
        document = self._get_json(well_known_url(self.issuer, "oauth-authorization-server"))[0]
        if document.get("issuer") != self.issuer:
            raise IssuerUnavailable("The metadata names another issuer.")
        return document

    def get_key_set(self, url: str) -> tuple[dict[str, Any], int | None]:
        """The key set at `url` and the max-age of the answer in seconds, if it gave one."""
        return self._get_json(self._endpoint(url, "jwks_uri"))

    def introspect(self, url: str, client_id: str, client_secret: str, token: str) -> dict[str, Any]:
        """The RFC 7662 answer for `token`. Raises IssuerUnavailable."""
        auth = httpx2.BasicAuth(client_id, client_secret)
        form = {"token": token, "token_type_hint": "access_token"}
        return self._send("POST", self._endpoint(url, "introspection_endpoint"), form, auth)[0]

    def _get_json(self, url: str) -> tuple[dict[str, Any], int | None]:
        document, headers = self._send("GET", url)
        return document, _max_age(headers)

    def _send(
        self, method: str, url: str, form: Mapping[str, str] | None = None, auth: httpx2.Auth | None = None
    ) -> tuple[dict[str, Any], Mapping[str, str]]:
        try:
            request = self._http.build_request(method, url, data=form, headers={"Accept": "application/json"})
            response = self._http.send(request, auth=auth, stream=True, follow_redirects=False)
            try:
                if response.status_code != 200:
                    raise IssuerUnavailable(f"{url} answered {response.status_code}.")
                return _parse(_read_capped(response)), response.headers
            finally:
                response.close()
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, RecursionError) as error:
            raise IssuerUnavailable(f"{url}: {type(error).__name__}") from error

    def _endpoint(self, url: object, what: str) -> str:
        if not isinstance(url, str):
            raise IssuerUnavailable(f"The metadata has no {what}.")
        try:
            return require_safe_url(url, what)
        except ValueError as error:
            raise IssuerUnavailable(str(error)) from error


def _read_capped(response: httpx2.Response) -> bytes:
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > MAX_DOCUMENT_BYTES:
            raise IssuerUnavailable("The answer is too large.")
    return bytes(body)


def _parse(body: bytes) -> dict[str, Any]:
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return document


def _max_age(headers: Mapping[str, str]) -> int | None:
    for directive in headers.get("cache-control", "").split(","):
        name, _, value = directive.strip().partition("=")
        if name.lower() == "max-age" and value.isdigit():
            return int(value)
    return None

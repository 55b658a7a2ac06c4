"""Reads a provider's discovery document and accepts it only for the issuer that the connection names."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from idp_connectors.base import Deps
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.oidc.issuer_rule import discovery_address
from idp_connectors.remembered import get_remembered

MAX_DOCUMENT_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """The parts of a discovery document that a sign-in uses."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str
    sends_iss_in_response: bool
    end_session_endpoint: str = ""


def get_provider_metadata(issuer: str, deps: Deps, discovery_url: str = "") -> ProviderMetadata:
    """Return the checked metadata of `issuer`, remembered for an hour; raises ConnectorError.

    `discovery_url` says where the document is if it does not lie below the issuer.
    """
    url = discovery_address(issuer, discovery_url)
    # Without the address in the key: a connection that fetches the document elsewhere would choose the
    # endpoints of every other connection to the same issuer.
    return get_remembered(f"oidc-discovery:{issuer}:{url}", deps, lambda: _load(issuer, url, deps))


def fetch_object(url: str, deps: Deps, *, max_bytes: int, bearer: str = "") -> dict[str, Any]:
    """Return the JSON object at `url`; raises ConnectorError whatever goes wrong on the way."""
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
    try:
        found = deps.http.fetch_json(url, max_bytes=max_bytes, headers=headers)
    except Exception as error:
        # The way out is injected and has its own kinds of failure; for a sign-in they are all one.
        raise ConnectorError(
            ConnectorErrorCode.UPSTREAM_UNREACHABLE,
            "The identity provider could not be reached.",
            detail=f"GET {url}: {type(error).__name__}: {error}",
        ) from error
    if not isinstance(found, dict):
        raise ConnectorError(
            ConnectorErrorCode.UPSTREAM_UNREACHABLE,
            "The identity provider sent something unreadable.",
            detail=f"GET {url}: not a JSON object",
        )
    return found


def _load(issuer: str, url: str, deps: Deps) -> ProviderMetadata:
    return read_metadata(issuer, fetch_object(url, deps, max_bytes=MAX_DOCUMENT_BYTES))


def read_metadata(issuer: str, document: dict[str, Any]) -> ProviderMetadata:
    """Return the checked parts of a discovery document of `issuer`; raises ConnectorError."""
    # Without this: a document that names another issuer lets one provider speak for another
    # (OpenID Connect Discovery 4.3).
    if document.get("issuer") != issuer:
        raise ConnectorError(
            ConnectorErrorCode.DISCOVERY_INVALID,
            "The provider's discovery document names another issuer than the one configured.",
            detail=f"configured {issuer!r}, found {document.get('issuer')!r}",
            field="issuer",
        )
    return ProviderMetadata(
        issuer=issuer,
        authorization_endpoint=_endpoint(document, "authorization_endpoint", issuer),
        token_endpoint=_endpoint(document, "token_endpoint", issuer),
        jwks_uri=_endpoint(document, "jwks_uri", issuer),
        userinfo_endpoint=(
            _endpoint(document, "userinfo_endpoint", issuer) if document.get("userinfo_endpoint") else ""
        ),
        end_session_endpoint=_find_end_session(document, issuer),
        sends_iss_in_response=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _find_end_session(document: dict[str, Any], issuer: str) -> str:
    """Return where people sign out, or an empty string: a faulty address keeps nobody from signing in."""
    try:
        return _endpoint(document, "end_session_endpoint", issuer)
    except ConnectorError:
        return ""


def _endpoint(document: dict[str, Any], name: str, issuer: str) -> str:
    """Return one endpoint, which may use plain http only if the issuer itself does (development)."""
    value = document.get(name)
    allowed = {"https", urlsplit(issuer).scheme}
    if isinstance(value, str):
        parts = urlsplit(value)
        if parts.scheme in allowed and parts.hostname and not parts.fragment and parts.username is None:
            return value
    raise ConnectorError(
        ConnectorErrorCode.DISCOVERY_INVALID,
        f"The provider's discovery document has no usable {name}.",
        detail=f"{name} is {value!r}",
        field="issuer",
    )

"""Looks a provider up by its issuer before a connection exists: endpoints, keys, what it says it can do."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, get_args

from idp_connectors.base import Deps, MemoryCache
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.oidc.config import Algorithm, SignInSettings
from idp_connectors.oidc.discovery import MAX_DOCUMENT_BYTES, fetch_object, get_provider_metadata
from idp_connectors.oidc.issuer_rule import discovery_address
from idp_connectors.oidc.key_admission import admit_keys
from idp_connectors.preview import ProviderPreview

_SUFFIX = "/.well-known/openid-configuration"
_MAX_TEXT = 200


def discover(given: Mapping[str, Any], deps: Deps) -> ProviderPreview:
    """Return what the provider of `given["issuer"]` says of itself now; raises ConnectorError."""
    # What is copied most often is the address of the document itself.
    issuer = str(given.get("issuer", "")).strip().removesuffix(_SUFFIX)
    elsewhere = str(given.get("discovery_url", "") or "").strip()
    if not issuer:
        raise _refuse("Enter the issuer first.")
    # Nothing of an earlier look may stand in for this one.
    fresh = replace(deps, cache=MemoryCache())
    document = fetch_object(discovery_address(issuer, elsewhere), fresh, max_bytes=MAX_DOCUMENT_BYTES)
    named = document.get("issuer")
    if named != issuer:
        raise _refuse(
            f"The provider's document names the issuer {named!r:.{_MAX_TEXT}}. If that is yours, enter it so."
            if isinstance(named, str)
            else "The provider's document names no issuer."
        )
    found = get_provider_metadata(issuer, fresh, elsewhere)
    keys = admit_keys(fetch_object(found.jwks_uri, fresh, max_bytes=MAX_DOCUMENT_BYTES))
    methods = _texts(document, "token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    settings: dict[str, Any] = {"issuer": issuer}
    if "client_secret_basic" not in methods and "client_secret_post" in methods:
        settings["client_auth"] = "client_secret_post"
    return ProviderPreview(
        settings=settings,
        facts=(
            ("Issuer", issuer),
            ("Authorization endpoint", found.authorization_endpoint),
            ("Token endpoint", found.token_endpoint),
            ("Signing keys", f"{len(keys.keys)} usable, from {found.jwks_uri}"),
            ("Signs with", _words(document, "id_token_signing_alg_values_supported")),
            ("Scopes", _words(document, "scopes_supported")),
            ("Sign-out address", _text(document.get("end_session_endpoint")) or "none offered"),
        ),
        warnings=tuple(_warnings(document, methods)),
    )


def _warnings(document: Mapping[str, Any], methods: list[str]) -> Iterator[str]:
    offered = _texts(document, "id_token_signing_alg_values_supported")
    ours = SignInSettings.model_fields["allowed_algorithms"].default
    if offered and not set(offered) & set(ours):
        known = [one for one in offered if one in get_args(Algorithm)]
        yield (
            f"The provider signs with {', '.join(known)}. Tick that under Signature algorithms."
            if known
            else "The provider signs with no algorithm that is safe to accept."
        )
    if not set(methods) & {"client_secret_basic", "client_secret_post"}:
        yield "The provider takes no client secret at its token endpoint; connections sign in with one."


def _words(document: Mapping[str, Any], name: str) -> str:
    return ", ".join(_texts(document, name)[:20])[:_MAX_TEXT] or "not said"


def _texts(document: Mapping[str, Any], name: str) -> list[str]:
    found = document.get(name)
    return [_text(one) for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _text(value: Any) -> str:
    return value[:_MAX_TEXT] if isinstance(value, str) else ""


def _refuse(public: str) -> ConnectorError:
    return ConnectorError(ConnectorErrorCode.DISCOVERY_INVALID, public, field="issuer")

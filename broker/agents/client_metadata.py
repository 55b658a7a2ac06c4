"""What a client says of itself (RFC 7591 §2), read the same way from a document and from a registration.

Unknown members are ignored. A security feature that we do not offer is refused, never passed over: the
client would believe itself protected by it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from broker.agents.client_names import shown_name
from broker.agents.client_rules import (
    APPLICATION_TYPES,
    AUTH_METHODS,
    PUBLIC_GRANTS,
    SIGNING_ALGORITHMS,
    check_jwks,
)
from broker.agents.naming import check_scope_names
from broker.agents.options import ClientOptions
from broker.agents.redirect_uris import LOOPBACK_HOSTS, check_redirect_uri
from broker.kernel.egress import is_public
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove

MAX_REDIRECT_URIS = 20
MAX_URL_CHARS = 500
LINKS = ("client_uri", "logo_uri", "policy_uri", "tos_uri")
"""Addresses that say more about a client; nothing is read from them."""

_TEXTS = ("software_id", "software_version")
_BASIC, _CODE = "client_secret_basic", "authorization_code"
# Members that ask for a protection. Each holds what we can answer to it; any other value is refused.
_OFFERED: Mapping[str, tuple[Any, ...]] = {
    "subject_type": ("public",),
    "require_signed_request_object": (False,),
    "tls_client_certificate_bound_access_tokens": (False,),
    "backchannel_client_notification_endpoint": (),
    "request_object_signing_alg": (),
    "request_object_encryption_alg": (),
    "request_object_encryption_enc": (),
    "id_token_encrypted_response_alg": (),
    "id_token_encrypted_response_enc": (),
    "userinfo_signed_response_alg": (),
    "userinfo_encrypted_response_alg": (),
    "userinfo_encrypted_response_enc": (),
    "introspection_signed_response_alg": (),
    "introspection_encrypted_response_alg": (),
    "authorization_signed_response_alg": (),
    "authorization_encrypted_response_alg": (),
    "sector_identifier_uri": (),
}
# Protections that are an option of the client here, as far as they are built.
_OPTIONS = ("dpop_bound_access_tokens", "require_pushed_authorization_requests")
_HOST_PART = re.compile(r"[A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\]")


@dataclass(frozen=True, slots=True)
class Offered:
    """What this tenant can give a client; ``may_use_loopback`` is the development profile's relaxation."""

    grant_types: frozenset[str]
    id_token_algorithms: frozenset[str]
    may_use_loopback: bool = False


@dataclass(frozen=True, slots=True)
class ClientMetadata:
    """Checked metadata; ``scopes`` None asks for whatever may be had, ``about`` is told and not used."""

    name: str
    auth_method: str
    application_type: str
    redirect_uris: tuple[str, ...]
    grant_types: tuple[str, ...]
    scopes: frozenset[str] | None
    jwks: Mapping[str, Any] | None
    options: Mapping[str, Any]
    about: Mapping[str, Any]

    def as_said(self) -> dict[str, Any]:
        """Return the metadata under its RFC 7591 names, without what is absent."""
        said = {
            "client_name": self.name,
            "token_endpoint_auth_method": self.auth_method,
            "application_type": self.application_type,
            "redirect_uris": list(self.redirect_uris),
            "grant_types": list(self.grant_types),
            "response_types": ["code"] if _CODE in self.grant_types else [],
            "scope": " ".join(sorted(self.scopes)) if self.scopes is not None else None,
            "jwks": self.jwks,
            **self.options,
            **self.about,
        }
        return {name: value for name, value in said.items() if value is not None}


def read_metadata(
    given: Mapping[str, Any], offered: Offered, *, default_method: str = _BASIC, default_name: str = ""
) -> ClientMetadata:
    """Return the metadata of one client, checked.

    Raises ``Refusal``: ``invalid_redirect_uri``, ``unapproved_software_statement`` or
    ``invalid_client_metadata``.
    """
    _refuse_what_is_not_offered(given, offered)
    redirect_uris = _texts(given, "redirect_uris", MAX_REDIRECT_URIS)
    application_type = _application_type(given, redirect_uris)
    for uri in redirect_uris:
        _check_redirect(uri, application_type)
    jwks, options = _keys(given), _options(given, offered)
    has_keys = jwks is not None or "jwks_uri" in options
    method = _text(given, "token_endpoint_auth_method") or (
        "private_key_jwt" if has_keys and default_method == "none" else default_method
    )
    _check_method(method, has_keys)
    if method != "private_key_jwt":
        jwks = None
        options = {name: value for name, value in options.items() if name not in _KEY_OPTIONS}
    grants = _grant_types(given, offered, method)
    if _CODE in grants and not redirect_uris:
        raise refuse("redirect_uris", "authorization_code needs at least one", code=_REDIRECT)
    return ClientMetadata(
        name=shown_name(_text(given, "client_name"), default_name),
        auth_method=method,
        application_type=application_type,
        redirect_uris=tuple(redirect_uris) if _CODE in grants else (),
        grant_types=grants,
        scopes=_scopes(given),
        jwks=jwks,
        options=options,
        about=_about(given, offered),
    )


def refuse(field: str, why: str, *, code: ErrorCode = ErrorCode.INVALID_CLIENT_METADATA) -> Refusal:
    """Return the refusal of one member of the metadata."""
    return Refusal(code, f"{field}: {why}", reason=f"metadata_{field}", whose_move=WhoseMove.DEVELOPER)


_REDIRECT = ErrorCode.INVALID_REDIRECT_URI
_KEY_OPTIONS = ("jwks_uri", "token_endpoint_auth_signing_alg")


def check_link(field: str, url: str, *, may_use_loopback: bool = False) -> None:
    """Accept an https address that no part of ours could be meant by; raises ``Refusal``.

    A host that is given by number must be public. Names are judged when they are called. Without this: a
    document could point the broker, or the person who clicks, at a machine inside (CIMD-05, W10).
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise refuse(field, "is not an address") from None
    is_loopback = may_use_loopback and _bracketed(host) in LOOPBACK_HOSTS
    if parts.scheme != "https" and not (is_loopback and parts.scheme == "http"):
        raise refuse(field, "must be an https address")
    is_plain = url.isascii() and url.isprintable() and not re.search(r"[\s@\\<>\"{}|^`]", url)
    if not is_plain or len(url) > MAX_URL_CHARS or not _HOST_PART.fullmatch(_bracketed(host)):
        raise refuse(field, "holds a character that does not belong in it")
    if is_loopback:
        return
    # The last label of a name is never a number; 0x7f.1, 2130706433 and their kin are numbers (W10).
    is_number = ":" in host or host.rstrip(".").rpartition(".")[2][:1].isdigit()
    if (is_number and not is_public(host)) or host.rstrip(".").endswith(_INSIDE) or "." not in host + ":":
        raise refuse(field, "must not point at a private or local machine")


_INSIDE = ("localhost", ".local", ".internal", ".home.arpa")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _refuse_what_is_not_offered(given: Mapping[str, Any], offered: Offered) -> None:
    if "software_statement" in given:
        raise refuse("software_statement", "is not taken here", code=ErrorCode.UNAPPROVED_SOFTWARE_STATEMENT)
    for name, answers in _OFFERED.items():
        if given.get(name) not in (None, *answers):
            raise refuse(name, "is not offered here")
    known = {field.name for field in fields(ClientOptions)}
    for name in _OPTIONS:
        if name not in known and given.get(name) not in (None, False):
            raise refuse(name, "is not offered here")
    algorithm = given.get("id_token_signed_response_alg")
    if algorithm is not None and str(algorithm) not in offered.id_token_algorithms:
        raise refuse("id_token_signed_response_alg", "is not offered here")
    responses = _texts(given, "response_types", 10)
    if set(responses) - {"code"}:
        raise refuse("response_types", "only code is offered")


def _application_type(given: Mapping[str, Any], redirect_uris: list[str]) -> str:
    told = _text(given, "application_type")
    if told:
        if told not in APPLICATION_TYPES:
            raise refuse("application_type", "is web or native")
        return told
    # Clients of before 2026 do not say; what they ask for on loopback alone runs on a person's computer.
    is_local = bool(redirect_uris) and all(uri.startswith("http://") for uri in redirect_uris)
    return "native" if is_local else "web"


def _check_redirect(uri: str, application_type: str) -> None:
    try:
        check_redirect_uri(uri, application_type)
    except Refusal as refusal:
        raise Refusal(_REDIRECT, refusal.public, reason=refusal.reason) from None


def _check_method(method: str, has_keys: bool) -> None:
    if method not in AUTH_METHODS:
        raise refuse("token_endpoint_auth_method", f"is one of {', '.join(sorted(AUTH_METHODS))}")
    if method == "private_key_jwt" and not has_keys:
        raise refuse("jwks", "private_key_jwt needs jwks or jwks_uri")


def _keys(given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    jwks = given.get("jwks")
    if jwks is None:
        return None
    if not isinstance(jwks, dict) or not isinstance(jwks.get("keys"), list):
        raise refuse("jwks", "is an object with a list `keys`")
    if given.get("jwks_uri") is not None:
        raise refuse("jwks", "give jwks or jwks_uri, not both")
    try:
        check_jwks(jwks)
    except Refusal as refusal:
        raise refuse("jwks", refusal.public.removeprefix("jwks: ")) from None
    return {"keys": jwks["keys"]}


def _options(given: Mapping[str, Any], offered: Offered) -> dict[str, Any]:
    known = {field.name for field in fields(ClientOptions)}
    options: dict[str, Any] = {name: True for name in _OPTIONS if name in known and given.get(name) is True}
    jwks_uri = _text(given, "jwks_uri", MAX_URL_CHARS)
    if jwks_uri:
        check_link("jwks_uri", jwks_uri, may_use_loopback=offered.may_use_loopback)
        options["jwks_uri"] = jwks_uri
    if given.get("id_token_signed_response_alg") is not None:
        options["id_token_signed_response_alg"] = given["id_token_signed_response_alg"]
    algorithm = _text(given, "token_endpoint_auth_signing_alg")
    if algorithm:
        if algorithm not in SIGNING_ALGORITHMS:
            raise refuse("token_endpoint_auth_signing_alg", "is not offered here")
        options["token_endpoint_auth_signing_alg"] = algorithm
    return options


def _grant_types(given: Mapping[str, Any], offered: Offered, method: str) -> tuple[str, ...]:
    asked = _texts(given, "grant_types", 20) or [_CODE]
    may = offered.grant_types & PUBLIC_GRANTS if method == "none" else offered.grant_types
    grants = tuple(sorted(set(asked) & may))
    # A refresh token belongs to a code; by itself it opens nothing.
    if not set(grants) - {"refresh_token"}:
        raise refuse("grant_types", "none of them is open to this client here")
    return grants


def _scopes(given: Mapping[str, Any]) -> frozenset[str] | None:
    text = _text(given, "scope", 4000)
    if not text:
        return None
    scopes = frozenset(text.split(" ")) - {""}
    try:
        check_scope_names("scope", scopes)
    except Refusal as refusal:
        raise refuse("scope", refusal.public) from None
    return scopes


def _about(given: Mapping[str, Any], offered: Offered) -> dict[str, Any]:
    about: dict[str, Any] = {}
    for name in LINKS:
        url = _text(given, name, MAX_URL_CHARS)
        if url:
            check_link(name, url, may_use_loopback=offered.may_use_loopback)
            about[name] = url
    about |= {name: text for name in _TEXTS if (text := _text(given, name, 200))}
    if contacts := _texts(given, "contacts", 10):
        about["contacts"] = contacts
    return about


def _text(given: Mapping[str, Any], name: str, most: int = 200) -> str:
    value = given.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise refuse(name, f"is a text of at most {most} printable characters")
    return value


def _texts(given: Mapping[str, Any], name: str, most: int) -> list[str]:
    value = given.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > most or not all(isinstance(one, str) for one in value):
        code = _REDIRECT if "uri" in name else ErrorCode.INVALID_CLIENT_METADATA
        raise refuse(name, f"is a list of at most {most} texts", code=code)
    if any(len(one) > 2000 or not one.isprintable() for one in value):
        raise refuse(name, "holds something too long or unprintable")
    return list(dict.fromkeys(value))

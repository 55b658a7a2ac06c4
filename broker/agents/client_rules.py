"""What a client's registration must look like before it is stored, whoever registers it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker.agents.naming import check_scope_names
from broker.agents.redirect_uris import check_redirect_uri
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.tenants.spelling import did_you_mean

AUTH_METHODS = frozenset({"private_key_jwt", "client_secret_basic", "none", "trusted_assertion"})
APPLICATION_TYPES = frozenset({"web", "native"})
SIGNING_ALGORITHMS = frozenset({"ES256", "EdDSA", "PS256", "RS256"})
"""Algorithms that a client may sign its assertions with."""
MIN_SECRET_CHARS = 32
MAX_KEYS = 10

PUBLIC_GRANTS = frozenset({"authorization_code", "refresh_token"})
"""All that a client without authentication may ever use."""

_CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~\-]{0,199}")
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True)
class ClientDraft:
    """A client as it is to be stored; ``secret`` is plain here and only its keyed hash is kept."""

    client_id: str
    name: str
    auth_method: str
    agent_id: str | None = None
    resource_id: str | None = None
    secret: str | None = None
    jwks: Mapping[str, Any] | None = None
    redirect_uris: tuple[str, ...] = ()
    grant_types: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    application_type: str = "web"
    jwks_uri: str = ""


def check_client(
    draft: ClientDraft,
    known_grant_types: frozenset[str],
    *,
    has_secret: bool = False,
    is_document: bool = False,
) -> None:
    """Accept a client whose parts fit together; ``has_secret`` says that a secret is stored already.

    ``is_document`` says that its id is the address of its metadata, which was checked where it was read.

    Keys are looked at for their shape only; what they must withstand is checked where they are used.
    Raises ``Refusal(bad_configuration)``.
    """
    # Without this: a client that is declared here could take the name of one that lives elsewhere (CIMD-10).
    if not is_document and not _CLIENT_ID.fullmatch(draft.client_id):
        raise _refuse("client_id: letters, digits and . _ ~ - only, beginning with a letter or digit")
    _check_choice("auth_method", draft.auth_method, AUTH_METHODS)
    _check_choice("application_type", draft.application_type, APPLICATION_TYPES)
    for grant_type in draft.grant_types:
        _check_choice("grant_types", grant_type, known_grant_types)
    _check_credential(draft, has_secret)
    _check_flow(draft)
    check_scope_names("scopes", draft.scopes)
    for uri in draft.redirect_uris:
        check_redirect_uri(uri, draft.application_type)


def check_jwks(jwks: Mapping[str, Any]) -> None:
    """Accept a JWK set of public keys with unique ids; raises ``Refusal(bad_configuration)``."""
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not 0 < len(keys) <= MAX_KEYS:
        raise _refuse(f"jwks: needs a list `keys` of 1 to {MAX_KEYS} keys")
    seen: set[str] = set()
    for key in keys:
        if not isinstance(key, dict):
            raise _refuse("jwks: a key must be an object")
        # Without this: a private key that was pasted by mistake would rest in our database in clear.
        if _PRIVATE_MEMBERS & key.keys():
            raise _refuse("jwks: holds a private or symmetric key; give the public part only")
        if key.get("kty") not in {"EC", "RSA", "OKP"}:
            raise _refuse("jwks: a key must be of type EC, RSA or OKP")
        if key.get("use", "sig") != "sig":
            raise _refuse("jwks: a key must be for signing")
        kid = key.get("kid")
        if not isinstance(kid, str) or not kid or kid in seen:
            raise _refuse("jwks: each key needs its own `kid`")
        seen.add(kid)


def _check_credential(draft: ClientDraft, has_secret: bool) -> None:
    if draft.auth_method == "client_secret_basic":
        if draft.secret is None and not has_secret:
            raise _refuse("client_secret: is needed for client_secret_basic")
        if draft.secret is not None and len(draft.secret) < MIN_SECRET_CHARS:
            raise _refuse(f"client_secret: needs at least {MIN_SECRET_CHARS} characters")
    elif draft.secret is not None:
        raise _refuse(f"client_secret: has no use with {draft.auth_method}")
    if draft.auth_method == "private_key_jwt":
        if (draft.jwks is None) == (not draft.jwks_uri):
            raise _refuse("jwks: is needed for private_key_jwt, or else the option jwks_uri")
        if draft.jwks is not None:
            check_jwks(draft.jwks)
    elif draft.jwks is not None or draft.jwks_uri:
        raise _refuse(f"jwks: has no use with {draft.auth_method}")


def _check_flow(draft: ClientDraft) -> None:
    grants = set(draft.grant_types)
    # Without this: anybody who knows a public client's name could ask for tokens as its agent, or turn a
    # captured token into others.
    if draft.auth_method == "none" and grants - PUBLIC_GRANTS:
        raise _refuse("grant_types: without authentication only authorization_code and refresh_token")
    if "authorization_code" in grants and not draft.redirect_uris:
        raise _refuse("redirect_uris: authorization_code needs at least one")
    if draft.redirect_uris and "authorization_code" not in grants:
        raise _refuse("redirect_uris: have no use without the grant type authorization_code")
    if draft.agent_id and draft.resource_id:
        raise _refuse("a client belongs to an agent or to a resource, not to both")


def _check_choice(field: str, value: str, known: frozenset[str]) -> None:
    if value not in known:
        hint = did_you_mean(value, known) or f"; known are {', '.join(sorted(known))}"
        raise _refuse(f"{field}: {value!r} is not known{hint}")


def _refuse(why: str) -> Refusal:
    return Refusal(ErrorCode.BAD_CONFIGURATION, why, reason="bad_client", whose_move=WhoseMove.DEVELOPER)

"""Client authentication: exactly the one method that the client is registered for (RFC 6749 §2.3)."""

import base64
import binascii
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import orjson
from sqlalchemy import Connection

from broker.agents.snapshot import AgentsSnapshot, ClientView
from broker.kernel import replay
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.plain import PlainRequest
from broker.kernel.runtime import Runtime
from broker.oauth.params import Params
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.profiles import JwtProfile, admit_keys, verify_jwt

METHODS = ("private_key_jwt", "client_secret_basic", "none")
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_ALGORITHMS = frozenset({"ES256", "EdDSA", "PS256", "RS256"})
ASSERTION_MAX_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A client that proved who it is; ``spend`` marks its assertion used, inside the caller's transaction."""

    client: ClientView
    spend: Callable[[Connection], None]


def authenticate_client(
    rt: Runtime,
    tenant: TenantSnapshot,
    agents: AgentsSnapshot,
    request: PlainRequest,
    params: Params,
) -> Authenticated:
    """Return the client that sent ``request``.

    Raises ``Refusal(invalid_client)``; an unknown client and a wrong secret are told apart in the log only.
    """
    basic = request.headers.get("authorization", "")
    used = _methods_used(basic, params)
    if len(used) != 1:
        reason = "several_methods" if used else "no_credentials"
        raise Refusal(ErrorCode.INVALID_CLIENT, "Authenticate the client, in one way.", reason=reason)
    method = used[0]
    if method == "client_secret_basic":
        found = _by_secret(rt, agents, basic, params)
    elif method == "private_key_jwt":
        found = _by_assertion(tenant, agents, params, request.ctx)
    else:
        found = Authenticated(_registered(agents, params.require("client_id"), "none"), _nothing)
    if found.client.state != "active":
        raise _refused("client_disabled")
    return found


def _methods_used(authorization: str, params: Params) -> list[str]:
    used = []
    if authorization:
        used.append("client_secret_basic")
    if params.has("client_assertion") or params.has("client_assertion_type"):
        used.append("private_key_jwt")
    if params.has("client_secret"):
        # Secrets in the body are not offered: they end up in more logs than a header does.
        used.append("client_secret_post")
    return used or (["none"] if params.get("client_id") else [])


def _by_secret(rt: Runtime, agents: AgentsSnapshot, authorization: str, params: Params) -> Authenticated:
    scheme, _, encoded = authorization.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError("another scheme")
        decoded = base64.b64decode(encoded, validate=True).decode("ascii")
        client_id, colon, secret = decoded.partition(":")
        if not colon:
            raise ValueError("no colon")
    except (ValueError, binascii.Error):
        raise _refused("basic_malformed") from None
    client_id, secret = unquote_plus(client_id), unquote_plus(secret)
    given = rt.sealer.fingerprint("client_secret", secret)
    client = agents.client(client_id)
    expected = client.secret_hash if client and client.auth_method == "client_secret_basic" else None
    # The comparison is made for unknown clients too, so that time does not tell which ids exist (O34).
    is_right = hmac.compare_digest(given, expected or "0" * len(given))
    if client is None or expected is None or not is_right:
        raise _refused("wrong_secret" if client else "unknown_client")
    if params.get("client_id") not in {"", client_id}:
        raise _refused("client_id_differs")
    return Authenticated(client, _nothing)


def _by_assertion(
    tenant: TenantSnapshot, agents: AgentsSnapshot, params: Params, ctx: CallContext
) -> Authenticated:
    if params.get("client_assertion_type") != ASSERTION_TYPE:
        raise _refused("assertion_type")
    assertion = params.get("client_assertion")
    client = _registered(agents, _claimed_subject(assertion), "private_key_jwt")
    if params.get("client_id") not in {"", client.client_id}:
        raise _refused("client_id_differs")
    # RFC 10070: the audience is this issuer alone. Without this: an assertion that the client made for
    # another server (or that server itself) could log the client in here.
    profile = JwtProfile(
        typ=frozenset({"JWT", "client-authentication+jwt", ""}),
        algorithms=ASSERTION_ALGORITHMS,
        issuer=client.client_id,
        audience=frozenset({tenant.issuer}),
        max_age_seconds=ASSERTION_MAX_SECONDS,
        required=frozenset({"iss", "sub", "aud", "exp", "jti"}),
    )
    claims = _verified(assertion, profile, client, ctx)
    if not isinstance(claims["jti"], str):
        raise _refused("assertion_jti")
    key, expires_at = f"{client.client_id}|{claims['jti']}", int(claims["exp"]) + 120

    def spend(connection: Connection) -> None:
        # Without this: whoever sees one assertion could log in as the client until it expires
        # (GHSA-3p3g-vpw6-4w66).
        fresh = replay.spend(
            connection, kind="client_assertion", tenant_id=tenant.id, key=key, expires_at=expires_at
        )
        if not fresh:
            raise _refused("assertion_replayed")

    return Authenticated(client, spend)


def _verified(assertion: str, profile: JwtProfile, client: ClientView, ctx: CallContext) -> dict[str, Any]:
    try:
        return verify_jwt(assertion, profile, admit_keys(client.jwks or {}), now=ctx.now, skew=30)
    except Refusal as refusal:
        raise _refused(refusal.reason, refusal.detail) from refusal


def _claimed_subject(assertion: str) -> str:
    """Read the unverified subject, only to find whose keys must verify it."""
    try:
        payload = assertion.split(".")[1]
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        subject = claims["sub"]
    except (IndexError, KeyError, ValueError, TypeError):
        raise _refused("assertion_malformed") from None
    if not isinstance(subject, str):
        raise _refused("assertion_malformed")
    return subject


def _registered(agents: AgentsSnapshot, client_id: str, method: str) -> ClientView:
    client = agents.client(client_id)
    # Without this: a confidential client could be used by its id alone, as if it were public.
    if client is None or client.auth_method != method:
        raise _refused("unknown_client" if client is None else "other_method")
    return client


def _nothing(_: Connection) -> None:
    """A secret or a public client has nothing that is used up."""


def _refused(reason: str, detail: str = "") -> Refusal:
    return Refusal(
        ErrorCode.INVALID_CLIENT, "The client is unknown or not proven.", reason=reason, detail=detail
    )

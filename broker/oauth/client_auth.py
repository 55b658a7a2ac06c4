"""Client authentication: exactly the one method that the client is registered for (RFC 6749 §2.3)."""

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import orjson
from sqlalchemy import Connection

from broker.agents.client_rules import SIGNING_ALGORITHMS
from broker.agents.snapshot import AgentsSnapshot, ClientView, load_agents
from broker.kernel import replay
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.plain import PlainRequest
from broker.kernel.runtime import Runtime
from broker.oauth.client_resolution import ensure_client
from broker.oauth.foreign_jwts import JWT_BEARER, Workload, is_id_jag, verify_workload
from broker.oauth.key_sets import keys_at
from broker.oauth.params import Params
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.foreign_keys import AdmittedKey, admit_keys
from broker.tokens.profiles import JwtProfile, verify_jwt

TRUSTED_ASSERTION = "trusted_assertion"
"""A client that has no credential of its own: a workload entry says whose word counts for it."""
METHODS = ("private_key_jwt", "client_secret_basic", "none")
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_ALGORITHMS = SIGNING_ALGORITHMS
ASSERTION_MAX_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A client that proved who it is; ``spend`` marks its assertion used, inside the caller's transaction.

    ``agents`` is the snapshot in which it was found: newer than the caller's if the client just came.
    """

    client: ClientView
    spend: Callable[[Connection], None]
    agents: AgentsSnapshot
    evidence: Workload | None = None


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
        found = _by_assertion(rt, tenant, agents, params, request.ctx)
    elif method == TRUSTED_ASSERTION:
        found = _by_workload(rt, tenant, agents, params, params.require("assertion"), request.ctx)
    else:
        client_id = params.require("client_id")
        agents = _with_client(rt, tenant, agents, client_id, request.ctx)
        found = Authenticated(_registered(agents, client_id, "none"), _nothing, agents)
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
    if not used and params.get("grant_type") == JWT_BEARER and params.has("assertion"):
        # The platform vouches for its workload, which has no credential of its own (WIF-01).
        return [TRUSTED_ASSERTION]
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
    return Authenticated(client, _nothing, agents)


def _with_client(
    rt: Runtime, tenant: TenantSnapshot, agents: AgentsSnapshot, client_id: str, ctx: CallContext
) -> AgentsSnapshot:
    """Return a snapshot that knows a client which is an address, if it may be one here (CIMD-11)."""
    is_address = ensure_client(rt, tenant, client_id, ctx, is_hurried=True)
    return load_agents(rt, tenant.id) if is_address else agents


def _by_workload(
    rt: Runtime, tenant: TenantSnapshot, agents: AgentsSnapshot, params: Params, token: str, ctx: CallContext
) -> Authenticated:
    """Return the client that a platform's token stands for; the token is used up with the request."""
    # Without this: an ID-JAG, which a client only carries, would prove who the client is (IDJ-21).
    if is_id_jag(token):
        raise _refused("no_credentials")
    workload = verify_workload(rt, tenant, token, now=ctx.now)
    client = _registered(agents, workload.entry.config.client, TRUSTED_ASSERTION)
    if params.get("client_id") not in {"", client.client_id}:
        raise _refused("client_id_differs")
    return Authenticated(client, workload.mark.spend, agents, workload)


def _by_trusted_assertion(
    rt: Runtime, tenant: TenantSnapshot, agents: AgentsSnapshot, params: Params, token: str, ctx: CallContext
) -> Authenticated:
    """Return the client that a platform's token stands for, as the client's own assertion would."""

    def spend(connection: Connection) -> None:
        try:
            found.spend(connection)
        except Refusal as refusal:
            raise _refused("assertion_replayed") from refusal

    try:
        found = _by_workload(rt, tenant, agents, params, token, ctx)
    except Refusal as refusal:
        raise _refused(refusal.reason, refusal.detail) from refusal
    return Authenticated(found.client, spend, agents)


def _by_assertion(
    rt: Runtime, tenant: TenantSnapshot, agents: AgentsSnapshot, params: Params, ctx: CallContext
) -> Authenticated:
    if params.get("client_assertion_type") != ASSERTION_TYPE:
        raise _refused("assertion_type")
    assertion = params.get("client_assertion")
    subject = _claimed_subject(assertion)
    agents = _with_client(rt, tenant, agents, subject, ctx)
    if agents.client(subject) is None:
        # Not a client's own: a platform or an enterprise's identity provider may vouch for it (RFC 7521).
        return _by_trusted_assertion(rt, tenant, agents, params, assertion, ctx)
    client = _registered(agents, subject, "private_key_jwt")
    if params.get("client_id") not in {"", client.client_id}:
        raise _refused("client_id_differs")
    # RFC 10070: the audience is this issuer alone. Without this: an assertion that the client made for
    # another server (or that server itself) could log the client in here.
    algorithm = client.options.token_endpoint_auth_signing_alg
    profile = JwtProfile(
        typ=frozenset({"JWT", "client-authentication+jwt", ""}),
        algorithms=frozenset({algorithm}) if algorithm else ASSERTION_ALGORITHMS,
        issuer=client.client_id,
        audience=frozenset({tenant.issuer}),
        max_age_seconds=ASSERTION_MAX_SECONDS,
        required=frozenset({"iss", "sub", "aud", "exp", "jti"}),
    )
    keys = _keys_of(rt, tenant, client, assertion, ctx)
    claims = _verified(assertion, profile, keys, ctx)
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

    return Authenticated(client, spend, agents)


def _keys_of(
    rt: Runtime, tenant: TenantSnapshot, client: ClientView, assertion: str, ctx: CallContext
) -> Mapping[str, AdmittedKey]:
    """Return the client's keys: registered ones, or those at its address as they are published now."""
    if not client.options.jwks_uri:
        try:
            return admit_keys(client.jwks or {})
        except Refusal as refusal:
            raise _refused(refusal.reason, refusal.detail) from refusal
    kid = _unverified(assertion, 0).get("kid")
    return keys_at(rt, tenant.id, client.options.jwks_uri, kid if isinstance(kid, str) else None, ctx.now)


def _verified(
    assertion: str, profile: JwtProfile, keys: Mapping[str, AdmittedKey], ctx: CallContext
) -> dict[str, Any]:
    try:
        return verify_jwt(assertion, profile, keys, now=ctx.now, skew=30)
    except Refusal as refusal:
        raise _refused(refusal.reason, refusal.detail) from refusal


def _claimed_subject(assertion: str) -> str:
    """Read the unverified subject, only to find whose keys must verify it."""
    subject = _unverified(assertion, 1).get("sub")
    if not isinstance(subject, str):
        raise _refused("assertion_malformed")
    return subject


def _unverified(assertion: str, part: int) -> dict[str, Any]:
    try:
        segment = assertion.split(".")[part]
        members = orjson.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (IndexError, ValueError):
        raise _refused("assertion_malformed") from None
    if not isinstance(members, dict):
        raise _refused("assertion_malformed")
    return members


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

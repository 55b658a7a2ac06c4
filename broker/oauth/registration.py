"""Dynamic client registration (RFC 7591) behind the tenant's policy: off, by initial token, or open and held.

A client that registers again gets the row it has. What it says can never reach further than the policy;
members that we do not know are ignored, protections that we do not offer are refused.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from broker.agents.admission import Newcomer, admit, digest
from broker.agents.client_metadata import ClientMetadata, read_metadata
from broker.agents.models import Client, ClientRegistration
from broker.agents.redirect_uris import without_loopback_port
from broker.agents.registration_tokens import find_token, spend_token
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.ids import new_id, new_secret, sha256_hex
from broker.kernel.pace import Pace
from broker.kernel.plain import PlainReply, PlainRequest, json_reply
from broker.kernel.runtime import Runtime
from broker.kernel.versions import bump
from broker.oauth.client_resolution import offered
from broker.oauth.client_usage import is_used
from broker.tenants.snapshot import TenantSnapshot

MAX_BODY_BYTES = 16_384
MANAGEMENT_PREFIX = "brk_reg_"
"""Scanners of leaked secrets know registration access tokens by it."""

_NO_STORE = [("Cache-Control", "no-store"), ("Pragma", "no-cache")]
# An honest client registers once; a broken one is slowed down before it costs anything.
_per_address = Pace(30, 60)
_per_tenant = Pace(300, 60)


@dataclass(frozen=True, slots=True)
class Registered:
    """What a client is told of its registration; secrets are known only here and now."""

    client_id: str
    issued_at: int
    said: Mapping[str, Any]
    scopes: tuple[str, ...]
    secret: str | None = None
    management: str | None = None


def registration_endpoint(rt: Runtime, tenant: TenantSnapshot, request: PlainRequest) -> PlainReply:
    """Answer a registration (RFC 7591 §3): 201 with everything as it was registered.

    Raises ``Refusal``: ``access_denied`` where registration is off, ``invalid_token`` for a wrong initial
    access token, ``too_many_requests``, and those of ``read_metadata``.
    """
    policy, ctx = tenant.settings.onboarding, request.ctx
    if policy.registration == "off":
        raise Refusal(
            ErrorCode.ACCESS_DENIED, "Clients cannot register themselves here.", reason="registration_off"
        )
    # Without this: one caller could fill the tenant's room for clients before anybody looks (O49).
    if not (
        _per_address.may_go_on(f"{tenant.id} {ctx.ip}", ctx.now) and _per_tenant.may_go_on(tenant.id, ctx.now)
    ):
        raise Refusal(ErrorCode.TOO_MANY_REQUESTS, "Too many registrations; wait a minute.")
    given = read_object(request)
    token_id = _initial_token(rt, tenant, request)
    metadata = read_metadata(given, offered(rt, tenant))
    registered = _register(rt, tenant, metadata, token_id, ctx)
    return json_reply(201, document_of(tenant, registered), _NO_STORE)


def read_object(request: PlainRequest) -> Mapping[str, Any]:
    """Return the JSON object of a request; raises ``Refusal(invalid_client_metadata)`` or ``too_large``."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _malformed("Send the metadata as application/json.")
    if len(request.body) > MAX_BODY_BYTES:
        raise Refusal(ErrorCode.TOO_LARGE, "The metadata is too large.", reason="too_large")
    try:
        given = json.loads(request.body.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise _malformed("The metadata is not JSON, or names something twice.") from None
    if not isinstance(given, dict):
        raise _malformed("The metadata is not a JSON object.")
    return given


def bearer_of(request: PlainRequest) -> str:
    """Return the bearer token of a request, empty where it has none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def document_of(tenant: TenantSnapshot, registered: Registered) -> dict[str, Any]:
    """Return the answer of RFC 7591 §3.2.1: every registered value, under its own name."""
    document: dict[str, Any] = {
        "client_id": registered.client_id,
        "client_id_issued_at": registered.issued_at,
        **registered.said,
        "scope": " ".join(registered.scopes),
    }
    if registered.secret is not None:
        document |= {"client_secret": registered.secret, "client_secret_expires_at": 0}
    if registered.management is not None:
        document |= {
            "registration_access_token": registered.management,
            "registration_client_uri": f"{tenant.issuer}/register/{registered.client_id}",
        }
    return document


def _initial_token(rt: Runtime, tenant: TenantSnapshot, request: PlainRequest) -> str | None:
    """Return the id of the initial access token; None where the policy lets anybody register without one."""
    secret = bearer_of(request)
    if not secret and tenant.settings.onboarding.registration == "open":
        return None
    with rt.database.core_read() as connection:
        found = find_token(connection, tenant.id, secret, request.ctx.now)
    # Without this: whoever finds the address could become a client of the tenant.
    if found is None:
        raise invalid_token("initial_token")
    return found


def _register(
    rt: Runtime, tenant: TenantSnapshot, metadata: ClientMetadata, token_id: str | None, ctx: CallContext
) -> Registered:
    policy = tenant.settings.onboarding
    said_hash = _said_hash(metadata, token_id, ctx.ip)
    has_secret = metadata.auth_method == "client_secret_basic"
    newcomer = Newcomer(
        client_id=new_id("dcr"),
        source="dcr",
        metadata=metadata,
        said_hash=said_hash,
        is_verified=token_id is not None,
        is_held=token_id is None and policy.registration_quarantine,
        secret=new_secret() if has_secret else None,
        initial_token_id=token_id,
    )
    management = MANAGEMENT_PREFIX + new_secret()
    with rt.database.write(tenant.id) as session:
        known = _find(session, tenant.id, said_hash)
        if known is not None:
            again = _again(session, rt, tenant.id, known, newcomer, management, ctx)
            if again is not None:
                return again
            # Somebody uses the secret of the one that is known: this is another installation.
            newcomer = replace(newcomer, said_hash=digest({"client_id": newcomer.client_id}))
        if token_id is not None and not spend_token(session.connection(), tenant.id, token_id, ctx.now):
            raise invalid_token("initial_token_spent")
        newcomer = replace(newcomer, management_hash=sha256_hex(management))
        if not admit(session, rt, tenant, newcomer, ctx):
            # The same client registers at this very moment; it finds its row when it asks again.
            raise Refusal(ErrorCode.TEMPORARILY_UNAVAILABLE, "Try again in a moment.", reason="raced")
        return _told(session, tenant.id, newcomer, ctx.now, management)


def _said_hash(metadata: ClientMetadata, token_id: str | None, ip: str) -> str:
    """Return what makes a client the same as before.

    A client without a secret is what it says. One with a secret is that of whoever registered it. Without
    the latter: anybody could have the secret of another's client changed by saying the same.
    """
    said: dict[str, Any] = {"said": metadata.as_said()}
    if metadata.application_type == "native":
        # A program that listens on another port each time is the same program; the port is free anyway.
        said["uris"] = sorted(without_loopback_port(uri) for uri in metadata.redirect_uris)
        said["said"].pop("redirect_uris")
    if metadata.auth_method == "client_secret_basic":
        said["by"] = token_id or f"ip {ip}"
    return digest(said)


def _again(
    session: Session,
    rt: Runtime,
    tenant_id: str,
    known: ClientRegistration,
    newcomer: Newcomer,
    management: str,
    ctx: CallContext,
) -> Registered | None:
    """Return a client that registers again, in the row it has; None where that is in use by its secret."""
    row = session.get(Client, (tenant_id, known.client_id))
    if row is None:
        return None
    mine = replace(newcomer, client_id=known.client_id)
    if newcomer.secret is None:
        # Several hold this client now, so none of them may change it. Without this: whoever says the same
        # first could have the codes of all others sent to an address of their own.
        known.management_hash = None
        return _told(session, tenant_id, mine, known.created_at, None)
    if known.initial_token_id is None and is_used(session.connection(), tenant_id, known.client_id):
        return None
    row.secret_hash = rt.sealer.fingerprint("client_secret", newcomer.secret)
    known.management_hash = sha256_hex(management)
    session.flush()
    bump(session.connection(), tenant_id)
    return _told(session, tenant_id, mine, known.created_at, management)


def _told(
    session: Session, tenant_id: str, newcomer: Newcomer, issued_at: int, management: str | None
) -> Registered:
    scopes = session.scalar(
        select(Client.scopes).where(Client.tenant_id == tenant_id, Client.client_id == newcomer.client_id)
    )
    return Registered(
        newcomer.client_id,
        issued_at,
        newcomer.metadata.as_said(),
        tuple(scopes or ()),
        newcomer.secret,
        management,
    )


def _find(session: Session, tenant_id: str, said_hash: str) -> ClientRegistration | None:
    return session.scalar(
        select(ClientRegistration).where(
            ClientRegistration.tenant_id == tenant_id, ClientRegistration.said_hash == said_hash
        )
    )


def invalid_token(reason: str) -> Refusal:
    """Return the one answer to a missing, unknown, spent or ended token of registration."""
    return Refusal(ErrorCode.INVALID_TOKEN, "The registration needs a valid token.", reason=reason)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice")
    return members


def _malformed(public: str) -> Refusal:
    return Refusal(ErrorCode.INVALID_CLIENT_METADATA, public, reason="malformed")

"""A registered client looks after itself (RFC 7592): reads, replaces or deletes what it registered.

An update is held to the same rules as a registration and revives nothing that was stopped (O48).
"""

import hmac
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from broker.agents.admission import Newcomer, digest, remove_client
from broker.agents.client_metadata import read_metadata
from broker.agents.models import Client, ClientRegistration
from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.kernel.errors import ErrorCode, Refusal
from broker.kernel.ids import new_secret, sha256_hex
from broker.kernel.plain import PlainReply, PlainRequest, json_reply
from broker.kernel.runtime import Runtime
from broker.oauth.client_changes import end_what_it_holds, take_over
from broker.oauth.client_resolution import offered
from broker.oauth.registration import (
    MANAGEMENT_PREFIX,
    Registered,
    bearer_of,
    document_of,
    invalid_token,
    read_object,
)
from broker.tenants.snapshot import TenantSnapshot

METHODS = frozenset({"GET", "PUT", "DELETE"})

_NO_STORE = [("Cache-Control", "no-store"), ("Pragma", "no-cache")]


def management_endpoint(
    rt: Runtime, tenant: TenantSnapshot, request: PlainRequest, client_id: str
) -> PlainReply:
    """Answer GET, PUT or DELETE of one client's registration, for whoever has its token.

    Raises ``Refusal``: ``invalid_token`` for a wrong token and for a client that was stopped, else those of
    a registration.
    """
    registration = _authorized(rt, tenant, request, client_id)
    if request.method == "DELETE":
        return _delete(rt, tenant, request, client_id)
    if request.method == "PUT":
        return _replace(rt, tenant, request, registration)
    with rt.database.read(tenant.id) as session:
        row = _live_client(session, tenant.id, client_id)
        told = Registered(client_id, registration.created_at, registration.said, tuple(row.scopes))
    return json_reply(200, document_of(tenant, told), _NO_STORE)


def _authorized(
    rt: Runtime, tenant: TenantSnapshot, request: PlainRequest, client_id: str
) -> ClientRegistration:
    secret = bearer_of(request)
    if not secret.startswith(MANAGEMENT_PREFIX) or len(secret) > 100:
        raise invalid_token("no_management_token")
    with rt.database.write(tenant.id) as session:
        row = session.scalar(
            select(ClientRegistration).where(
                ClientRegistration.tenant_id == tenant.id,
                ClientRegistration.management_hash == sha256_hex(secret),
            )
        )
        is_abuse = row is not None and row.client_id != client_id
        if row is not None and is_abuse:
            # Somebody tries a client's token at another's address: the token is in wrong hands (RFC 7592 §3).
            row.management_hash = None
        session.flush()
        if row is not None:
            session.expunge(row)
    if row is None or is_abuse:
        raise invalid_token("management_token")
    return row


def _live_client(session: Session, tenant_id: str, client_id: str) -> Client:
    row = session.get(Client, (tenant_id, client_id))
    # Without this: a client that an administrator stopped could change itself and wait (O48).
    if row is None or row.state == "disabled":
        raise invalid_token("client_stopped")
    return row


def _replace(
    rt: Runtime, tenant: TenantSnapshot, request: PlainRequest, registration: ClientRegistration
) -> PlainReply:
    given, client_id, ctx = read_object(request), registration.client_id, request.ctx
    if given.get("client_id") != client_id:
        raise Refusal(
            ErrorCode.INVALID_CLIENT_METADATA,
            "client_id: must be given, and be the client's own.",
            reason="metadata_client_id",
        )
    metadata = read_metadata(given, offered(rt, tenant))
    management = MANAGEMENT_PREFIX + new_secret()
    with rt.database.write(tenant.id) as session:
        row = _live_client(session, tenant.id, client_id)
        is_secret_new = metadata.auth_method == "client_secret_basic" and row.secret_hash is None
        _require_own_secret(rt, row, given)
        newcomer = Newcomer(
            client_id=client_id,
            source="dcr",
            metadata=metadata,
            said_hash=digest({"client_id": client_id}),
            is_verified="unverified" not in row.options,
            secret=new_secret() if is_secret_new else None,
        )
        take_over(session, rt, tenant, newcomer, ctx)
        stored = session.get(ClientRegistration, (tenant.id, client_id))
        if stored is not None:
            stored.said_hash, stored.management_hash = newcomer.said_hash, sha256_hex(management)
        told_now = Registered(
            client_id,
            registration.created_at,
            metadata.as_said(),
            tuple(row.scopes),
            secret=newcomer.secret,
            management=management,
        )
    return json_reply(200, document_of(tenant, told_now), _NO_STORE)


def _require_own_secret(rt: Runtime, row: Client, given: Mapping[str, Any]) -> None:
    """A secret may be repeated and never chosen (RFC 7592 §2.2)."""
    if "client_secret" not in given:
        return
    told = rt.sealer.fingerprint("client_secret", str(given["client_secret"]))
    if not hmac.compare_digest(told, row.secret_hash or ""):
        raise Refusal(
            ErrorCode.INVALID_CLIENT_METADATA,
            "client_secret: is not the client's own; it cannot be chosen.",
            reason="metadata_client_secret",
        )


def _delete(rt: Runtime, tenant: TenantSnapshot, request: PlainRequest, client_id: str) -> PlainReply:
    """End everything that the client holds and forget it (RFC 7592 §2.3)."""
    with rt.database.write(tenant.id) as session:
        grants = end_what_it_holds(session, tenant.id, client_id, "client_deleted", request.ctx.now)
        remove_client(session, tenant.id, client_id)
        record(
            session.connection(),
            request.ctx,
            tenant_id=tenant.id,
            event=AuditEvent.CLIENT_REMOVED,
            writer_id=rt.writer_id,
            actor=ActorRef("client", client_id),
            target_id=client_id,
            client_id=client_id,
            data={"grants_ended": grants},
        )
    return PlainReply(204, b"", _NO_STORE)

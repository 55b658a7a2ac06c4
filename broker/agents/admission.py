"""Letting clients in that introduce themselves: what a tenant's policy makes of one, written once.

Everything here happens in the caller's transaction. Who may knock at all is for the caller to decide.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.orm import Session

from broker.agents.client_documents import host_of
from broker.agents.client_metadata import ClientMetadata
from broker.agents.models import Agent, Client, ClientRegistration
from broker.agents.naming import STANDARD_SCOPES
from broker.agents.registry import save_client
from broker.agents.snapshot import ClientView
from broker.audit.events import AuditEvent
from broker.audit.log import ActorRef, record
from broker.kernel.context import CallContext
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.ids import new_id, sha256_hex
from broker.kernel.runtime import Runtime
from broker.kernel.upsert import dialect_insert
from broker.kernel.versions import bump
from broker.tenants.onboarding import AgentTemplate, OnboardingPolicy
from broker.tenants.snapshot import TenantSnapshot

UNUSED_SECONDS = 86_400
"""A client that nobody used ends after a day."""
TURNED_AWAY_SECONDS = 30 * 86_400
"""A client that an administrator refused is remembered for so long."""
QUARANTINED = "quarantined"
"""The state of a client that may do nothing until an administrator releases it."""

_SYSTEM = ActorRef("system", "onboarding")


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A client as it introduced itself; ``said_hash`` is what makes it the same one the next time."""

    client_id: str
    source: Literal["cimd", "dcr"]
    metadata: ClientMetadata
    said_hash: str
    is_verified: bool
    is_held: bool = False
    secret: str | None = None
    management_hash: str | None = None
    initial_token_id: str | None = None
    fresh_until: int = 0


def digest(said: Mapping[str, Any]) -> str:
    """Return the hash by which a client that introduces itself again is known."""
    return sha256_hex(orjson.dumps(said, option=orjson.OPT_SORT_KEYS).decode())


def admit(
    session: Session, rt: Runtime, tenant: TenantSnapshot, newcomer: Newcomer, ctx: CallContext
) -> bool:
    """Write the client with the agent it acts as; False if another call wrote the same one just before.

    Raises ``Refusal``: ``temporarily_unavailable`` when the tenant keeps as many as it wants to, and
    ``bad_configuration`` where its policy names no agent and nobody who answers for one.
    """
    policy, connection = tenant.settings.onboarding, session.connection()
    _require_room(connection, tenant.id, policy)
    row = {
        "tenant_id": tenant.id,
        "client_id": newcomer.client_id,
        "source": newcomer.source,
        "said": newcomer.metadata.as_said(),
        "said_hash": newcomer.said_hash,
        "management_hash": newcomer.management_hash,
        "initial_token_id": newcomer.initial_token_id,
        "fresh_until": newcomer.fresh_until,
        "refresh_at": newcomer.fresh_until or None,
        "problem": "",
        "expires_at": ctx.now + UNUSED_SECONDS,
        "created_at": ctx.now,
    }
    insert = dialect_insert(connection)
    # Without this: two calls at once would make two agents of one client.
    if connection.execute(insert(ClientRegistration).values(**row).on_conflict_do_nothing()).rowcount != 1:
        return False
    agent_id = None
    if not newcomer.is_held:
        agent_id = _give_agent(session, tenant, newcomer.client_id, newcomer.metadata.name, ctx)
    write_client(session, rt, tenant, newcomer, ctx, agent_id=agent_id)
    record(
        connection,
        ctx,
        tenant_id=tenant.id,
        event=AuditEvent.CLIENT_CREATED,
        writer_id=rt.writer_id,
        actor=_SYSTEM,
        target_id=newcomer.client_id,
        client_id=newcomer.client_id,
        data={
            "source": newcomer.source,
            "state": QUARANTINED if newcomer.is_held else "active",
            "agent_id": agent_id or "",
            "auth_method": newcomer.metadata.auth_method,
            "redirect_uris": list(newcomer.metadata.redirect_uris),
            "grant_types": list(newcomer.metadata.grant_types),
        },
    )
    return True


def write_client(
    session: Session,
    rt: Runtime,
    tenant: TenantSnapshot,
    newcomer: Newcomer,
    ctx: CallContext,
    *,
    agent_id: str | None,
) -> None:
    """Write the client's own row as its metadata and the tenant's policy say."""
    metadata, template = newcomer.metadata, tenant.settings.onboarding.template
    given = {
        "name": metadata.name,
        "auth_method": metadata.auth_method,
        "jwks": metadata.jwks,
        "secret": newcomer.secret,
        "redirect_uris": list(metadata.redirect_uris),
        "grant_types": list(metadata.grant_types),
        "scopes": open_scopes(template, metadata),
        "application_type": metadata.application_type,
        "options": {**metadata.options, **({} if newcomer.is_verified else {"unverified": True})},
        **({"agent_id": agent_id} if agent_id else {}),
    }
    row, change = save_client(
        session,
        rt,
        tenant.id,
        newcomer.client_id,
        {name: value for name, value in given.items() if name != "secret" or value is not None},
        frozenset(metadata.grant_types),
        ctx.now,
        is_document=newcomer.source == "cimd",
    )
    if change is not None and change.action == "create" and newcomer.is_held:
        row.state = QUARANTINED
    session.flush()


def open_scopes(template: AgentTemplate, metadata: ClientMetadata) -> list[str]:
    """Return what the client may ask for: what it says it needs, and never beyond the policy."""
    most = frozenset(template.scopes) | STANDARD_SCOPES
    return sorted(most if metadata.scopes is None else most & metadata.scopes)


def release(session: Session, tenant: TenantSnapshot, client_id: str, ctx: CallContext) -> bool:
    """Let a held client go to work, as an agent if it has none yet; False if it is not held.

    Raises ``Refusal(bad_configuration)`` where the policy names no agent and nobody who answers for one.
    """
    row = session.get(Client, (tenant.id, client_id))
    if row is None or row.state != QUARANTINED:
        return False
    if row.agent_id is None:
        row.agent_id = _give_agent(session, tenant, client_id, row.name, ctx)
    row.state = "active"
    # Somebody of the tenant has looked at it now.
    row.options = {name: value for name, value in row.options.items() if name != "unverified"}
    session.flush()
    bump(session.connection(), tenant.id)
    return True


def turn_away(session: Session, tenant_id: str, client_id: str, now: int) -> bool:
    """Refuse a held client for thirty days, in which it cannot come again; False if it is not held."""
    row = session.get(Client, (tenant_id, client_id))
    registration = session.get(ClientRegistration, (tenant_id, client_id))
    if row is None or registration is None or row.state != QUARANTINED:
        return False
    row.state, row.cutoff_at = "disabled", now
    registration.expires_at, registration.management_hash = now + TURNED_AWAY_SECONDS, None
    session.flush()
    bump(session.connection(), tenant_id)
    return True


def _give_agent(session: Session, tenant: TenantSnapshot, client_id: str, name: str, ctx: CallContext) -> str:
    """Return the id of the agent that the client acts as: the policy's one, or one made for it."""
    template = tenant.settings.onboarding.template
    if template.agent:
        found = session.scalar(
            select(Agent.id).where(Agent.tenant_id == tenant.id, Agent.slug == template.agent)
        )
        if found is None:
            raise _incomplete(f"The policy names the agent {template.agent!r}, and there is none.")
        return found
    # Without this: agents would act here for which nobody answers.
    if template.owner == "contact" and not (template.contact_name and template.contact_email):
        raise _incomplete("The policy names nobody who answers for such clients.")
    agent = Agent(
        id=new_id("agt"),
        tenant_id=tenant.id,
        slug=_slug(client_id, name),
        name=name,
        description=f"Made for the client {client_id}"[:500],
        owner_name=template.contact_name if template.owner == "contact" else "",
        owner_email=template.contact_email if template.owner == "contact" else "",
        scopes=sorted(template.scopes),
        roles=sorted(template.roles),
        resources=sorted(template.resources),
        ttl_seconds=template.ttl_seconds,
        max_depth=template.max_depth,
        expires_at=ctx.now + template.expires_in_days * 86_400,
        created_at=ctx.now,
    )
    session.add(agent)
    session.flush()
    session.execute(
        update(ClientRegistration)
        .where(ClientRegistration.tenant_id == tenant.id, ClientRegistration.client_id == client_id)
        .values(made_agent_id=agent.id)
        .execution_options(synchronize_session=False)
    )
    return agent.id


def adopt_agent(session: Session, tenant_id: str, client: ClientView, name: str, email: str) -> None:
    """Make the first person who agrees the owner of an agent that nobody answers for yet."""
    if not client.agent_id or not email:
        return
    connection = session.connection()
    adopted = connection.execute(
        update(Agent)
        .where(Agent.tenant_id == tenant_id, Agent.id == client.agent_id, Agent.owner_email == "")
        .values(owner_name=name[:200], owner_email=email)
    ).rowcount
    if adopted:
        bump(connection, tenant_id)


def remove_client(session: Session, tenant_id: str, client_id: str) -> None:
    """Delete a client that introduced itself, and the agent that was made for it alone."""
    connection = session.connection()
    mine = (ClientRegistration.tenant_id == tenant_id, ClientRegistration.client_id == client_id)
    made = connection.execute(select(ClientRegistration.made_agent_id).where(*mine)).scalar()
    connection.execute(delete(ClientRegistration).where(*mine))
    connection.execute(delete(Client).where(Client.tenant_id == tenant_id, Client.client_id == client_id))
    if made is not None:
        connection.execute(delete(Agent).where(Agent.tenant_id == tenant_id, Agent.id == made))
    bump(connection, tenant_id)


def _require_room(connection: Connection, tenant_id: str, policy: OnboardingPolicy) -> None:
    kept = connection.execute(
        select(func.count()).select_from(ClientRegistration).where(ClientRegistration.tenant_id == tenant_id)
    ).scalar_one()
    # Without this: whoever can name addresses or post forms could fill the database (O49).
    if kept >= policy.max_clients:
        raise Refusal(
            ErrorCode.TEMPORARILY_UNAVAILABLE,
            "This organisation takes no more new applications at the moment.",
            reason="too_many_clients",
            whose_move=WhoseMove.ADMIN,
        )


def _slug(client_id: str, name: str) -> str:
    host = host_of(client_id) if "://" in client_id else name
    word = "".join(one if one.isascii() and one.isalnum() else "-" for one in host.lower())
    word = "-".join(part for part in word.split("-") if part)[:40].strip("-") or "client"
    return f"{word}-{sha256_hex(client_id)[:10]}"


def _incomplete(public: str) -> Refusal:
    return Refusal(
        ErrorCode.BAD_CONFIGURATION, public, reason="onboarding_incomplete", whose_move=WhoseMove.ADMIN
    )

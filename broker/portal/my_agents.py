"""One person's agents: what each may do, until when, and how it was used; only that person's records."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, func, select
from sqlalchemy.orm import Session

from broker.agents.snapshot import AgentsSnapshot, AgentView, load_agents
from broker.approvals.consents import ConsentView, list_consents
from broker.audit.events import AuditEvent
from broker.audit.models import AuditRecord
from broker.kernel.errors import ErrorCode, Refusal, WhoseMove
from broker.kernel.runtime import Runtime
from broker.tenants.snapshot import TenantSnapshot
from broker.web.token_trees import audience_name

USE_SECONDS = 30 * 86400
"""Uses are counted over thirty days."""

ENDED_SECONDS = 90 * 86400
"""Access that is over stays in the list for ninety days."""

_USES = (AuditEvent.TOKEN_ISSUED.value, AuditEvent.TOKEN_EXCHANGED.value)
_IDENTITY = {
    "openid": "Learn who you are",
    "profile": "See your name",
    "email": "See your e-mail address",
}


@dataclass(frozen=True, slots=True)
class Use:
    """How an agent used what one person allowed: when last, at which audience, how often in thirty days."""

    last_at: int | None = None
    last_audience: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True)
class MyAgent:
    """An agent to which a person gave a consent, and all consents of theirs for it, live ones first."""

    agent: AgentView
    consents: tuple[ConsentView, ...]
    live: tuple[ConsentView, ...]
    use: Use

    @property
    def is_live(self) -> bool:
        """Whether it may act for the person now."""
        return bool(self.live)

    @property
    def client_id(self) -> str:
        """The client that the newest consent was given to."""
        return max(self.consents, key=lambda one: one.given_at).client_id

    @property
    def scopes(self) -> frozenset[str]:
        """Every scope of the live consents."""
        return frozenset[str]().union(*(one.scopes for one in self.live))

    @property
    def resources(self) -> frozenset[str]:
        """Every resource of the live consents."""
        return frozenset[str]().union(*(one.resources for one in self.live))

    @property
    def ends_at(self) -> int:
        """When the last live consent runs out; for access that is over, when it ended."""
        if self.live:
            return max(one.expires_at for one in self.live)
        return max(_ended_at(one) for one in self.consents)


def list_my_agents(
    session: Session, rt: Runtime, tenant: TenantSnapshot, user_id: str, now: int
) -> list[MyAgent]:
    """Return every agent that the person ever consented to and that still exists, by name."""
    agents = load_agents(rt, tenant.id)
    given: dict[str, list[ConsentView]] = {}
    for consent in list_consents(session, tenant.id, user_id):
        if consent.agent_id:
            given.setdefault(consent.agent_id, []).append(consent)
    uses = _uses(session.connection(), tenant.id, user_id, list(given), now)
    found = [
        _my_agent(agent, consents, uses.get(agent.id, Use()), now)
        for agent_id, consents in given.items()
        if (agent := agents.agent(agent_id)) is not None
    ]
    return sorted(found, key=lambda one: (one.agent.name.casefold(), one.agent.id))


def get_my_agent(
    session: Session, rt: Runtime, tenant: TenantSnapshot, user_id: str, agent_id: str, now: int
) -> MyAgent:
    """Return one agent of the person's own list; raises ``Refusal(not_found)``.

    Without this: an id of somebody else's agent would tell that it exists, by another answer than a
    made-up one gets (T01).
    """
    for one in list_my_agents(session, rt, tenant, user_id, now):
        if one.agent.id == agent_id:
            return one
    raise Refusal(
        ErrorCode.NOT_FOUND, "No page has this address.", reason="not_my_agent", whose_move=WhoseMove.YOU
    )


def list_context(
    mine: Iterable[MyAgent], tenant: TenantSnapshot, agents: AgentsSnapshot, now: int
) -> dict[str, Any]:
    """Return the cards and the ended rows of ``portal/agents.html``."""
    mine = list(mine)
    ended = [one for one in mine if not one.is_live and one.ends_at > now - ENDED_SECONDS]
    return {
        "agents": [_card(one, tenant, agents, now) for one in mine if one.is_live],
        "ended": [
            {"name": one.agent.name, "ended_at": one.ends_at, "because": _why_ended(one, now)}
            for one in sorted(ended, key=lambda one: -one.ends_at)
        ],
    }


def agent_words(one: MyAgent, tenant: TenantSnapshot, agents: AgentsSnapshot, now: int) -> dict[str, Any]:
    """Return the facts about one agent that both pages show."""
    client = agents.client(one.client_id)
    hosts = [urlsplit(uri).hostname or "" for uri in client.redirect_uris] if client else []
    successors = [agents.agent(agent_id) for agent_id in sorted(one.agent.delegable_to)]
    return {
        "agent_id": one.agent.id,
        "name": one.agent.name,
        "owner_name": one.agent.owner_name,
        # Agents exist only because an administrator of this tenant declared them.
        "trust": "approved",
        "redirect_host": next((host for host in hosts if host), ""),
        "expires_at": one.ends_at,
        "last_used_at": one.use.last_at,
        "last_used_on": audience_name(one.use.last_audience, tenant, agents) if one.use.last_audience else "",
        "use_count": one.use.count,
        "sub_agents": sorted(agent.name for agent in successors if agent and agent.is_active(now)),
        "is_live": one.is_live,
        "client_id": one.client_id,
    }


def permission_groups(one: MyAgent, tenant: TenantSnapshot, agents: AgentsSnapshot) -> list[dict[str, Any]]:
    """Return what the agent may do in words, by resource; the tenant stands for the rest."""
    rest = set(one.scopes)
    groups = []
    for identifier in sorted(one.resources):
        resource = agents.resource(identifier)
        if resource is None:
            continue
        known = {name: scope for name, scope in resource.scopes.items() if name in one.scopes}
        rest -= known.keys()
        items = [_permission(name, scope.description, scope.effect) for name, scope in sorted(known.items())]
        groups.append(_group(resource.name, identifier, items))
    items = [_permission(name, _IDENTITY.get(name, name), "read") for name in sorted(rest)]
    groups.append(_group(tenant.name, tenant.issuer, items))
    return [group for group in groups if group["permissions"]]


def _my_agent(agent: AgentView, consents: list[ConsentView], use: Use, now: int) -> MyAgent:
    live = tuple(one for one in consents if one.is_live(now)) if agent.is_active(now) else ()
    return MyAgent(agent, tuple(consents), live, use)


def _card(one: MyAgent, tenant: TenantSnapshot, agents: AgentsSnapshot, now: int) -> dict[str, Any]:
    groups = permission_groups(one, tenant, agents)
    return {
        **agent_words(one, tenant, agents, now),
        "permissions": [item for group in groups for item in group["permissions"]],
    }


def _group(name: str, identifier: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"resource_name": name, "resource_identifier": identifier, "permissions": items}


def _permission(scope: str, sentence: str, kind: str) -> dict[str, Any]:
    return {"scope": scope, "sentence": sentence or scope, "kind": kind, "is_new": False}


def _ended_at(consent: ConsentView) -> int:
    return consent.expires_at if consent.withdrawn_at is None else consent.withdrawn_at


def _why_ended(one: MyAgent, now: int) -> str:
    if any(consent.is_live(now) for consent in one.consents):
        return "Your organization stopped it; your permission ends"
    last = max(one.consents, key=_ended_at)
    return "You revoked it" if last.withdrawn_at is not None else "It ran out"


def _uses(
    connection: Connection, tenant_id: str, user_id: str, agent_ids: list[str], now: int
) -> Mapping[str, Use]:
    rows = connection.execute(
        select(AuditRecord.agent_id, func.count(), func.max(AuditRecord.at))
        .where(
            AuditRecord.tenant_id == tenant_id,
            AuditRecord.subject_id == user_id,
            AuditRecord.agent_id.in_(agent_ids),
            AuditRecord.event.in_(_USES),
            AuditRecord.at > now - USE_SECONDS,
        )
        .group_by(AuditRecord.agent_id)
    )
    return {
        agent_id: Use(last_at, _last_audience(connection, tenant_id, user_id, agent_id, last_at), count)
        for agent_id, count, last_at in rows.all()
    }


def _last_audience(connection: Connection, tenant_id: str, user_id: str, agent_id: str, at: int) -> str:
    data = connection.execute(
        select(AuditRecord.data)
        .where(
            AuditRecord.tenant_id == tenant_id,
            AuditRecord.subject_id == user_id,
            AuditRecord.agent_id == agent_id,
            AuditRecord.event.in_(_USES),
            AuditRecord.at == at,
        )
        .order_by(AuditRecord.seq.desc())
        .limit(1)
    ).scalar()
    return str((data or {}).get("audience", ""))

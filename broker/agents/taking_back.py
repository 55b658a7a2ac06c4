"""What a tenant's policy no longer gives is taken from the clients that came before."""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from broker.agents.models import Agent, Client, ClientRegistration
from broker.agents.naming import STANDARD_SCOPES
from broker.kernel.versions import bump
from broker.tenants.onboarding import OnboardingPolicy


def narrow_to_policy(session: Session, tenant_id: str, policy: OnboardingPolicy) -> int:
    """Cut clients that introduced themselves, and their agents, to the policy; returns how many changed.

    What the policy adds counts for those that come later. Without this: an administrator would take a scope
    back, and whoever was let in earlier would keep it.
    """
    template, changed = policy.template, 0
    scopes = frozenset(template.scopes)
    of_agents = {
        "scopes": scopes,
        "roles": frozenset(template.roles),
        "resources": frozenset(template.resources),
    }
    of_clients = {"scopes": scopes | STANDARD_SCOPES, "grant_types": frozenset(policy.grant_types)}
    came = session.scalars(select(ClientRegistration).where(ClientRegistration.tenant_id == tenant_id))
    for one in came.all():
        client = session.get(Client, (tenant_id, one.client_id))
        agent = session.get(Agent, one.made_agent_id) if one.made_agent_id else None
        cuts = [_cut(client, of_clients), _cut(agent, of_agents)]
        changed += any(cuts)
    if changed:
        session.flush()
        bump(session.connection(), tenant_id)
    return changed


def _cut(row: Client | Agent | None, limits: Mapping[str, frozenset[str]]) -> bool:
    is_cut = False
    for name, limit in limits.items() if row is not None else ():
        before: list[str] = getattr(row, name)
        after = [one for one in before if one in limit]
        if after != before:
            setattr(row, name, after)
            is_cut = True
    return is_cut

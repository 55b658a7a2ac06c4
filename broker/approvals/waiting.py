"""What the sign-in pages may know about a waiting request; handed to them by the composition root."""

from broker.agents.snapshot import load_agents
from broker.approvals.interactions import load_interaction, release_session
from broker.kernel.errors import Refusal
from broker.kernel.runtime import Runtime
from broker.tenants.snapshot import TenantSnapshot
from idp_connectors.base import AskedProof


class WaitingInteractions:
    """Interactions as the sign-in pages see them: a name, and a way to say "not me"."""

    def agent_name(self, rt: Runtime, tenant: TenantSnapshot, handle: str, secret: str | None) -> str:
        """Return the name of the agent whose request waits in this browser, or an empty string."""
        with rt.database.read(tenant.id) as session:
            try:
                waiting = load_interaction(session, tenant.id, handle, secret, rt.clock.now())
            except Refusal:
                return ""
        agents = load_agents(rt, tenant.id)
        client = agents.client(waiting.client_id)
        agent = agents.agent_of(client) if client else None
        return agent.name if agent else client.name if client else ""

    def wanted_proof(
        self, rt: Runtime, tenant: TenantSnapshot, handle: str, secret: str | None
    ) -> AskedProof:
        """Return what the request that waits in this browser wants its sign-in to prove."""
        with rt.database.read(tenant.id) as session:
            try:
                asked = load_interaction(session, tenant.id, handle, secret, rt.clock.now()).request
            except Refusal:
                return AskedProof()
        return AskedProof(
            login="login" in asked.get("prompts", ()),
            max_age=asked.get("max_age"),
            acr_values=tuple(asked.get("acr_values", ())),
        )

    def release(
        self, rt: Runtime, tenant: TenantSnapshot, handle: str, secret: str | None, session_id: str
    ) -> bool:
        """Untie the browser's own undecided request from the session that signs out."""
        now = rt.clock.now()
        with rt.database.write(tenant.id) as session:
            try:
                load_interaction(session, tenant.id, handle, secret, now)
            except Refusal:
                return False
            return release_session(session, tenant.id, handle, session_id, now)

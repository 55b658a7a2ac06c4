"""What every grant and endpoint gets: who called whom, with what, and the tenant's state of this moment."""

from dataclasses import dataclass, field

from broker.agents.snapshot import AgentsSnapshot, AgentView, ClientView
from broker.kernel.context import CallContext
from broker.kernel.runtime import Runtime
from broker.oauth.dpop import Proof
from broker.oauth.params import Params
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.verified_cache import VerifiedAccessToken


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request to the token, introspection or revocation endpoint.

    ``evidence`` is what somebody else signed and was verified before the transaction began; ``verified``
    are the access tokens of ours that were, by their text.
    """

    rt: Runtime
    tenant: TenantSnapshot
    agents: AgentsSnapshot
    client: ClientView
    params: Params
    ctx: CallContext
    proof: Proof | None = None
    evidence: object | None = None
    verified: dict[str, VerifiedAccessToken] = field(default_factory=dict)

    @property
    def jkt(self) -> str:
        """The thumbprint of the key that the caller proved to hold, empty when it proved none."""
        return self.proof.jkt if self.proof else ""

    @property
    def agent(self) -> AgentView | None:
        """The agent whose client called, if it is an agent's."""
        return self.agents.agent(self.client.agent_id) if self.client.agent_id else None

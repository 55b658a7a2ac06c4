"""The kit that an agent uses to get, keep, hand over and end delegated tokens.

Owns: discovery from a resource's address, client authentication, sign-in with PKCE, refresh, exchange.
Does not own anything of the broker and imports none of it; any agent may call it.
"""

from broker.agent_client.authentication import PrivateKeyJwt, PublicClient, SecretBasic
from broker.agent_client.client import AgentClient
from broker.agent_client.dpop import DpopKey
from broker.agent_client.refusals import ConsentRequired, OAuthRefused
from broker.agent_client.store import MemoryStore, Tokens

__all__ = [
    "AgentClient",
    "ConsentRequired",
    "DpopKey",
    "MemoryStore",
    "OAuthRefused",
    "PrivateKeyJwt",
    "PublicClient",
    "SecretBasic",
    "Tokens",
]

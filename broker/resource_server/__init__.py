"""The kit that an MCP server or API uses to accept the broker's tokens.

Owns: verifying a token, RFC 9728 metadata, challenges and four adapters (Flask, WSGI, ASGI, the MCP SDK).
Does not own anything of the broker and imports none of it; any resource server may call it.
"""

from broker.resource_server.dpop import DpopPolicy, MemoryReplayMarks, ReplayMarks, RequestFacts
from broker.resource_server.refusals import TokenRefused
from broker.resource_server.server import ResourceServer
from broker.resource_server.values import Actor, ClientCredentials, SignIn, VerifiedToken

__all__ = [
    "Actor",
    "ClientCredentials",
    "DpopPolicy",
    "MemoryReplayMarks",
    "ReplayMarks",
    "RequestFacts",
    "ResourceServer",
    "SignIn",
    "TokenRefused",
    "VerifiedToken",
]

"""The demo's MCP server: three tools on the official SDK, protected by the kit with introspection on."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context

from broker.resource_server import ClientCredentials, ResourceServer, VerifiedToken
from broker.resource_server.asgi_adapter import AsgiApp
from broker.resource_server.mcp_adapter import ProtectedMcp, tool_token

READ, CREATE, STATUS = "tickets:read", "tickets:create", "service:status"
TOOL_SCOPES = {"list_tickets": [READ], "create_ticket": [CREATE], "service_status": [STATUS]}


@dataclass(frozen=True, slots=True)
class Ticket:
    """One ticket, and who made it through which agents."""

    number: int
    title: str
    created_for: str
    created_by: tuple[str, ...]


@dataclass(slots=True)
class TicketDesk:
    """The tickets, and the header names that the tools saw: a test proves what they did not see."""

    tickets: list[Ticket] = field(default_factory=list)
    seen_headers: set[str] = field(default_factory=set)
    _numbers: Callable[[], int] = field(default_factory=lambda: itertools.count(101).__next__)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def create(self, title: str, token: VerifiedToken) -> Ticket:
        """Add a ticket for the token's subject."""
        with self._lock:
            chain = tuple(actor.id for actor in token.chain)
            ticket = Ticket(self._numbers(), title, token.subject, chain)
            self.tickets.append(ticket)
            return ticket


def create_mcp_app(
    *, resource: str, issuer: str, introspection: ClientCredentials, desk: TicketDesk
) -> AsgiApp:
    """The protected ASGI application of the MCP server at `resource`."""
    starlette = _build_tools(desk).streamable_http_app(stateless_http=True, json_response=True)
    server = ResourceServer(
        resource=resource,
        issuer=issuer,
        scopes_supported=[READ, CREATE, STATUS],
        introspection=introspection,
        name="Ticket desk",
    )
    return ProtectedMcp(starlette, server, tool_scopes=TOOL_SCOPES)


def _build_tools(desk: TicketDesk) -> MCPServer:
    mcp = MCPServer("Ticket desk", log_level="ERROR")

    @mcp.tool()
    def list_tickets(context: Context) -> dict[str, Any]:
        """List the open tickets."""
        desk.seen_headers.update(_header_names(context))
        return {"for": tool_token(context).subject, "tickets": [ticket.title for ticket in desk.tickets]}

    @mcp.tool()
    def create_ticket(title: str, context: Context) -> dict[str, Any]:
        """Create a ticket."""
        desk.seen_headers.update(_header_names(context))
        ticket = desk.create(title, tool_token(context))
        return {"number": ticket.number, "for": ticket.created_for, "through": list(ticket.created_by)}

    @mcp.tool()
    def service_status() -> dict[str, Any]:
        """Say whether the desk is open; needs no person."""
        return {"status": "open"}

    return mcp


def _header_names(context: Context) -> set[str]:
    request = context.request_context.request
    return set() if request is None else set(request.headers)

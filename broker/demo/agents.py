"""Two agents as anybody could write them: the agent kit, and a call to an MCP tool."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from broker.agent_client import AgentClient, DpopKey
from broker.agent_client.authentication import ClientAuthentication
from broker.demo.wire import Recorder, recording_client

MCP_VERSION = "2025-06-18"


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What came back from an MCP server: the HTTP status, the tool's result, or the challenge."""

    status: int
    result: dict[str, Any]
    challenge: str = ""

    @property
    def is_allowed(self) -> bool:
        """Whether the tool ran."""
        return self.status == 200


class DemoAgent(AgentClient):
    """An agent that knows one address, its MCP server's; every byte that it receives is kept."""

    def __init__(
        self, *, name: str, authentication: ClientAuthentication, mcp_url: str, redirect_uri: str = ""
    ) -> None:
        self.name = name
        self.recorder = Recorder()
        self.recording = recording_client(self.recorder)
        super().__init__(
            mcp_url, authentication, redirect_uri=redirect_uri, dpop=DpopKey(), http=self.recording
        )

    def call_tool(self, token: str, tool: str, **arguments: Any) -> ToolAnswer:
        """Call a tool of the MCP server with ``token``."""
        call = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": tool, "arguments": arguments},
        }
        headers = {
            **self.headers("POST", token),
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": MCP_VERSION,
        }
        response = self.recording.post(self.resource, json=call, headers=headers)
        if response.status_code != 200:
            return ToolAnswer(response.status_code, {}, response.headers.get("www-authenticate", ""))
        return ToolAnswer(200, response.json()["result"].get("structuredContent", {}))


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a token for display; a client has no business relying on them (RFC 9068 §6)."""
    return _decode(token.split(".")[1])


def header_of(token: str) -> dict[str, Any]:
    """The header of a token for display, empty when there is no token."""
    return _decode(token.split(".")[0]) if token else {}


def _decode(segment: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    return value

"""An agent as a process of its own: the official MCP SDK, a registered client, a server's URL, nothing else.

It prints the address that its person must open and reads from its input the query of its callback, as
an application would. It logs everything that its libraries say, and stores what it has in its folder.
"""

import asyncio
import json
import logging
import os
import sys
from pathlib import Path
from urllib.parse import parse_qsl

import httpx2
from mcp import ClientSession
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

SERVER, CLIENT_ID, SECRET, CALLBACK = (
    os.environ[f"AGENT_{name}"] for name in ("SERVER", "ID", "SECRET", "CALLBACK")
)


class Storage:
    """Keeps tokens in a file, as an agent would."""

    async def get_tokens(self) -> OAuthToken | None:
        return None

    async def set_tokens(self, tokens: OAuthToken) -> None:
        Path("tokens.json").write_text(tokens.model_dump_json())

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return OAuthClientInformationFull.model_validate(
            {
                "client_id": CLIENT_ID,
                "client_secret": SECRET,
                "redirect_uris": [CALLBACK],
                "token_endpoint_auth_method": "client_secret_basic",
            }
        )

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        Path("client.json").write_text(client_info.model_dump_json())


async def show(url: str) -> None:
    """Tell the person where to go."""
    print(url, flush=True)


async def wait() -> AuthorizationCodeResult:
    """Read what came back to the callback."""
    answer = dict(parse_qsl((await asyncio.to_thread(sys.stdin.readline)).strip()))
    return AuthorizationCodeResult(code=answer["code"], state=answer["state"], iss=answer["iss"])


async def main() -> None:
    """Connect, call one tool, say what it answered."""
    provider = OAuthClientProvider(
        server_url=SERVER,
        client_metadata=OAuthClientMetadata.model_validate({"redirect_uris": [CALLBACK]}),
        storage=Storage(),
        redirect_handler=show,
        callback_handler=wait,
    )
    async with (
        httpx2.AsyncClient(auth=provider, timeout=30) as http,
        streamable_http_client(SERVER, http_client=http) as streams,
        ClientSession(streams[0], streams[1]) as session,
    ):
        await session.initialize()
        result = await session.call_tool("list_tickets", {})
    print(json.dumps(result.structured_content), flush=True)


logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
asyncio.run(main())

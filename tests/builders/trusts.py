"""The other parties that a scene's tenant deals with, and what they sign."""

from typing import Any

from broker.agents.trusts.registry import Place, save_trust
from broker.agents.trusts.snapshot import TrustsSnapshot, load_trusts
from tests.builders.oauth import Answer, Scene
from tests.builders.world import TOKEN_EXCHANGE

ID_JAG = "urn:ietf:params:oauth:token-type:id-jag"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"
REFRESH_TOKEN = "urn:ietf:params:oauth:token-type:refresh_token"
CHAT = "https://chat.example"
CHAT_RESOURCE = "https://mcp.chat.example/mcp"


def trust(scene: Scene, kind: str, slug: str, **config: Any) -> TrustsSnapshot:
    """Make or change one trust of the scene's tenant."""
    tenant = scene.tenant
    with scene.world.rt.database.write(tenant.id) as session:
        place = Place(tenant.id, tenant.issuer, scene.world.now)
        save_trust(session, place, slug, {"kind": kind, "name": slug.title(), "config": config})
    return load_trusts(scene.world.rt, tenant.id)


def target(scene: Scene, **changes: Any) -> TrustsSnapshot:
    """A chat service that takes our ID-JAGs: agent a may go there, to read."""
    config = {
        "issuer": CHAT,
        "aliases": ["urn:chat"],
        "clients": {"cli_a": "chat-client-7"},
        "agents": ["a"],
        "scopes": ["tickets:read", "tickets:write"],
        "resources": [CHAT_RESOURCE],
    }
    return trust(scene, "target", "chat", **{**config, **changes})


def target_id(scene: Scene) -> str:
    """The id of the scene's chat service, entered if it was not."""
    return target(scene).targets[CHAT].id


def signed_in(scene: Scene, client: str = "cli_a", scope: str = "openid tickets:read") -> dict[str, Any]:
    """What a client gets when Maya signs in and agrees: access, refresh and ID token."""
    return scene.redeem(scene.code(client, scope, nonce="n-1"), client).json


def ask_id_jag(scene: Scene, token: str, *, client: str = "cli_a", **changes: Any) -> Answer:
    """Ask for an ID-JAG for the chat service; None leaves a parameter out."""
    params = {
        "grant_type": TOKEN_EXCHANGE,
        "requested_token_type": ID_JAG,
        "subject_token": token,
        "subject_token_type": ID_TOKEN,
        "audience": CHAT,
        "resource": CHAT_RESOURCE,
        "scope": "tickets:read",
        **changes,
    }
    return scene.call("token", {k: v for k, v in params.items() if v is not None}, client=client)

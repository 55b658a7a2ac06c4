"""What the consent page says, made from the stored request and the registry; nothing comes from the browser.

What the person sees is what they grant: permissions are listed from ``preview["granted"]`` alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from markupsafe import Markup

from broker.agents.snapshot import AgentsSnapshot, AgentView, ClientView
from broker.approvals.consents import ClientUsage, ConsentView
from broker.approvals.interactions import stale
from broker.tenants.snapshot import TenantSnapshot
from broker.web.drawing import ChainEdge, ChainNode, draw_chain
from broker.web.formatting import absolute_time

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_IDENTITY = {
    "openid": "Learn who you are",
    "profile": "See your name",
    "email": "See your e-mail address",
}
"""The scopes of OpenID Connect in words; they belong to the tenant itself, not to a resource."""

_WHY = {
    "role": "Your groups do not give you this.",
    "agent": "This agent is not allowed to have it.",
    "client": "The application may not ask for it.",
    "resource": "The service does not offer it.",
    "consent": "It is more than was agreed to.",
    "parent": "It is more than was agreed to.",
    "request": "It was not asked for here.",
}
_WHY_NOT = "Your organization's rules do not allow it."


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything that the page is made of; ``now`` in epoch seconds."""

    tenant: TenantSnapshot
    agents: AgentsSnapshot
    client: ClientView
    agent: AgentView
    request: Mapping[str, Any]
    earlier: tuple[ConsentView, ...]
    usage: ClientUsage
    now: int

    @property
    def granted(self) -> list[str]:
        """The scopes that the person would grant: what the page lists and what is stored."""
        return list(self.request["preview"]["granted"])

    @property
    def resources(self) -> list[str]:
        """The resources that the person would open to the agent."""
        return list(self.request["resources"])


def find_asked(
    tenant: TenantSnapshot,
    agents: AgentsSnapshot,
    request: Mapping[str, Any],
    client_id: str,
    *,
    earlier: Iterable[ConsentView],
    usage: ClientUsage,
    now: int,
) -> Asked:
    """Return the parts of the page; raises ``Refusal(sign_in_expired)`` if agent or client is gone by now."""
    client = agents.client(client_id)
    agent = agents.agent_of(client) if client else None
    # Without this: a person could agree to what was stopped while they read.
    if client is None or agent is None or not client.is_active or not agent.is_active(now):
        raise stale("agent_stopped")
    live = tuple(one for one in earlier if one.is_live(now) and one.agent_id == agent.id)
    return Asked(tenant, agents, client, agent, request, live, usage, now)


def durations_of(asked: Asked) -> list[int]:
    """Return the durations that may be chosen (seconds), the recommended one first.

    None of them outlives the agent's own registration.
    """
    left = asked.agent.expires_at - asked.now
    offered = [min(choice, left) for choice in asked.tenant.settings.consent_choices_seconds]
    return list(dict.fromkeys(offered))


def page_context(asked: Asked, *, handle: str, via: str, error: str = "") -> dict[str, Any]:
    """Return the context of ``consent/ask.html``."""
    before = frozenset[str]().union(*(one.scopes for one in asked.earlier)) if asked.earlier else frozenset()
    return {
        "handle": handle,
        "agent": _agent_words(asked),
        "via": via,
        "permissions": _permissions(asked, before),
        "already_granted": bool(asked.earlier),
        "refused": _refused(asked),
        "durations": [
            {"seconds": seconds, "is_recommended": index == 0}
            for index, seconds in enumerate(durations_of(asked))
        ],
        "cap_words": _cap_words(asked),
        "renews": "refresh_token" in asked.client.grant_types,
        "hand_over": _hand_over(asked),
        "technical": [
            {"label": "Client ID", "value": asked.client.client_id},
            {"label": "Redirect URI", "value": asked.request["redirect_uri"]},
            {"label": "Resources", "value": ", ".join(asked.resources)},
        ],
        "raw_scopes": list(asked.request["scopes"]),
        "error": error,
    }


def _agent_words(asked: Asked) -> dict[str, Any]:
    target = urlsplit(asked.request["redirect_uri"])
    is_device = asked.request["redirect_uri"] == f"{asked.tenant.issuer}/device/done"
    # Of a client that is an address, the host is all that is proven; its name is its own choice (O51).
    client_host = urlsplit(asked.client.client_id).netloc if asked.client.is_document else ""
    return {
        "name": asked.agent.name,
        "owner_name": asked.agent.owner_name,
        "owner_email": asked.agent.owner_email,
        # Others exist only because an administrator of this tenant declared, listed or released them.
        "trust": "unverified" if asked.client.options.unverified else "approved",
        "client_host": client_host,
        "client_name": asked.client.name if asked.client.name != asked.agent.name else "",
        "redirect_host": "the device" if is_device else target.hostname or f"{target.scheme}:",
        "is_loopback": target.hostname in _LOOPBACK and not is_device,
        "first_seen_at": asked.usage.first_seen_at,
        "people_count": asked.usage.people,
    }


def _permissions(asked: Asked, before: frozenset[str]) -> list[dict[str, Any]]:
    groups = []
    rest = set(asked.granted)
    for identifier in asked.resources:
        resource = asked.agents.resource(identifier)
        if resource is None:
            continue
        items = [
            _item(name, resource.scopes[name].description, resource.scopes[name].effect, before)
            for name in asked.granted
            if name in resource.scopes
        ]
        rest -= resource.scopes.keys()
        groups.append(
            {"resource_name": resource.name, "resource_identifier": identifier, "permissions": items}
        )
    if rest:
        # Whatever no resource describes is still shown, by its own name: granted is never more than shown.
        items = [_item(name, _IDENTITY.get(name, name), "read", before) for name in sorted(rest)]
        issuer = asked.tenant.issuer
        groups.append(
            {"resource_name": asked.tenant.name, "resource_identifier": issuer, "permissions": items}
        )
    return [group for group in groups if group["permissions"]]


def _item(name: str, sentence: str, effect: str, before: frozenset[str]) -> dict[str, Any]:
    return {"scope": name, "sentence": sentence or name, "kind": effect, "is_new": name not in before}


def _refused(asked: Asked) -> list[dict[str, str]]:
    return [
        {
            "scope": dropped["value"],
            "sentence": _sentence_of(asked, dropped["value"]),
            "why": _WHY.get(dropped["by"], _WHY_NOT),
        }
        for dropped in asked.request["preview"]["dropped"]
    ]


def _sentence_of(asked: Asked, scope: str) -> str:
    for identifier in asked.resources:
        resource = asked.agents.resource(identifier)
        if resource is not None and scope in resource.scopes:
            return resource.scopes[scope].description or scope
    return _IDENTITY.get(scope, scope)


def _cap_words(asked: Asked) -> str:
    left = asked.agent.expires_at - asked.now
    if left >= max(asked.tenant.settings.consent_choices_seconds):
        return ""
    return f"{asked.agent.name} itself is registered until {absolute_time(asked.agent.expires_at)} only."


def _hand_over(asked: Asked) -> dict[str, Any] | None:
    successors = [asked.agents.agent(agent_id) for agent_id in sorted(asked.agent.delegable_to)]
    able = [one for one in successors if one is not None and one.is_active(asked.now)]
    if not able:
        return None
    names = sorted(one.name for one in able)
    others = names[0] if len(names) == 1 else f"{len(names)} agents"
    nodes = [ChainNode("person", "You"), ChainNode("agent", asked.agent.name), ChainNode("agent", others)]
    scopes = tuple(asked.granted)
    # What the next agents may have at most; the rest stays with this one.
    further = frozenset[str]().union(*(one.scopes for one in able))
    passes = tuple(scope for scope in scopes if scope in further)
    if not passes:
        return None
    picture: Markup = draw_chain(nodes, [ChainEdge(passes=scopes), ChainEdge(passes=passes)])
    return {"names": names, "chain_svg": picture}

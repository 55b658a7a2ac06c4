"""Which resource a request means (RFC 8707): exactly one per access token, and only a known, active one."""

import re
from dataclasses import replace

from broker.agents.snapshot import AgentView, ClientView
from broker.agents.trusts.snapshot import TargetView
from broker.kernel.errors import ErrorCode, Refusal
from broker.oauth.calls import Call
from broker.policy.values import Ceiling, ResourceView

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)(.*)", re.DOTALL)
IDENTITY_SCOPES = frozenset({"openid", "profile", "email"})
"""Scopes of OpenID Connect; for an access token they count at the tenant's own userinfo endpoint only."""


def asked_resource(call: Call) -> str | None:
    """Return the one resource that the request names, None when it names none.

    ``audience`` is read as a resource identifier (RFC 8693 §2.1). Raises ``Refusal(invalid_target)`` when
    several are named: one token, one audience.
    """
    named = tuple(
        dict.fromkeys(canonical(one) for one in (*call.params.all("resource"), *call.params.all("audience")))
    )
    if len(named) > 1:
        raise Refusal(ErrorCode.INVALID_TARGET, "Ask for one resource at a time.", reason="several_resources")
    return named[0] if named else None


def canonical(identifier: str) -> str:
    """Return a resource indicator in its one spelling: place in lower case, no slash alone (RI-06)."""
    found = _ADDRESS.fullmatch(identifier)
    if found is None:
        return identifier
    place, rest = found.groups()
    return place.lower() + ("" if rest == "/" else rest)


def find_target(call: Call, identifier: str) -> ResourceView | None:
    """Return the limits of a resource of this tenant, or None when there is no active one of that name."""
    if identifier == call.tenant.issuer:
        settings = call.tenant.settings
        return ResourceView(
            identifier, IDENTITY_SCOPES, frozenset(), settings.access_ttl_seconds, settings.max_depth
        )
    found = call.agents.resource(identifier)
    return found.limits if found is not None and found.is_active else None


def ceiling_at(call: Call, agent: AgentView, identifier: str, target: TargetView | None = None) -> Ceiling:
    """Return the agent's ceiling; identity scopes at the tenant's own userinfo need no admin's word.

    A ``target`` counts as a resource of the agents that its entry names, and of no others.
    """
    ceiling = agent.ceiling
    if target is not None:
        reach = {target.config.issuer} if agent.slug in target.config.agents else set()
        return replace(ceiling, resources=frozenset(reach))
    if identifier != call.tenant.issuer:
        return ceiling
    return Ceiling(
        ceiling.scopes | IDENTITY_SCOPES,
        ceiling.roles,
        ceiling.resources | {identifier},
        ceiling.ttl_seconds,
        ceiling.max_depth,
    )


def client_scopes(client: ClientView) -> frozenset[str]:
    """Return what the client may ask for; identity scopes are open to every client of a person's flow."""
    return client.scopes | IDENTITY_SCOPES

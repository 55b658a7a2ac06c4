"""The one rule by which a token becomes a narrower token (protocols §6.2).

Every limit is a set; what is granted is their intersection, so the order of limits cannot change the result.
The order below decides only which limit is named as the first that refused.
"""

from collections.abc import Mapping

from broker.policy.delegation import depth_after, extend_chain, may_extend
from broker.policy.values import (
    Actor,
    Ceiling,
    Delegated,
    Denial,
    Dropped,
    DroppedBy,
    DroppedKind,
    Parent,
    ResourceView,
    TenantLimits,
    Wish,
)

_Limit = tuple[DroppedBy, frozenset[str]]


def narrow(
    *,
    parent: Parent,
    actor: Actor | None,
    agent: Ceiling | None,
    client: frozenset[str],
    resource: ResourceView | None,
    wish: Wish,
    live_roles: frozenset[str],
    role_scopes: Mapping[str, frozenset[str]],
    role_gated: frozenset[str],
    tenant: TenantLimits,
    now: int,
) -> Delegated | Denial:
    """Return what a child of `parent` may carry, or why there can be none (protocols §6.2, §6.3).

    Args: `actor` is who will present the child (None: nobody joins the chain) and `agent` its ceiling (None
    only where no agent acts at all); `client` the scopes that the OAuth client may have; `resource` what the
    caller found for `wish.resource`, or its default, None when there is none; `live_roles` the roles that the
    person holds now; `role_scopes` the scopes of each role; `role_gated` every scope that any role of the
    tenant carries, which therefore needs such a role; `now` in epoch seconds.
    """
    refused = _target_denial(parent, agent, resource, wish) or _actor_denial(parent, actor, agent)
    if refused or resource is None:
        return refused or _unknown_target()
    max_depth = min(tenant.max_depth, resource.max_depth, *([agent.max_depth] if agent else []))
    refused = may_extend(
        parent.chain,
        actor,
        depth=parent.depth,
        max_depth=max_depth,
        delegable=parent.delegable,
        delegable_to=parent.delegable_to,
    )
    if refused:
        return refused
    depth = depth_after(parent.chain, actor, depth=parent.depth)
    expires_at = _expiry(parent, agent, resource, wish, tenant.ttl_at(depth), now)
    if isinstance(expires_at, Denial):
        return expires_at
    roles, dropped_roles = _narrow_roles(parent, agent, resource, live_roles)
    wanted = parent.scopes if wish.scopes is None else wish.scopes
    carried = frozenset[str]().union(*(role_scopes.get(role, frozenset()) for role in roles))
    ungated = wanted - role_gated.union(*role_scopes.values())
    scopes, dropped_scopes = _narrow_scopes(parent, agent, client, resource, wanted, carried | ungated)
    if wanted and not scopes:
        return Denial("invalid_scope", "nothing_left", "None of the requested scopes can be granted.")
    return Delegated(
        scopes=scopes,
        roles=roles,
        resource=resource.identifier,
        expires_at=expires_at,
        depth=depth,
        chain=extend_chain(parent.chain, actor),
        dropped=dropped_scopes + dropped_roles,
    )


def _unknown_target() -> Denial:
    return Denial("invalid_target", "unknown_resource", "The requested resource is not available.")


def _target_denial(
    parent: Parent, agent: Ceiling | None, resource: ResourceView | None, wish: Wish
) -> Denial | None:
    """Refuse a resource that is unknown, not the one asked for, or outside a ceiling, in the same words."""
    if resource is None:
        return _unknown_target()
    # Without this: the caller's default resource answers a request that named another one (A28).
    if wish.resource is not None and wish.resource != resource.identifier:
        return _unknown_target()
    # Without this: a misled agent asks for a token for the attacker's resource and gets it (A31).
    allowed = parent.resources if agent is None else parent.resources & agent.resources
    if resource.identifier not in allowed:
        return Denial("invalid_target", "resource_not_allowed", _unknown_target().public)
    return None


def _actor_denial(parent: Parent, actor: Actor | None, agent: Ceiling | None) -> Denial | None:
    """Refuse a chain for which nobody supplied the ceiling of the agent that acts."""
    # Without this: a caller that forgets the ceiling issues an agent's token without any.
    if agent is None and (actor is not None or parent.chain):
        return Denial("actor_unauthorized", "ceiling_missing", "This agent may not act here.")
    return None


def _expiry(
    parent: Parent,
    agent: Ceiling | None,
    resource: ResourceView,
    wish: Wish,
    tenant_ttl_seconds: int,
    now: int,
) -> int | Denial:
    """Return the earliest of all ends in epoch seconds; a child never outlives its parent (A32)."""
    if wish.ttl_seconds is not None and wish.ttl_seconds <= 0:
        return Denial("invalid_request", "lifetime_not_positive", "The requested lifetime is not valid.")
    ttls = [tenant_ttl_seconds, resource.ttl_seconds]
    if agent:
        ttls.append(agent.ttl_seconds)
    if wish.ttl_seconds is not None:
        ttls.append(wish.ttl_seconds)
    expires_at = min(parent.expires_at, now + min(ttls))
    if expires_at <= now:
        return Denial("invalid_grant", "no_lifetime_left", "The permission behind this request has ended.")
    return expires_at


def _narrow_scopes(
    parent: Parent,
    agent: Ceiling | None,
    client: frozenset[str],
    resource: ResourceView,
    wanted: frozenset[str],
    by_roles: frozenset[str],
) -> tuple[frozenset[str], tuple[Dropped, ...]]:
    limits: list[_Limit] = [(parent.source, parent.scopes)]
    if agent:
        limits.append(("agent", agent.scopes))
    # Without the last limit: a scope that a role carries outlives the membership that gave the role (A10).
    limits += [("client", client), ("resource", resource.scopes), ("role", by_roles)]
    return _intersect("scope", wanted, limits)


def _narrow_roles(
    parent: Parent, agent: Ceiling | None, resource: ResourceView, live_roles: frozenset[str]
) -> tuple[frozenset[str], tuple[Dropped, ...]]:
    """Roles cannot be asked for: the candidates are those of the parent and those the person holds now."""
    limits: list[_Limit] = [(parent.source, parent.roles)]
    if agent:
        limits.append(("agent", agent.roles))
    # Without the last limit: a role outlives the membership that gave it (A10).
    limits += [("resource", resource.roles), ("role", live_roles)]
    return _intersect("role", parent.roles | live_roles, limits)


def _intersect(
    kind: DroppedKind, wanted: frozenset[str], limits: list[_Limit]
) -> tuple[frozenset[str], tuple[Dropped, ...]]:
    """Split `wanted` into what every limit allows and what the first limit in order refused."""
    granted: set[str] = set()
    dropped: list[Dropped] = []
    for value in sorted(wanted):
        by = next((name for name, allowed in limits if value not in allowed), None)
        if by is None:
            granted.add(value)
        else:
            dropped.append(Dropped(kind, value, by))
    return frozenset(granted), tuple(dropped)

"""What administrators see of resources: every scope, what it needs, and how many agents may go there."""

from typing import Any

from broker.admin.changes import Desk
from broker.agents.snapshot import load_agents
from broker.directory.roles import load_roles
from broker.tokens.reading import last_issued_by_audience


def list_resources(desk: Desk) -> list[dict[str, Any]]:
    """Return the tenant's resources by name, as ``admin/resources.html`` shows them."""
    known = load_agents(desk.rt, desk.tenant.id)
    gated = load_roles(desk.rt, desk.tenant.id).role_gated
    with desk.rt.database.core_read() as connection:
        used = last_issued_by_audience(connection, desk.tenant.id)
    return [
        {
            "identifier": one.identifier,
            "name": one.name,
            "state": one.state,
            "scopes": [
                {
                    "name": name,
                    "sentence": scope.description,
                    "kind": scope.effect,
                    "needs_role": name in gated,
                }
                for name, scope in sorted(one.scopes.items())
            ],
            "ttl_seconds": one.ttl_seconds,
            "agents_count": sum(one.identifier in agent.resources for agent in known.agents.values()),
            "last_used_at": used.get(one.identifier),
        }
        for one in sorted(known.resources.values(), key=lambda one: (one.name.casefold(), one.identifier))
    ]

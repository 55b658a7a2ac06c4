"""Where does this person sign in? By e-mail domain, or by choosing one of the tenant's connections."""

from broker.tenants.snapshot import ConnectionView, TenantSnapshot

MOST_BUTTONS = 5
"""With more connections than this, people type their e-mail address instead of searching a list."""

_KIND_WORDS = {"oidc": "OpenID Connect", "saml": "SAML", "ldap": "User name and password"}


def domain_of(email: str) -> str:
    """Return the domain of an e-mail address in lower case, or an empty string."""
    local, _, domain = email.strip().rpartition("@")
    return domain.rstrip(".").lower() if local else ""


def find_connections(tenant: TenantSnapshot, email: str) -> tuple[ConnectionView, ...]:
    """Return the active connections that an address leads to; several may serve one domain, or none.

    The address only chooses a door: who somebody is, the provider behind the door says.
    """
    domain = domain_of(email)
    return tenant.connections_for(domain) if domain else ()


def offered_connections(tenant: TenantSnapshot) -> tuple[ConnectionView, ...]:
    """Return the active connections that are shown as buttons, by name; none where they are too many."""
    active = _active(tenant)
    if len(active) <= MOST_BUTTONS:
        return active
    return tuple(one for one in active if not one.domains)[:MOST_BUTTONS]


def asks_email(tenant: TenantSnapshot) -> bool:
    """Whether an address can help: there is more than one connection, and some have domains."""
    active = _active(tenant)
    return len(active) > 1 and any(one.domains for one in active)


def kind_words(connection: ConnectionView) -> str:
    """Return the connection's protocol as people know it."""
    return _KIND_WORDS.get(connection.kind, connection.kind)


def _active(tenant: TenantSnapshot) -> tuple[ConnectionView, ...]:
    active = [one for one in tenant.connections.values() if one.is_active]
    return tuple(sorted(active, key=lambda one: (one.name, one.slug)))

"""Addresses of a connection, built from configuration; each connection has its own callback (O16)."""

from dataclasses import dataclass

from broker.tenants.snapshot import ConnectionView, TenantSnapshot

POSTED_ANSWERS = frozenset({"saml"})
"""Kinds of connection whose provider posts its answer; all others bring it in a query."""


@dataclass(frozen=True, slots=True)
class ConnectionAddresses:
    """What a provider is told about us: where to answer a sign-in, and what we are called in SAML.

    At ``sign_out_url`` it tells that people left; to ``signed_out_url`` it sends those who left here.
    """

    callback_url: str
    entity_id: str
    sign_out_url: str
    signed_out_url: str


def addresses_of(tenant: TenantSnapshot, connection: ConnectionView) -> ConnectionAddresses:
    """Return the connection's addresses under the tenant's issuer, never from the Host header (W07).

    Without one callback per connection: a malicious provider could pass another one's answer off as
    its own (mix-up, RFC 9700 §4.4).
    """
    base = f"{tenant.issuer}/{connection.kind}/{connection.slug}"
    answer = "acs" if connection.kind in POSTED_ANSWERS else "callback"
    # SAML has one address for both directions of a sign-out.
    told, done = ("slo", "slo") if connection.kind in POSTED_ANSWERS else ("backchannel-logout", "signed-out")
    return ConnectionAddresses(
        callback_url=f"{base}/{answer}",
        entity_id=f"{base}/metadata",
        sign_out_url=f"{base}/{told}",
        signed_out_url=f"{base}/{done}",
    )

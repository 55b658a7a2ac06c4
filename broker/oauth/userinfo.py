"""Userinfo (OpenID Connect Core §5.3): the person's claims, for a token meant for this very endpoint."""

from broker.kernel.errors import Refusal
from broker.kernel.plain import PlainReply, PlainRequest, json_reply
from broker.kernel.runtime import Runtime
from broker.oauth.own_token import challenge, require_own_token
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.id_tokens import person_claims


def userinfo_endpoint(rt: Runtime, tenant: TenantSnapshot, request: PlainRequest) -> PlainReply:
    """Answer GET and POST with a token in the header; challenges as RFC 6750 §3 and RFC 9449 §7.1 say."""
    try:
        verified = require_own_token(rt, tenant, request, "userinfo")
    except Refusal as refusal:
        return challenge(rt, tenant, refusal, request)
    scopes = frozenset(str(verified.claims["scope"]).split())
    with rt.database.core_read() as connection:
        claims = person_claims(connection, tenant.id, str(verified.claims["sub"]), scopes)
    return json_reply(200, claims)

"""The agent discovery document: what a downstream agent or MCP server can expect of this tenant's tokens.

Pointers and capabilities only. Whatever RFC 8414 metadata says too is copied from there (DISC-01), and a
client that ignores this document loses nothing that OAuth or MCP require (DISC-02).
"""

from typing import Any, get_args

from broker.discovery.metadata import server_metadata
from broker.kernel.runtime import Runtime
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.access import MAX_TOKEN_CHARS
from broker.tokens.keys import signing_algorithms
from idp_connectors.base import GroupsState

MAX_AGE_SECONDS = 300
SCHEMA_PATH = "/schemas/agent-broker-configuration-1.json"

_CLAIMS = {
    "iss": (True, "rfc9068"),
    "sub": (True, "rfc9068"),
    "aud": (True, "rfc9068"),
    "exp": (True, "rfc9068"),
    "iat": (True, "rfc9068"),
    "jti": (True, "rfc9068"),
    "client_id": (True, "rfc9068"),
    "scope": (True, "rfc8693"),
    "cnf": (False, "rfc9449"),
    "act": (False, "rfc8693"),
    "may_act": (False, "rfc8693"),
    "roles": (False, "rfc9068"),
    "auth_time": (False, "rfc9068"),
    "acr": (False, "rfc9068"),
    "amr": (False, "rfc9068"),
    "sid": (False, "openid-connect"),
    "txn": (True, "rfc8417"),
    "sub_profile": (True, "entity-profiles"),
    "dlg": (True, "private"),
}
_REGISTRATION = {"off": "closed", "initial_token": "token", "open": "open"}
_VERIFICATION = (
    "size",
    "typ",
    "alg",
    "kid",
    "signature",
    "iss",
    "aud",
    "exp",
    "cnf",
    "act",
    "scope",
    "introspection",
)


def agent_document(rt: Runtime, tenant: TenantSnapshot, *, now: int) -> dict[str, Any]:
    """Return the public view; ``now`` (epoch seconds) dates it."""
    metadata = server_metadata(rt, tenant)
    settings = tenant.settings
    exchange = metadata["actor_profile_token_exchange"]
    return {
        "version": "1.0",
        "issuer": tenant.issuer,
        "document_uri": metadata["agent_broker_configuration"],
        "schema": f"{rt.settings.public_url}{SCHEMA_PATH}",
        "updated_at": now,
        "expires_at": now + MAX_AGE_SECONDS,
        "oauth_authorization_server": (
            f"{rt.settings.public_url}/.well-known/oauth-authorization-server/t/{tenant.slug}"
        ),
        "openid_configuration": f"{tenant.issuer}/.well-known/openid-configuration",
        "jwks_uri": metadata["jwks_uri"],
        "token_profile": {
            "typ": "at+jwt",
            "algs": signing_algorithms(rt, tenant.id, "access"),
            "access_token_formats": ["jwt"],
            "max_chars": MAX_TOKEN_CHARS,
            "claims": {
                name: {"required": is_required, "source": source}
                for name, (is_required, source) in _CLAIMS.items()
            },
            "private_claim": "dlg",
            "group_provenance": {"claim": "dlg.groups", "states": list(get_args(GroupsState))},
        },
        "delegation": {
            "profile": "actor-profile",
            "max_chain_depth": settings.max_depth,
            "min_supported_depth": 1,
            "subject_token_types": exchange["subject_token_types_supported"],
            "actor_token_types": exchange["actor_token_types_supported"],
            "requested_token_types": exchange["requested_token_types_supported"],
            "narrowing": {"scope": "subset", "roles": "subset", "audience": "subset", "lifetime": "subset"},
            "max_lifetime_s": {"root": settings.access_ttl_seconds, "child": settings.deep_ttl_seconds},
            "impersonation": False,
            "task_end_endpoint": f"{tenant.issuer}/end_task",
        },
        "client_onboarding": {
            "pre_registration": True,
            "cimd": metadata.get("client_id_metadata_document_supported", False),
            "dcr": _REGISTRATION[settings.onboarding.registration],
        },
        "revocation": {
            "endpoint": metadata["revocation_endpoint"],
            "introspection": True,
            "introspection_endpoint": metadata["introspection_endpoint"],
            "max_propagation_s": {"introspection": 1, "offline": settings.access_ttl_seconds},
        },
        "verification": list(_VERIFICATION),
    }

"""Authorization-server metadata (RFC 8414) and OpenID discovery from one generator.

Both well-known documents are the same object: a client that reads either finds the same truth (ASM-04).
"""

from typing import Any

from broker.agents.trusts.snapshot import load_trusts
from broker.kernel.runtime import Runtime
from broker.oauth.authorization_request import RESPONSE_MODES
from broker.oauth.basis import (
    ACCESS_TOKEN_TYPE,
    ID_JAG_TYPE,
    ID_TOKEN_TYPE,
    PERSONAL_TOKEN_TYPE,
    REFRESH_TOKEN_TYPE,
    SAML2_TYPE,
)
from broker.oauth.client_auth import ASSERTION_ALGORITHMS, METHODS
from broker.oauth.device import DEVICE_CODE
from broker.oauth.dpop import ALGORITHMS as DPOP_ALGORITHMS
from broker.oauth.foreign_jwts import JWT_BEARER
from broker.oauth.grants import GRANTS
from broker.oauth.targets import IDENTITY_SCOPES
from broker.tenants.snapshot import TenantSnapshot
from broker.tokens.keys import signing_algorithms

ID_JAG_PROFILE = "urn:ietf:params:oauth:grant-profile:id-jag"
AGENT_DOCUMENT = "agent-broker-configuration"


def server_metadata(rt: Runtime, tenant: TenantSnapshot) -> dict[str, Any]:
    """Return the metadata of the tenant's issuer: what is enabled, and nothing about people or resources."""
    issuer = tenant.issuer
    has_devices = tenant.settings.device_flow
    proven = [method for method in METHODS if method != "none"]
    algorithms = sorted(ASSERTION_ALGORITHMS)
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "jwks_uri": f"{issuer}/jwks",
        **_onboarding(tenant),
        **({"device_authorization_endpoint": f"{issuer}/device_authorization"} if has_devices else {}),
        "introspection_endpoint": f"{issuer}/introspect",
        "revocation_endpoint": f"{issuer}/revoke",
        "end_session_endpoint": f"{issuer}/logout",
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "pushed_authorization_request_endpoint": f"{issuer}/par",
        "require_pushed_authorization_requests": tenant.settings.require_pushed_authorization_requests,
        "scopes_supported": sorted(IDENTITY_SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": list(RESPONSE_MODES),
        "grant_types_supported": _grant_types(rt, tenant),
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "token_endpoint_auth_methods_supported": list(METHODS),
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": proven,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": list(METHODS),
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "dpop_signing_alg_values_supported": list(DPOP_ALGORITHMS),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": signing_algorithms(rt, tenant.id, "id"),
        "claims_supported": ["sub", "name", "email", "email_verified", "auth_time", "acr", "amr", "sid"],
        **_acr_values(tenant),
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "actor_profile_token_exchange": _exchanges(rt, tenant),
        "entity_profiles_supported": {"subject": ["user", "ai_agent"], "actor": ["ai_agent"]},
        **_chaining(rt, tenant),
        "agent_broker_configuration": f"{issuer}/.well-known/{AGENT_DOCUMENT}",
    }


def _exchanges(rt: Runtime, tenant: TenantSnapshot) -> dict[str, list[str]]:
    """Return what can be exchanged for what in this tenant; ID-JAGs where there is somebody to take them."""
    trusts = load_trusts(rt, tenant.id)
    subjects, requested = [ACCESS_TOKEN_TYPE], [ACCESS_TOKEN_TYPE]
    if tenant.settings.personal_token_days:
        subjects.append(PERSONAL_TOKEN_TYPE)
    if trusts.targets or trusts.subjects:
        subjects.append(ID_TOKEN_TYPE)
    if trusts.targets:
        subjects.append(REFRESH_TOKEN_TYPE)
        requested.append(ID_JAG_TYPE)
    if any(one.config.recipient for one in trusts.subjects):
        subjects.append(SAML2_TYPE)
    return {
        "subject_token_types_supported": subjects,
        "actor_token_types_supported": [ACCESS_TOKEN_TYPE],
        "requested_token_types_supported": requested,
    }


def _chaining(rt: Runtime, tenant: TenantSnapshot) -> dict[str, list[str]]:
    """Return which introductions between domains are given; never to or from whom (ID-JAG §7)."""
    trusts = load_trusts(rt, tenant.id)
    told: dict[str, list[str]] = {}
    if trusts.targets:
        told["identity_chaining_requested_token_types_supported"] = [ID_JAG_TYPE]
    if trusts.issuers:
        told["authorization_grant_profiles_supported"] = [ID_JAG_PROFILE]
    return told


def _grant_types(rt: Runtime, tenant: TenantSnapshot) -> list[str]:
    """Return the grant types that can lead to a token here: an assertion needs somebody who may sign it."""
    trusts = load_trusts(rt, tenant.id)
    takes_assertions = bool(trusts.issuers or trusts.workloads)
    offered = {JWT_BEARER: takes_assertions, DEVICE_CODE: tenant.settings.device_flow}
    return [name for name in GRANTS if offered.get(name, True)]


def _onboarding(tenant: TenantSnapshot) -> dict[str, Any]:
    """Return how clients introduce themselves, as far as the tenant lets any do so."""
    policy = tenant.settings.onboarding
    found: dict[str, Any] = {}
    if policy.registration != "off":
        found["registration_endpoint"] = f"{tenant.issuer}/register"
    if policy.cimd != "off":
        found["client_id_metadata_document_supported"] = True
    return found


def _acr_values(tenant: TenantSnapshot) -> dict[str, list[str]]:
    """Return what the active connections can be asked to prove (RFC 9470 §4); nothing where none can."""
    active = [one.config for one in tenant.connections.values() if one.is_active]
    values = sorted({str(value) for config in active for value in config.get("step_up_values", ())})
    return {"acr_values_supported": values} if values else {}

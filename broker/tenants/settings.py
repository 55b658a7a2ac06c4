"""What a tenant may set for itself: limits of its tokens, grants and consents, all with safe defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from broker.policy.values import TenantLimits
from broker.tenants.checked import checked
from broker.tenants.onboarding import OnboardingPolicy

MAX_GRANT_SECONDS = 30 * 86400
"""No consent and no grant outlives thirty days, whatever a tenant asks for."""

MAX_DEPTH = 8
"""No delegation chain is longer, whatever a tenant, agent or resource allows."""

SigningAlgorithm = Literal["ES256", "EdDSA", "PS256", "RS256"]
"""What a tenant's keys can sign with."""

_GrantSeconds = Annotated[int, Field(strict=True, ge=300, le=MAX_GRANT_SECONDS)]


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """A tenant's limits; lifetimes in seconds. A tenant stores only what differs from these defaults."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    max_depth: Annotated[int, Field(strict=True, ge=1, le=MAX_DEPTH)] = 4
    """Most actors in one delegation chain."""
    fan_out: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 32
    """Most live children of one token."""
    tree_limit: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 200
    """Most tokens derived from one grant that live at once."""
    access_ttl_seconds: Annotated[int, Field(strict=True, ge=60, le=3600)] = 600
    """Longest life of an access token."""
    deep_ttl_seconds: Annotated[int, Field(strict=True, ge=30, le=900)] = 300
    """Longest life of an access token from depth 2 on."""
    code_ttl_seconds: Annotated[int, Field(strict=True, ge=10, le=60)] = 60
    """Life of an authorization code."""
    refresh_ttl_seconds: _GrantSeconds = 36_000
    """Life of one refresh token; each use gives a new one, never beyond its grant."""
    grant_ttl_seconds: _GrantSeconds = 7 * 86400
    """Longest life of a grant that no person's choice bounds."""
    consent_choices_seconds: Annotated[tuple[_GrantSeconds, ...], Field(min_length=1, max_length=6)] = (
        3600,
        28_800,
        MAX_GRANT_SECONDS,
    )
    """The durations that the consent page offers; the first is chosen unless the person picks another."""
    personal_token_days: Annotated[int, Field(strict=True, ge=0, le=30)] = 30
    """Longest life of a personal access token, in days; 0 means that people can make and use none."""
    provider_sign_out_ends: Literal["session", "session_and_grants"] = "session"
    """What ends when an identity provider signs somebody out: their browser session here, or also what
    agents were given in it."""
    access_token_algorithm: SigningAlgorithm = "ES256"  # noqa: S105 (an algorithm)
    """What access tokens are signed with, from the next key on."""
    id_token_algorithms: Annotated[tuple[SigningAlgorithm, ...], Field(min_length=1, max_length=4)] = (
        "ES256",
    )
    """What ID tokens may be signed with, a key for each; the first is for clients that ask for none."""
    key_rotation_days: Annotated[int, Field(strict=True, ge=0, le=365)] = 30
    """A signing key is replaced after so many days; 0 leaves it to the command line and the page of keys."""
    jwks_max_age_seconds: Annotated[int, Field(strict=True, ge=5, le=3600)] = 300
    """How long others may keep the key set; a key is published at least so long before it signs. After
    lowering it, wait for the former value before a key is changed by hand."""
    onboarding: OnboardingPolicy = field(default_factory=OnboardingPolicy)
    """Which clients may introduce themselves here, and as which agent they act."""
    dpop: Literal["offered", "required"] = "offered"
    """Whether every token must be bound to a key of its holder (RFC 9449), or only where the client, the
    agent or the resource demands it."""
    dpop_nonces: Annotated[bool, Field(strict=True)] = False
    """Demand a nonce of ours in every DPoP proof, which costs a client one more request now and then."""
    require_pushed_authorization_requests: Annotated[bool, Field(strict=True)] = False
    """Accept only authorization requests that their client pushed first (RFC 9126)."""
    device_flow: bool = False
    """Offer the device flow (RFC 8628) to clients whose ``grant_types`` name it. It can be phished: people
    may be talked into typing somebody else's code."""
    admin_role: Annotated[str, Field(max_length=100)] = ""
    """People who hold this role may open the admin pages; empty lets in nobody but by setup link."""

    @property
    def limits(self) -> TenantLimits:
        """The limits that policy needs to narrow a token."""
        return TenantLimits(
            max_depth=self.max_depth,
            ttl_seconds=self.access_ttl_seconds,
            deep_ttl_seconds=self.deep_ttl_seconds,
        )


def parse_settings(given: Mapping[str, Any]) -> TenantSettings:
    """Return checked settings; raises ``Refusal(bad_configuration)``."""
    return checked(TenantSettings, given, reason="bad_tenant_settings")

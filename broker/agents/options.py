"""What a client, an agent or a resource may be held to beyond its columns, all with the safe default.

A row stores only what differs. A new option is one field here; declarations, pages and snapshots follow.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, ConfigDict, Field

from broker.agents.redirect_uris import check_redirect_uri
from broker.kernel.errors import Refusal
from broker.tenants.checked import checked
from broker.tenants.settings import SigningAlgorithm

_EXACT = ConfigDict(extra="forbid")


def _check_address(uri: str) -> str:
    """Return an address of the client's that is https, or http on loopback; raises ``ValueError``."""
    try:
        check_redirect_uri(uri, "native")
    except Refusal as refusal:
        raise ValueError(refusal.public) from None
    return uri


LogoutUri = Annotated[str, AfterValidator(_check_address)]
"""An address that takes part in signing out; compared as a string."""


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How one client deals with us; names are those of RFC 7591 metadata where it has them."""

    __pydantic_config__: ClassVar[ConfigDict] = _EXACT

    id_token_signed_response_alg: SigningAlgorithm | None = None
    """What this client's ID tokens are signed with (OpenID Connect Registration §2), one of the tenant's
    ``id_token_algorithms``; none takes the first of these."""
    post_logout_redirect_uris: Annotated[tuple[LogoutUri, ...], Field(max_length=20)] = ()
    """Where this client may have people sent after it signed them out (RP-Initiated Logout §3.1)."""
    backchannel_logout_uri: LogoutUri | None = None
    """Where this client is told that a session ended in which it got tokens (Back-Channel Logout §2.2)."""
    backchannel_logout_session_required: bool = False
    """This client can only tell sessions apart by ``sid``, which every logout token has."""
    dpop_bound_access_tokens: bool = False
    """Refuse this client a token without a DPoP proof (RFC 9449 §5.2)."""
    require_pushed_authorization_requests: bool = False
    """Accept only authorization requests that this client pushed first (RFC 9126 §6)."""
    jwks_uri: str = ""
    """Where the keys of a ``private_key_jwt`` client are read, instead of ``jwks``."""
    token_endpoint_auth_signing_alg: str = ""
    """The one algorithm that its assertions may be signed with; empty allows each that fits its keys."""
    unverified: bool = False
    """Nobody of the tenant has looked at this client; the consent page says so."""


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """What one agent is held to, whichever client it uses."""

    __pydantic_config__: ClassVar[ConfigDict] = _EXACT

    dpop_required: bool = False
    """Refuse this agent a token that no key of its own is bound to."""
    has_instances: bool = False
    """This is a template: every task of it names the run that begins it, and tokens show that name."""


@dataclass(frozen=True, slots=True)
class ResourceOptions:
    """What one resource demands of the tokens that it accepts."""

    __pydantic_config__: ClassVar[ConfigDict] = _EXACT

    dpop_bound_access_tokens_required: bool = False
    """Issue no bearer tokens for this resource (RFC 9728 §2)."""


def client_options(given: Mapping[str, Any]) -> ClientOptions:
    """Return checked options; raises ``Refusal(bad_configuration)``."""
    return checked(ClientOptions, given, reason="bad_client")


def agent_options(given: Mapping[str, Any]) -> AgentOptions:
    """Return checked options; raises ``Refusal(bad_configuration)``."""
    return checked(AgentOptions, given, reason="bad_agent")


def resource_options(given: Mapping[str, Any]) -> ResourceOptions:
    """Return checked options; raises ``Refusal(bad_configuration)``."""
    return checked(ResourceOptions, given, reason="bad_resource")

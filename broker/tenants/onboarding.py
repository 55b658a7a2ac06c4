"""Which clients a tenant lets in that no administrator registered, and what such a client may be at most."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

_EXACT = ConfigDict(extra="forbid")
_Names = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=500)], ...], Field(max_length=200)]


@dataclass(frozen=True, slots=True)
class AgentTemplate:
    """The agent that an admitted client acts as; its ceiling is empty, and allows nothing, until filled."""

    __pydantic_config__: ClassVar[ConfigDict] = _EXACT

    agent: Annotated[str, Field(max_length=63)] = ""
    """The slug of one agent that all of them share; empty makes an agent for each client."""
    scopes: _Names = ()
    """The most that such an agent may be given."""
    roles: _Names = ()
    """Roles that it may carry for a person who has them."""
    resources: _Names = ()
    """Identifiers of the resources that are open to it."""
    ttl_seconds: Annotated[int, Field(strict=True, ge=30, le=3600)] = 600
    """Longest life of its access tokens."""
    max_depth: Annotated[int, Field(strict=True, ge=1, le=8)] = 1
    """How many agents its chains may have; 1 hands nothing on."""
    expires_in_days: Annotated[int, Field(strict=True, ge=1, le=730)] = 90
    """An agent that was made for a client ends after so many days."""
    owner: Literal["contact", "first_person"] = "contact"
    """Who answers for it: the contact below, or the first person who agrees to it."""
    contact_name: Annotated[str, Field(max_length=200)] = ""
    """Who answers for agents that nobody registered."""
    contact_email: Annotated[str, Field(max_length=320)] = ""
    """Where that person is reached."""


@dataclass(frozen=True, slots=True)
class OnboardingPolicy:
    """A tenant's answer to clients that introduce themselves; the defaults admit nobody by itself."""

    __pydantic_config__: ClassVar[ConfigDict] = _EXACT

    cimd: Literal["off", "listed", "any"] = "off"
    """Clients known by the address of their metadata: none, those listed, or whoever has an address."""
    cimd_listed: _Names = ()
    """Host names, or whole client ids, of clients that an administrator approves of."""
    registration: Literal["off", "initial_token", "open"] = "initial_token"
    """Dynamic registration: none, for holders of a token that an administrator made, or for anybody."""
    registration_quarantine: bool = True
    """A client that registered itself without a token waits until an administrator releases it."""
    grant_types: _Names = ("authorization_code", "refresh_token")
    """Grant types that such clients may use; the rest of what they ask for is left out."""
    changed_client: Literal["ask_again", "revoke", "hold"] = "revoke"
    """When a client changes its addresses, keys or authentication: people are asked again; or what it holds
    ends too; or it also waits for an administrator."""
    max_clients: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 500
    """Most clients of this kind that the tenant keeps; unused ones end after a day."""
    template: AgentTemplate = field(default_factory=AgentTemplate)
    """What an admitted client may be at most."""

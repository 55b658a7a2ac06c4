"""What each kind of trust must say; whatever is left out allows nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from broker.tenants.checked import checked

Kind = Literal["target", "issuer", "workload", "subject"]
Algorithm = Literal["ES256", "EdDSA", "PS256", "RS256"]
Output = Literal["access_token", "id_jag"]

ALGORITHMS: tuple[Algorithm, ...] = ("ES256", "EdDSA", "PS256", "RS256")
"""What others may sign with; no symmetric algorithm is ever taken."""

_EXACT = ConfigDict(extra="forbid")
_Text = Annotated[str, Field(min_length=1, max_length=500)]
_Address = Annotated[str, Field(max_length=500)]
_Names = Annotated[tuple[_Text, ...], Field(max_length=100)]


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """An authorization server of somebody else that takes our ID-JAGs (ID-JAG §4)."""

    __pydantic_config__: ClassVar[ConfigDict] = _EXACT

    issuer: _Text
    """Its issuer identifier: what the ``aud`` of an ID-JAG says."""
    aliases: _Names = ()
    """Other names by which clients may ask for it."""
    clients: Annotated[dict[_Text, _Text], Field(max_length=200)] = field(default_factory=dict)
    """The id that each of our clients has there. A client whose id is an https address needs no entry."""
    agents: _Names = ()
    """Slugs of the agents that may go there."""
    scopes: _Names = ()
    """The most that an ID-JAG for it may say."""
    resources: _Names = ()
    """Resources there. With any, a request must name one of them."""
    subject: Literal["user_id", "upstream_subject", "email"] = "user_id"
    """What it knows a person by; an e-mail address only if its domain is the identity provider's own."""
    ttl_seconds: Annotated[int, Field(strict=True, ge=30, le=600)] = 300
    """Life of an ID-JAG."""
    acr_values: _Names = ()
    """How strongly a person must have signed in, one of these; empty asks for nothing."""
    max_age: Annotated[int, Field(strict=True, ge=60, le=2_592_000)] | None = None
    """How long ago a person may have signed in, in seconds."""


@dataclass(frozen=True, slots=True)
class IssuerConfig:
    """An identity provider whose ID-JAGs this tenant takes."""

    __pydantic_config__: ClassVar[ConfigDict] = _EXACT

    issuer: _Text
    """Its issuer identifier, compared exactly."""
    connection: _Text
    """The connection whose people it names."""
    jwks: dict[str, Any] | None = None
    """Its public keys, written out."""
    jwks_uri: _Address = ""
    """Where its public keys are."""
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = ALGORITHMS
    """What it may sign with."""
    subject_issuer: _Address = ""
    """The issuer under which the connection knows its people; empty: the same."""
    subject_kind: Annotated[str, Field(min_length=1, max_length=64)] = "sub"
    """The sort of name that ``sub`` is at the connection."""
    clients: _Names = ()
    """Our clients that may bring its ID-JAGs."""
    scopes: _Names = ()
    """The most that its ID-JAGs may open."""
    max_ttl_seconds: Annotated[int, Field(strict=True, ge=30, le=3600)] = 600
    """How long an ID-JAG of it may live."""
    reuse: bool = False
    """Take the same ID-JAG again until it ends."""


@dataclass(frozen=True, slots=True)
class WorkloadConfig:
    """A platform that says which workload it runs; each entry stands for one client, and so one agent."""

    __pydantic_config__: ClassVar[ConfigDict] = _EXACT

    issuer: _Text
    """The platform's issuer identifier, compared exactly."""
    subject: _Text
    """The workload: an exact ``sub``, or one in which ``*`` stands for a part without ``/`` and ``:``."""
    client: _Text
    """The client that the workload is."""
    jwks: dict[str, Any] | None = None
    """The platform's public keys, written out."""
    jwks_uri: _Address = ""
    """Where the platform's public keys are."""
    audience: _Address = ""
    """What ``aud`` must say; empty: this tenant's issuer."""
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = ALGORITHMS
    """What the platform may sign with."""
    max_ttl_seconds: Annotated[int, Field(strict=True, ge=30, le=86_400)] = 3600
    """How long its tokens may live."""
    reuse: bool = False
    """Take the same token again until it ends: for platforms that hand out one token for an hour."""


@dataclass(frozen=True, slots=True)
class SubjectConfig:
    """Lets a client exchange what a connection's provider issued for that very client (RFC 8693)."""

    __pydantic_config__: ClassVar[ConfigDict] = _EXACT

    connection: _Text
    """The connection whose provider issued it."""
    client: _Text
    """Our client that may bring it."""
    audience: _Text
    """The name of that client at the provider: its client id, or its SAML entity id."""
    recipient: _Address = ""
    """For SAML: the address at which that client takes assertions."""
    scopes: _Names = ()
    """The most that an access token for it may say."""
    resources: _Names = ()
    """Where an access token for it may be used."""
    outputs: tuple[Output, ...] = ("id_jag",)
    """What it may be exchanged for."""


Config = TargetConfig | IssuerConfig | WorkloadConfig | SubjectConfig

KINDS: Mapping[Kind, type[Config]] = {
    "target": TargetConfig,
    "issuer": IssuerConfig,
    "workload": WorkloadConfig,
    "subject": SubjectConfig,
}


def read_config(kind: str, given: Mapping[str, Any]) -> Config:
    """Return the checked configuration of a trust; raises ``Refusal(bad_configuration)``."""
    model: type[Config] = KINDS[kind]  # type: ignore[index]
    config: Config = checked(model, given, reason="bad_trust")
    return config

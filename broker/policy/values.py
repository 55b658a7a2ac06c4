"""The frozen values that policy decisions take and return."""

from dataclasses import dataclass
from typing import Literal

DroppedKind = Literal["scope", "role"]
DroppedBy = Literal["consent", "parent", "agent", "client", "resource", "role"]
ParentSource = Literal["consent", "parent"]


@dataclass(frozen=True, slots=True)
class Actor:
    """One member of an actor chain; two actors are the same when issuer and id are, whatever the profile."""

    issuer: str
    id: str
    profile: str = "ai_agent"

    def is_same_as(self, other: "Actor") -> bool:
        """Say whether both name the same actor; `profile` is a description and is not compared."""
        return self.id == other.id and self.issuer == other.issuer


Chain = tuple[Actor, ...]
"""An actor chain, outermost (the current caller) first."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The most that one agent may ever be given; an empty set allows nothing."""

    scopes: frozenset[str]
    roles: frozenset[str]
    resources: frozenset[str]
    ttl_seconds: int
    max_depth: int


@dataclass(frozen=True, slots=True)
class ResourceView:
    """What one resource accepts: its catalogue of scopes, the roles it knows, and its own limits."""

    identifier: str
    scopes: frozenset[str]
    roles: frozenset[str]
    ttl_seconds: int
    max_depth: int


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """The tenant's limits on every token; `deep_ttl_seconds` holds from depth 2 on (protocols §6.1)."""

    max_depth: int
    ttl_seconds: int
    deep_ttl_seconds: int

    def ttl_at(self, depth: int) -> int:
        """Return the longest lifetime in seconds of a token at `depth`."""
        return self.ttl_seconds if depth < 2 else min(self.ttl_seconds, self.deep_ttl_seconds)


@dataclass(frozen=True, slots=True)
class Parent:
    """What a child may never exceed: a consent (or grant) for a first token, a token for an exchange.

    `roles` of a consent are the roles that the person holds now. `delegable_to` holds the ids of the agents
    that may be added to the chain: for a consent the one agent that it names, for a token the list of the
    agent that presents it. Empty lets nobody join. `source` is the word that `Dropped.by` shows.
    """

    scopes: frozenset[str]
    roles: frozenset[str]
    resources: frozenset[str]
    expires_at: int
    depth: int
    chain: Chain
    delegable: bool
    delegable_to: frozenset[str] = frozenset()
    source: ParentSource = "parent"

    @classmethod
    def agreed(
        cls,
        *,
        agent_id: str,
        scopes: frozenset[str],
        resources: frozenset[str],
        expires_at: int,
        roles: frozenset[str] = frozenset(),
    ) -> "Parent":
        """Return what a consent allows: the one agent that it names, at the root of a chain."""
        return cls(
            scopes=scopes,
            roles=roles,
            resources=resources,
            expires_at=expires_at,
            depth=0,
            chain=(),
            delegable=True,
            delegable_to=frozenset({agent_id}),
            source="consent",
        )


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller asked for; None means that it did not say."""

    scopes: frozenset[str] | None = None
    resource: str | None = None
    ttl_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """A scope or role that was asked for and not granted, with the first limit that refused it."""

    kind: DroppedKind
    value: str
    by: DroppedBy


@dataclass(frozen=True, slots=True)
class Delegated:
    """What the child token may carry; never more than its parent on any dimension."""

    scopes: frozenset[str]
    roles: frozenset[str]
    resource: str
    expires_at: int
    depth: int
    chain: Chain
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True, slots=True)
class Denial:
    """A refusal as a value: the OAuth error code, a stable reason for audit, a sentence safe to show."""

    code: str
    reason: str
    public: str

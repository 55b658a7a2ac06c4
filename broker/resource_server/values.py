"""What the kit hands to an application: frozen values without the token itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Actor:
    """One member of the actor chain: a non-human caller named by its issuer and its id (RFC 8693 §4.1)."""

    issuer: str
    id: str
    profile: str = ""


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """The resource server's own client at the issuer, used for introspection with client_secret_basic."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignIn:
    """A sign-in that an operation needs: one of `acr_values`, at most `max_age` seconds ago."""

    acr_values: tuple[str, ...] = ()
    max_age: int | None = None


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token that passed every check. It does not carry the token's text, so nobody can pass it on.

    `subject` is the person (or the autonomous agent), `actor` who is calling now, `chain` every actor with
    the current caller first. `expires_at` is in epoch seconds; `jkt` is the thumbprint of the key that the
    token is bound to, "" for a bearer token.
    """

    subject: str
    actor: Actor | None
    chain: tuple[Actor, ...]
    scopes: frozenset[str]
    roles: frozenset[str]
    client_id: str
    jti: str
    expires_at: int
    claims: Mapping[str, Any] = field(repr=False)
    jkt: str = ""

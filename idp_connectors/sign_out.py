"""The part of the seam about signing out; ``base`` hands on every name of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Mark:
    """What makes a message of a provider usable once: `spend(kind, key, expires_at)`."""

    kind: str
    key: str
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOutMessage:
    """A provider's word that somebody signed out, as it arrived; `form` holds first values.

    `our_url` and `entity_id` come from configuration, never from the request.
    """

    our_url: str
    entity_id: str = ""
    query_string: str = ""
    form: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOutOrder:
    """Whose sessions a provider ended, verified in full; no `sessions` means all of the person's.

    The caller spends `mark` in the transaction that ends the sessions. Without this: a fault between the
    two would leave the sessions standing, and the provider's second try would be refused as a replay.
    """

    issuer: str
    mark: Mark
    person: str = ""
    sessions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOutRequest:
    """What is known when somebody who signed out here is to be signed out at the provider too.

    `flow_id` travels through the browser as a sign-in's does. `upstream` is what the session kept of the
    sign-in: the identity's `private`, its `session_index` and `name_id`. `return_url` and `entity_id` come
    from configuration.
    """

    return_url: str
    flow_id: str
    upstream: Mapping[str, str]
    entity_id: str = ""

"""The part of the seam about signing out; ``base`` hands on every name of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from idp_connectors.base import Begun, Deps


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
    message_id: str = ""
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


class UpstreamLogout(Protocol):
    """Understands a provider that signs people out, and asks it to."""

    def read_order(self, message: SignOutMessage, deps: "Deps") -> SignOutOrder:
        """Return whom the provider signed out; raises ConnectorError."""

    def answer_order(self, order: SignOutOrder, message: SignOutMessage, deps: "Deps") -> str:
        """Return where the browser brings our answer to a message that it brought, signed; else "".

        To be asked when what the order named has ended.
        """

    def begin_sign_out(self, request: SignOutRequest, deps: "Deps") -> "Begun | None":
        """Return where the browser goes to be signed out there; None if the provider offers nothing.

        It asks nobody: a provider that does not answer must not hold up a sign-out here.
        """

    def complete_sign_out(self, message: SignOutMessage, private: Mapping[str, str], deps: "Deps") -> None:
        """Return if the provider's answer says that the person is signed out there; raises ConnectorError."""


@runtime_checkable
class SignsOut(Protocol):
    """Is implemented by connectors whose provider tells when people sign out."""

    def upstream_logout(self, config: Mapping[str, Any], secrets: Mapping[str, str]) -> UpstreamLogout:
        """Return the sign-out for stored `config` and opened `secrets`; raises ConnectorError."""

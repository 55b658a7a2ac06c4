"""What a provider issued for another application, brought by that application in place of a sign-in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from idp_connectors.base import Deps, VerifiedIdentity

MAX_AGE_SECONDS = 600
"""How long ago the provider may have issued it."""


@dataclass(frozen=True, slots=True)
class SubjectToken:
    """An ID token or a base64url SAML assertion, and the application that it must have been made for.

    `audience` is that application's name at the provider; `recipient` the address at which it takes
    assertions, which OpenID Connect does not use.
    """

    kind: Literal["id_token", "saml2"]
    token: str
    audience: str
    recipient: str = ""


@runtime_checkable
class VerifiesSubjectTokens(Protocol):
    """Is implemented by connectors whose provider signs what it tells an application about a person."""

    def verify_subject_token(
        self, config: Mapping[str, Any], secrets: Mapping[str, str], given: SubjectToken, deps: "Deps"
    ) -> "VerifiedIdentity":
        """Return whom a fresh token names, and use it up; raises ConnectorError."""

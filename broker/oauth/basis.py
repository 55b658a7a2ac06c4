"""What a grant type contributes to the pipeline: whom the token is about and what it may never exceed."""

from dataclasses import dataclass, field
from typing import Any

from broker.agents.snapshot import AgentView
from broker.agents.trusts.snapshot import TargetView
from broker.policy.values import Actor, Parent, Wish
from broker.tokens.id_jags import Introduction
from broker.tokens.tasks import TaskView

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 (a grant type)
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 (a type, not a secret)
ID_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 (a type, not a secret)
REFRESH_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:refresh_token"  # noqa: S105 (a type, not a secret)
SAML2_TYPE = "urn:ietf:params:oauth:token-type:saml2"
ID_JAG_TYPE = "urn:ietf:params:oauth:token-type:id-jag"
PERSONAL_TOKEN_TYPE = "urn:agent-sso-broker:token-type:personal_token"  # noqa: S105 (a type, not a secret)


@dataclass(frozen=True, slots=True)
class SignInFacts:
    """How the person signed in; copied down the chain and never improved (RFC 9068 §2.2.1)."""

    auth_time: int | None = None
    acr: str = ""
    amr: tuple[str, ...] = ()
    sid: str | None = None

    def claims(self) -> dict[str, Any]:
        """Return the claims of an ID token for this sign-in; what is not known is left out."""
        found = {"auth_time": self.auth_time, "acr": self.acr, "amr": list(self.amr), "sid": self.sid}
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class Basis:
    """A grant type's part of one issuance; ``parent`` carries no roles where they are to be live ones.

    ``actor`` joins the chain; ``agent`` is who will present the token and whose ceiling holds. With
    ``introduction`` an ID-JAG for ``target`` is issued in place of an access token.
    """

    subject: str
    subject_profile: str
    user_id: str | None
    connection_id: str | None
    grant_id: str
    consent_id: str | None
    parent: Parent
    has_live_roles: bool
    actor: Actor | None
    agent: AgentView
    wish: Wish
    facts: SignInFacts = field(default_factory=SignInFacts)
    parent_jti: str | None = None
    parent_path: str = ""
    txn: str = ""
    refresh_scopes: frozenset[str] | None = None
    refresh_until: int = 0
    identity_scopes: frozenset[str] = frozenset()
    nonce: str = ""
    issued_token_type: str | None = None
    task: TaskView | None = None
    purpose_hash: str = ""
    instance: str = ""
    may_act: Actor | None = None
    target: TargetView | None = None
    introduction: Introduction | None = None

"""The seam between the broker and whatever signs people in: small protocols and frozen values.

Nothing here knows Flask, a database or a tenant. The caller injects time, HTTP, single use and a cache.
"""

import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

import pydantic

from idp_connectors.cache import Cache, MemoryCache
from idp_connectors.certificates import read_certificate
from idp_connectors.errors import ConnectorError, ConnectorErrorCode, answer_replayed
from idp_connectors.following import FollowedMetadata, FollowsMetadata
from idp_connectors.preview import CertificateFacts, DiscoversProvider, ProviderPreview, ReadsMetadata
from idp_connectors.self_check import Finding
from idp_connectors.service_keys import ServiceKey, ServiceKeys, ServiceKeySource
from idp_connectors.sign_out import (
    Mark,
    SignOutMessage,
    SignOutOrder,
    SignOutRequest,
    SignsOut,
    UpstreamLogout,
)
from idp_connectors.step_up import AskedProof
from idp_connectors.subject_tokens import SubjectToken, VerifiesSubjectTokens
from idp_connectors.walk import (
    DirectoryWalk,
    ListedGroup,
    ListedPerson,
    Part,
    PartTooLarge,
    WalksDirectory,
)

if TYPE_CHECKING:
    import httpx2

__all__ = [
    "AskedProof",
    "Begun",
    "Cache",
    "Callback",
    "CertificateFacts",
    "ChecksItself",
    "Connector",
    "ConnectorError",
    "ConnectorErrorCode",
    "Deps",
    "Dial",
    "DirectoryWalk",
    "DiscoversProvider",
    "EmailVerifiedBy",
    "Finding",
    "FollowedMetadata",
    "FollowsMetadata",
    "Group",
    "GroupAnswer",
    "GroupKind",
    "GroupLookup",
    "GroupPlan",
    "GroupsState",
    "HttpClient",
    "InteractiveLogin",
    "ListedGroup",
    "ListedPerson",
    "LoginRequest",
    "LooksUpGroups",
    "Mark",
    "MemoryCache",
    "Part",
    "PartTooLarge",
    "PasswordLogin",
    "PersonState",
    "PlansGroups",
    "ProviderPreview",
    "PublishesMetadata",
    "ReadsMetadata",
    "ServiceKey",
    "ServiceKeySource",
    "ServiceKeys",
    "SignOutMessage",
    "SignOutOrder",
    "SignOutRequest",
    "SignsInByPassword",
    "SignsOut",
    "Spend",
    "SubjectToken",
    "UpstreamLogout",
    "VerifiedIdentity",
    "VerifiesSubjectTokens",
    "WalksDirectory",
    "answer_replayed",
    "check_settings",
    "load_config",
    "read_certificate",
    "secret_fields",
]

GroupKind = Literal["name", "id", "email", "dn", "path"]
GroupsState = Literal["complete", "truncated", "overage", "absent", "error"]
EmailVerifiedBy = Literal["idp_verified_domain", "idp_asserted", "none"]
PersonState = Literal["active", "inactive", "not_found", "unknown"]

Model = TypeVar("Model", bound=pydantic.BaseModel)

Spend = Callable[[str, str, int], bool]
"""`spend(kind, key, expires_at) -> bool`: True exactly once per (kind, key) until `expires_at`."""

Dial = Callable[[str, int, float], socket.socket]
"""`dial(host, port, timeout_seconds) -> socket`: the guarded way to servers that do not speak HTTP.

It enforces where such servers may be; raises OSError.
"""


@dataclass(frozen=True, slots=True)
class Group:
    """One group as the provider named it; `kind` says which sort of name `value` is."""

    kind: GroupKind
    value: str
    display: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedIdentity:
    """What a provider proved about a person; (issuer, subject_kind, subject) is the stable key.

    `email` is for display. `private` holds what only server-side code may see, such as an ID token hint.
    `groups_problem` says why groups are not complete, for administrators, where there is more to say.
    `session_index` and `name_id` are how the provider will name this session and this person when it ends
    the session: `sid` and `sub` in OpenID Connect, SessionIndex and NameID in SAML.
    """

    issuer: str
    subject: str
    subject_kind: str
    email: str | None = None
    email_verified_by: EmailVerifiedBy = "none"
    display_name: str = ""
    given_name: str = ""
    family_name: str = ""
    groups: tuple[Group, ...] = ()
    groups_state: GroupsState = "absent"
    groups_source: str = ""
    groups_problem: str = ""
    auth_time: int | None = None
    acr: str = ""
    amr: tuple[str, ...] = ()
    session_index: str = ""
    session_ends_at: int | None = None
    name_id: str = ""
    private: Mapping[str, str] = field(default_factory=dict)
    raw_claims: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRequest:
    """What the broker says about a sign-in that starts.

    `flow_id` travels through the browser as `state` (OIDC) or `RelayState` (SAML): an opaque handle that
    the broker can find its flow by, unguessable (128 bits or more) and at most 80 characters.
    `entity_id` is the broker's own SAML name for this connection; OIDC does not use it.
    """

    base_url: str
    callback_url: str
    entity_id: str
    flow_id: str
    login_hint: str = ""
    proof: AskedProof | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """Where to send the browser, and what to keep on the server until it comes back."""

    redirect_url: str
    private: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """What came back through the browser, beside what `begin` asked to keep.

    `method` is how the provider's answer arrived: "POST" for SAML even if the broker completes it later.
    `query` and `form` hold the first value of each parameter; the caller refuses repeated ones.
    `callback_url` and `entity_id` come from configuration, never from the request.
    """

    method: str
    callback_url: str
    private: Mapping[str, str]
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    entity_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupAnswer:
    """The groups of one person at one moment, as one source tells them.

    Only `state` "complete" says that `groups` are all; after a failure it is "error", whatever the list
    holds. `person` says what became of the account itself; `problem` is for administrators and logs.
    """

    groups: tuple[Group, ...]
    state: GroupsState
    source: str
    fetched_at: int
    person: PersonState = "unknown"
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPlan:
    """Where a connection's groups are asked for, at the sign-in or between two, and how often.

    `connection` is the slug of another connection of the same tenant, "" for the connection's own lookup.
    `attribute` names what the person's provider sent as their key there, "" for their stable subject.
    """

    connection: str = ""
    attribute: str = ""
    by: Literal["subject", "username"] = "subject"
    refresh_seconds: int = 3600


class HttpClient(Protocol):
    """The guarded way out: the broker's egress satisfies it as it is."""

    def client(self) -> "httpx2.Client":
        """Return a client whose transport enforces the egress rules; the callee does not close it."""

    def fetch_json(
        self, url: str, *, max_bytes: int = ..., headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the JSON object at `url`, at most `max_bytes` long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deps:
    """Everything that a connector needs from outside: time (epoch seconds), HTTP, single use, a cache.

    Without `dial` a connector reaches no server that does not speak HTTP; without `service_keys` it can
    neither sign what it sends nor open what was encrypted for us.
    """

    now: int
    http: HttpClient
    spend: Spend
    cache: Cache
    dial: Dial | None = None
    service_keys: ServiceKeySource | None = None


class InteractiveLogin(Protocol):
    """Signs a person in through the browser, in two steps."""

    def begin(self, request: LoginRequest, deps: Deps) -> Begun:
        """Return where the browser goes; raises ConnectorError."""

    def complete(self, callback: Callback, deps: Deps) -> VerifiedIdentity:
        """Return who signed in, verified in full; raises ConnectorError."""


class PasswordLogin(Protocol):
    """Signs a person in with a user name and a password that the broker's own page took."""

    def verify(self, username: str, password: str, deps: Deps) -> VerifiedIdentity:
        """Return whose password this is; raises ConnectorError, with one sentence for every wrong guess."""


class GroupLookup(Protocol):
    """Tells a person's groups at any time, not only while they sign in."""

    def lookup(self, key: str, deps: Deps, *, by: Literal["subject", "username"] = "subject") -> GroupAnswer:
        """Return the groups of the person whose stable subject, or user name, is `key`.

        A source that fails is an answer with state "error", never an exception and never an empty truth.
        """


@runtime_checkable
class SignsInByPassword(Protocol):
    """Is implemented by connectors that can check a password."""

    def password_login(self, config: Mapping[str, Any], secrets: Mapping[str, str]) -> PasswordLogin:
        """Return the password check for stored `config` and opened `secrets`; raises ConnectorError."""


@runtime_checkable
class LooksUpGroups(Protocol):
    """Is implemented by connectors that can be asked for groups between sign-ins."""

    def group_lookup(self, config: Mapping[str, Any], secrets: Mapping[str, str]) -> GroupLookup:
        """Return the group lookup for stored `config` and opened `secrets`; raises ConnectorError."""


@runtime_checkable
class PlansGroups(Protocol):
    """Is implemented by connectors whose settings say where groups are asked for, and how often."""

    def group_plan(self, config: Mapping[str, Any]) -> GroupPlan | None:
        """Return the plan of a stored `config`; None if groups come with the sign-in and nothing else."""


@runtime_checkable
class ChecksItself(Protocol):
    """Is implemented by connectors that can be checked before anybody signs in."""

    def check_itself(
        self, config: Mapping[str, Any], secrets: Mapping[str, str], deps: Deps
    ) -> tuple[Finding, ...]:
        """Return what settings, addresses, documents and keys look like now, in the order of looking.

        It ends at a failure that hides the rest, and reads nothing from `deps.cache`.
        """


@runtime_checkable
class PublishesMetadata(Protocol):
    """Is implemented by connectors whose provider wants a document that describes the broker."""

    def service_metadata(
        self,
        config: Mapping[str, Any],
        *,
        entity_id: str,
        callback_url: str,
        keys: ServiceKeys,
        sign_out_url: str = "",
    ) -> bytes:
        """Return the document (XML for SAML) for stored `config`; of `keys` it holds certificates only."""


class Connector(Protocol):
    """One kind of identity provider: a configuration model and a way to sign people in."""

    kind: str
    config_model: type[pydantic.BaseModel]

    def interactive(self, config: Mapping[str, Any], secrets: Mapping[str, str]) -> InteractiveLogin:
        """Return the sign-in for stored `config` and opened `secrets`; raises ConnectorError."""


def secret_fields(model: type[pydantic.BaseModel]) -> frozenset[str]:
    """Return the names of the fields that must be stored sealed and never shown again."""
    return frozenset(
        name
        for name, info in model.model_fields.items()
        if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get("secret") is True
    )


def load_config(model: type[Model], config: Mapping[str, Any], secrets: Mapping[str, str]) -> Model:
    """Return the checked configuration; raises ConnectorError that names the first faulty field.

    The private detail names fields and rules only, because pydantic's own text repeats the secret input.
    """
    try:
        return model.model_validate({**config, **secrets})
    except pydantic.ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        place = ".".join(str(part) for part in faults[0]["loc"])
        raise ConnectorError(
            ConnectorErrorCode.CONFIG_INVALID,
            f"The connection's settings are not usable: {faults[0]['msg']}.",
            detail="; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['type']}" for fault in faults),
            field=place,
        ) from None


def check_settings(
    model: type[Model],
    config: Mapping[str, Any],
    secrets: Mapping[str, str],
    look: Callable[[Model], Iterable[Finding]],
) -> tuple[Finding, ...]:
    """Return a finding about the settings, and behind it what `look` finds if they are usable."""
    expected = "All settings that this kind of connection needs, each in its form"
    try:
        checked = load_config(model, config, secrets)
    except ConnectorError as error:
        return (Finding(check="settings", state="failed", expected=expected, received=error.public),)
    complete = Finding(check="settings", state="passed", expected=expected, received="They are complete.")
    return (complete, *look(checked))

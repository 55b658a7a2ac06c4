"""What an administrator sets for an OpenID Connect connection; form, API schema and docs come from here."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)

from idp_connectors.base import GroupKind, GroupLookup
from idp_connectors.groups.calls import Pace
from idp_connectors.groups.plan import GroupPlanSettings
from idp_connectors.groups.settings import GroupLookupSettings
from idp_connectors.groups.sources import SignInFacts, make_lookup
from idp_connectors.identity_rules import is_clean_text
from idp_connectors.oidc.issuer_rule import CONSUMER_TENANT, GUID, TENANT_MARK

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"
]
Text = Annotated[str, StringConstraints(min_length=1, max_length=512)]

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
RESERVED_PARAMETERS = frozenset(
    {
        "client_id",
        "code_challenge",
        "code_challenge_method",
        "nonce",
        "redirect_uri",
        "request",
        "request_uri",
        "response_mode",
        "response_type",
        "scope",
        "state",
    }
)


class SignInSettings(BaseModel):
    """The part of the settings that a sign-in needs."""

    issuer: Text = Field(
        title="Issuer",
        description="The provider's issuer URL, exactly as its discovery document states it.",
        examples=["https://acme.okta.com"],
    )
    discovery_url: str = Field(
        default="",
        max_length=512,
        title="Discovery address",
        description="Only needed if the discovery document lies elsewhere than below the issuer.",
    )
    tenant_ids: tuple[Text, ...] = Field(
        default=(),
        title="Microsoft Entra directories",
        description="Directory (tenant) ids whose people may sign in. Needed if the issuer is for many.",
        json_schema_extra={"makes": ["entra"]},
    )
    hosted_domains: tuple[Text, ...] = Field(
        default=(),
        title="Google Workspace domains",
        description="Domains of the organisation. Accounts of others, private ones too, are refused.",
        json_schema_extra={"makes": ["google"]},
    )
    client_id: Text = Field(
        title="Client ID", description="The identifier of the application registered at the provider."
    )
    client_secret: SecretStr = Field(
        title="Client secret",
        description="The secret of that application. It is stored encrypted and never shown again.",
        min_length=1,
        max_length=1024,
        json_schema_extra={"secret": True},
    )
    client_auth: Literal["client_secret_basic", "client_secret_post"] = Field(
        default="client_secret_basic",
        title="Client authentication",
        description="How the secret is sent to the token endpoint.",
    )
    scopes: tuple[Text, ...] = Field(
        default=("openid", "profile", "email"),
        title="Scopes",
        description="What is asked for at sign-in. Some providers send groups only for a scope of their own.",
    )
    subject: Literal["sub", "oid+tid"] = Field(
        default="sub",
        title="Stable identifier",
        description="What identifies a person for good: `sub`, or object and tenant id for Microsoft Entra.",
    )
    groups_claim: str = Field(
        default="groups",
        max_length=512,
        title="Groups claim",
        description="The claim that lists a person's groups. Leave empty if the provider sends none.",
    )
    group_kind: GroupKind = Field(
        default="name", title="Kind of group name", description="Which sort of name the groups claim holds."
    )
    use_userinfo: bool = Field(
        default=False,
        title="Ask the userinfo endpoint",
        description="Read claims that the ID token lacks from the userinfo endpoint.",
    )
    email_domains: tuple[Text, ...] = Field(
        default=(),
        title="E-mail domains",
        description="Domains whose addresses this provider assigns. Addresses elsewhere are only hearsay.",
    )
    extra_authorize_params: dict[Text, Text] = Field(
        default_factory=dict,
        title="Extra authorization parameters",
        description="Fixed parameters that the provider needs in the sign-in address, such as domain_hint.",
    )
    step_up: Literal["acr_values", "acrs", "none"] = Field(
        default="acr_values",
        title="Step-up",
        description=(
            "How a fresh or stronger sign-in is asked for: by `acr_values` and `max_age`, by the "
            "authentication contexts of Microsoft Entra (`acrs`), or not at all."
        ),
    )
    step_up_values: tuple[Text, ...] = Field(
        default=(),
        title="Step-up values",
        description=(
            "Values (`acr_values`, or contexts such as c1) that the provider can be asked to prove. List a "
            "context only after you saw it ask: Entra grants one that no policy guards without a question."
        ),
    )
    allowed_algorithms: tuple[Algorithm, ...] = Field(
        default=("RS256", "PS256", "ES256", "EdDSA"),
        min_length=1,
        title="Signature algorithms",
        description="Algorithms with which the provider may sign ID tokens.",
    )

    @field_validator("issuer")
    @classmethod
    def _issuer_is_a_safe_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if not _is_https_or_loopback(value):
            raise ValueError("the issuer must be an https address")
        # Without this: whoever may choose a directory's name chooses the host that speaks for it.
        if TENANT_MARK in value and (value.count(TENANT_MARK) > 1 or TENANT_MARK not in parts.path):
            raise ValueError(f"the issuer may have {TENANT_MARK} once, in its path")
        if parts.query or parts.fragment or "?" in value or "#" in value or parts.username is not None:
            raise ValueError("the issuer must have no query, fragment or user name")
        return value

    @field_validator("discovery_url")
    @classmethod
    def _discovery_is_a_safe_url(cls, value: str) -> str:
        if value and (
            not _is_https_or_loopback(value) or "#" in value or urlsplit(value).username is not None
        ):
            raise ValueError("the discovery address must be an https address without user name")
        return value

    @field_validator("tenant_ids")
    @classmethod
    def _directories_are_organisations(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        lowered = tuple(tenant.lower() for tenant in value)
        if not all(GUID.fullmatch(tenant) for tenant in lowered):
            raise ValueError("a directory id is a GUID")
        # Without this: everybody with a private Microsoft account belongs to an allowed directory.
        if CONSUMER_TENANT in lowered:
            raise ValueError("the directory of private Microsoft accounts belongs to no organisation")
        return lowered

    @field_validator("issuer", "discovery_url", "client_id", "groups_claim")
    @classmethod
    def _text_is_clean(cls, value: str) -> str:
        if not is_clean_text(value):
            raise ValueError("the text contains invisible characters")
        return value

    @field_validator("scopes")
    @classmethod
    def _scopes_ask_for_an_id_token(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in value:
            raise ValueError("the scopes must contain openid")
        if any(" " in scope for scope in value):
            raise ValueError("a scope must not contain a space")
        return value

    @field_validator("extra_authorize_params")
    @classmethod
    def _extras_leave_the_protocol_alone(cls, value: dict[str, str]) -> dict[str, str]:
        # Without this: a connection could switch off PKCE or redirect the code elsewhere.
        taken = RESERVED_PARAMETERS.intersection(value)
        if taken:
            raise ValueError(f"these parameters are set by the broker: {', '.join(sorted(taken))}")
        return value

    @model_validator(mode="after")
    def _an_issuer_for_many_names_its_directories(self) -> Self:
        # Without this: an absent list would let every organisation in the world in.
        if TENANT_MARK in self.issuer and not self.tenant_ids:
            raise ValueError(f"an issuer with {TENANT_MARK} needs the directories that may sign in")
        return self


class OidcConfig(GroupPlanSettings, GroupLookupSettings, SignInSettings):
    """One OpenID Connect provider as an administrator describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="OpenID Connect")

    def find_group_lookup(self, pace: Pace) -> GroupLookup | None:
        """Return the group lookup that these settings name, None if they name none; raises ValueError."""
        facts = SignInFacts(
            issuer=self.issuer,
            subject=self.subject,
            group_kind=self.group_kind,
            client_id=self.client_id,
            client_secret=self.client_secret.get_secret_value(),
            tenant_ids=self.tenant_ids,
        )
        return make_lookup(self, facts, pace)

    @model_validator(mode="after")
    def _the_group_lookup_has_what_it_needs(self) -> Self:
        self.find_group_lookup(Pace())
        if self.groups_from and self.group_lookup != "none":
            raise ValueError("groups come from another connection or from this one's own lookup, not both")
        return self


def _is_https_or_loopback(value: str) -> bool:
    parts = urlsplit(value)
    on_loopback = parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS
    return on_loopback or (parts.scheme == "https" and bool(parts.hostname))

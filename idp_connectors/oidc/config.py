"""What an administrator sets for an OpenID Connect connection; form, API schema and docs come from here."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator

from idp_connectors.base import GroupKind
from idp_connectors.identity_rules import is_clean_text

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


class OidcConfig(BaseModel):
    """One OpenID Connect provider as an administrator describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="OpenID Connect")

    issuer: Text = Field(
        title="Issuer",
        description="The provider's issuer URL, exactly as its discovery document states it.",
        examples=["https://acme.okta.com"],
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
        if parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS:
            pass
        elif parts.scheme != "https" or not parts.hostname:
            raise ValueError("the issuer must be an https address")
        if parts.query or parts.fragment or "?" in value or "#" in value or parts.username is not None:
            raise ValueError("the issuer must have no query, fragment or user name")
        return value

    @field_validator("issuer", "client_id", "groups_claim")
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

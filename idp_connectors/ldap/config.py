"""What an administrator sets for an LDAP connection; form, API schema and docs come from here."""

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from cryptography import x509
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)

from idp_connectors.identity_rules import is_clean_text
from idp_connectors.ldap.filters import is_filter
from idp_connectors.ldap.identifiers import SUBJECT_ATTRIBUTES
from idp_connectors.ldap.names import parse_dn

Text = Annotated[str, StringConstraints(min_length=1, max_length=512, strip_whitespace=True)]
Flavour = Literal["active_directory", "samba_ad", "openldap", "389ds", "generic"]
GroupMode = Literal["token_groups", "in_chain", "member", "member_of"]

_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")


class LdapConfig(BaseModel):
    """One directory as an administrator describes it.

    Every connection is encrypted and its certificate checked; there is no setting that turns this off, and
    none that reads the directory without a password.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", title="LDAP / Active Directory")

    urls: tuple[Text, ...] = Field(
        min_length=1,
        max_length=8,
        title="Servers",
        description="Directory servers, tried in this order: `ldaps://HOST`, or `ldap://HOST` for StartTLS.",
        examples=[["ldaps://dc1.corp.example", "ldaps://dc2.corp.example"]],
    )
    ca_certificates: str = Field(
        default="",
        max_length=262_144,
        title="CA certificates",
        description="PEM certificates that sign the servers' own. Empty: those that this machine trusts.",
    )
    base_dn: Text = Field(
        title="Search base",
        description="The part of the tree in which people are. Nothing outside is read.",
        examples=["DC=corp,DC=example"],
    )
    group_base_dn: str = Field(
        default="",
        max_length=512,
        title="Search base for groups",
        description="The part of the tree whose groups count, if it is not the one for people.",
    )
    bind_dn: Text = Field(
        title="Bind account",
        description="The account that reads the directory, by its DN (or user principal name). Read-only.",
    )
    bind_password: SecretStr = Field(
        title="Bind password",
        description="The password of that account. It is stored encrypted and never shown again.",
        min_length=1,
        max_length=1024,
        json_schema_extra={"secret": True},
    )
    flavour: Flavour | Literal["auto"] = Field(
        default="auto", title="Directory", description="What the server is; `auto` asks the server itself."
    )
    login_attribute: str = Field(
        default="",
        max_length=64,
        title="Login attribute",
        description=(
            "The attribute that holds the user name. Empty means `uid`, or for Active Directory "
            "`userPrincipalName` with an @ in the name and `sAMAccountName` without."
        ),
    )
    user_filter: str = Field(
        default="",
        max_length=2048,
        title="User filter",
        description="An LDAP filter that people must match besides their name. Empty means any person.",
    )
    subject_attribute: str = Field(
        default="",
        title="Stable identifier",
        description=(
            "What identifies a person for good. Empty means the directory's own: `objectGUID`, `nsUniqueId` "
            "or `entryUUID`."
        ),
    )
    group_mode: GroupMode | Literal["auto"] = Field(
        default="auto",
        title="How groups are found",
        description=(
            "`token_groups` and `in_chain` let Active Directory follow nesting; `member` walks up the groups "
            "that list a person; `member_of` follows memberOf, which members must not be able to write."
        ),
    )
    group_filter: str = Field(
        default="",
        max_length=2048,
        title="Group filter",
        description="An LDAP filter that groups must match. Empty means any group.",
    )
    group_id: Literal["auto", "sid", "guid"] = Field(
        default="auto",
        title="Group identifier",
        description="Which immutable identifier of a group is told; `auto` is the SID where there is one.",
    )
    sync_hours: int = Field(
        default=0,
        ge=0,
        le=168,
        title="Hours between walks",
        description=(
            "How often the whole directory is read, to switch off people who are gone and to bring groups up "
            "to date. 0: only when somebody asks."
        ),
    )
    email_domains: tuple[Text, ...] = Field(
        default=(),
        title="E-mail domains",
        description="Domains whose addresses this directory assigns. Addresses elsewhere are only hearsay.",
    )

    @property
    def group_base(self) -> str:
        """The part of the tree whose groups count."""
        return self.group_base_dn or self.base_dn

    @field_validator("urls")
    @classmethod
    def _urls_name_servers_only(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            parts = urlsplit(url)
            if parts.scheme not in ("ldaps", "ldap") or not parts.hostname:
                raise ValueError("a server is written ldaps://HOST or ldap://HOST")
            if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
                raise ValueError("a server is a host and perhaps a port, nothing more")
            if parts.port == 0:
                raise ValueError("a port lies between 1 and 65535")
        return value

    @field_validator("ca_certificates")
    @classmethod
    def _certificates_can_be_read(cls, value: str) -> str:
        if value.strip():
            try:
                x509.load_pem_x509_certificates(value.encode())
            except ValueError:
                raise ValueError("the CA certificates are not in PEM form") from None
        return value.strip()

    @field_validator("base_dn", "group_base_dn")
    @classmethod
    def _base_is_a_name(cls, value: str) -> str:
        parse_dn(value)
        return value

    @field_validator("bind_dn")
    @classmethod
    def _account_is_clean(cls, value: str) -> str:
        if not is_clean_text(value):
            raise ValueError("the text contains invisible characters")
        return value

    @field_validator("bind_password")
    @classmethod
    def _bind_password_is_one(cls, value: SecretStr) -> SecretStr:
        # Without this: servers take a blank password as a wish to stay anonymous, and agree (L04).
        if not value.get_secret_value().strip("\0 ") or "\0" in value.get_secret_value():
            raise ValueError("the bind password must not be blank")
        return value

    @field_validator("login_attribute")
    @classmethod
    def _attribute_is_a_name(cls, value: str) -> str:
        if value and not _ATTRIBUTE.fullmatch(value):
            raise ValueError("this is not the name of an attribute")
        return value

    @field_validator("subject_attribute")
    @classmethod
    def _subject_is_assigned_by_the_directory(cls, value: str) -> str:
        # Without this: an attribute that people may write themselves makes them somebody else (L10).
        if value and value not in SUBJECT_ATTRIBUTES:
            raise ValueError(f"the stable identifier must be one of {', '.join(SUBJECT_ATTRIBUTES)}")
        return value

    @field_validator("user_filter", "group_filter")
    @classmethod
    def _filter_is_whole(cls, value: str) -> str:
        # Without this: a half filter joined with ours asks something that neither half means (L01).
        if value and not is_filter(value):
            raise ValueError("this is not one whole LDAP filter in parentheses")
        return value.strip()

    @model_validator(mode="after")
    def _bases_leave_something_out(self) -> Self:
        if not parse_dn(self.base_dn) or (self.group_base_dn and not parse_dn(self.group_base_dn)):
            raise ValueError("the search base must not be the whole tree")
        return self

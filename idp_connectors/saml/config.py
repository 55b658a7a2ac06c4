"""What an administrator sets for a SAML connection; form, API schema and docs come from here."""

import base64
import binascii
import re
from functools import lru_cache
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from idp_connectors.base import GroupKind
from idp_connectors.groups.plan import GroupPlanSettings

Text = Annotated[str, StringConstraints(min_length=1, max_length=512, strip_whitespace=True)]
CertificateText = Annotated[str, StringConstraints(min_length=1, max_length=32_768)]

MIN_RSA_BITS = 2048
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
_CURVES = ("secp256r1", "secp384r1", "secp521r1")


class SamlSignInSettings(BaseModel):
    """The part of the settings that a sign-in needs.

    Keys come from `certificates` alone: what a message carries in its KeyInfo is never trusted, and there is
    no fingerprint mode.
    """

    idp_entity_id: Text = Field(
        title="Identity provider entity ID",
        description="The provider's name for itself, exactly as its metadata and assertions spell it.",
    )
    sso_url: Text = Field(
        title="Sign-in URL", description="Where the provider takes sign-in requests (HTTP-Redirect binding)."
    )
    slo_url: str = Field(
        default="",
        max_length=512,
        title="Sign-out URL",
        description="Where the provider takes sign-out messages (HTTP-Redirect binding). Empty: none.",
    )
    certificates: tuple[CertificateText, ...] = Field(
        min_length=1,
        max_length=10,
        title="Signing certificates",
        description="The provider's signing certificates, PEM or base64. Keep old and new during a change.",
    )
    subject: str = Field(
        default="nameid",
        pattern=r"^(nameid|nameid-any-format|attribute:\S.{0,255})$",
        title="Stable identifier",
        description=(
            "What identifies a person for good: `nameid` (persistent format), `attribute:NAME`, or, weaker, "
            "`nameid-any-format` for providers that label a stable NameID otherwise."
        ),
    )
    groups_attribute: str = Field(
        default="groups",
        max_length=512,
        title="Groups attribute",
        description="The attribute that lists a person's groups. Leave empty if the provider sends none.",
    )
    group_kind: GroupKind = Field(
        default="name", title="Kind of group name", description="Which sort of name the attribute holds."
    )
    email_attribute: str = Field(
        default="",
        max_length=512,
        title="E-mail attribute",
        description="Only needed if the provider uses an unusual name for it.",
    )
    name_attribute: str = Field(
        default="",
        max_length=512,
        title="Display name attribute",
        description="Only needed if the provider uses an unusual name for it.",
    )
    email_domains: tuple[Text, ...] = Field(
        default=(),
        title="E-mail domains",
        description="Domains whose addresses this provider assigns. Addresses elsewhere are only hearsay.",
    )
    assertion_signed: bool = Field(
        default=True,
        title="Require a signed assertion",
        description="Refuse assertions without their own signature. Switch off only with the next one on.",
    )
    response_signed: bool = Field(
        default=False,
        title="Require a signed response",
        description="Refuse responses without a signature over the whole message.",
    )
    metadata_url: str = Field(
        default="",
        max_length=2000,
        title="Metadata URL",
        description=(
            "Where the provider publishes its metadata. It is read every few hours; new signing certificates "
            "are taken over if a certificate that is trusted already has signed it, and shown otherwise."
        ),
    )
    metadata_certificates: tuple[CertificateText, ...] = Field(
        default=(),
        max_length=10,
        title="Certificates of the metadata",
        description="Only if others than the signing certificates sign the metadata, as in a federation.",
    )
    sign_requests: bool = Field(
        default=False,
        title="Sign sign-in requests",
        description="Sign what is sent. The provider needs the signing certificate of our metadata first.",
    )
    encryption: Literal["off", "accepted", "required"] = Field(
        default="off",
        title="Encrypted assertions",
        description=(
            "`accepted` takes encrypted and plain ones, `required` refuses plain ones. AES-GCM with RSA-OAEP "
            "only; our encryption certificate is in the metadata."
        ),
    )
    step_up_values: tuple[Text, ...] = Field(
        default=(),
        title="Step-up values",
        description="Authentication contexts that the provider can be asked to prove, as it spells them.",
    )
    idp_initiated: bool = Field(
        default=False,
        title="Start from the provider's app list",
        description=(
            "People who click this application at the provider start a new sign-in here. What the provider "
            "sent unasked is not read."
        ),
    )
    confirmation_minutes: int = Field(
        default=10,
        ge=1,
        le=75,
        title="Longest confirmation in minutes",
        description="Minutes that a subject confirmation may lie ahead. Microsoft Entra needs more than 10.",
    )

    @field_validator("sso_url")
    @classmethod
    def _url_is_safe(cls, value: str) -> str:
        return _safe_url("sign-in", value)

    @field_validator("slo_url")
    @classmethod
    def _sign_out_url_is_safe(cls, value: str) -> str:
        return _safe_url("sign-out", value) if value else value

    @field_validator("metadata_url")
    @classmethod
    def _metadata_url_is_safe(cls, value: str) -> str:
        return _safe_url("metadata", value) if value else value

    @field_validator("certificates", "metadata_certificates")
    @classmethod
    def _certificates_are_usable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        pasted = [part for text in value for part in (_PEM.findall(text) or [text])]
        return tuple(dict.fromkeys(_normalise_certificate(part) for part in pasted))

    @model_validator(mode="after")
    def _something_is_signed(self) -> Self:
        if not (self.assertion_signed or self.response_signed):
            raise ValueError("the assertion, the response or both must be signed")
        return self


class SamlConfig(GroupPlanSettings, SamlSignInSettings):
    """One SAML identity provider as an administrator describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="SAML 2.0")


def _safe_url(name: str, value: str) -> str:
    parts = urlsplit(value)
    on_loopback = parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS
    if not on_loopback and (parts.scheme != "https" or not parts.hostname):
        raise ValueError(f"the {name} URL must be an https address")
    if parts.fragment or parts.username is not None:
        raise ValueError(f"the {name} URL must have no fragment or user name")
    return value


@lru_cache(maxsize=1024)
def _normalise_certificate(text: str) -> str:
    """Return a certificate as one line of base64, if its key is strong enough; raises ValueError."""
    try:
        certificate = x509.load_der_x509_certificate(base64.b64decode("".join(text.split()), validate=True))
        key = certificate.public_key()
    except (binascii.Error, ValueError) as error:
        raise ValueError("a certificate cannot be read") from error
    # Without this: a key that can be factored signs for everybody.
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            raise ValueError(f"a certificate's RSA key has less than {MIN_RSA_BITS} bits")
    elif not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _CURVES:
        raise ValueError("a certificate's key is neither RSA nor on a known curve")
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()

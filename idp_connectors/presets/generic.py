"""Any other provider: standard OpenID Connect or SAML 2.0, with the names that most of them use."""

from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.presets.preset import Give, GroupStrategy, Mishap, Preset, Side, Take
from idp_connectors.presets.shapes import (
    ACS,
    CALLBACK,
    ENTITY_ID,
    HTTPS,
    OIDC_MISHAPS,
    PLAIN,
    SAML_MISHAPS,
    certificate,
    client_id,
    client_secret,
)

_OIDC = Side(
    takes=(
        Take(
            name="issuer",
            title="Issuer",
            console="the member issuer of the provider's discovery document",
            pattern=HTTPS,
            example="https://id.corp.example",
        ),
        client_id("the client's registration"),
        client_secret("the client's registration"),
    ),
    gives=(
        CALLBACK,
        Give(console="Back-channel logout URI", value="sign_out_url", is_required=False),
        Give(console="Post-logout redirect URI", value="signed_out_url", is_required=False),
    ),
    settings={
        "issuer": "${issuer}",
        "client_id": "${client_id}",
        "client_secret": "${client_secret}",
        "subject": "sub",
        "groups_claim": "groups",
        "group_kind": "name",
    },
    claims={
        "email": "email",
        "display_name": "name",
        "given_name": "given_name",
        "family_name": "family_name",
    },
    groups=GroupStrategy(
        kind="name",
        limit=None,
        advice="Find out whether the provider sends ids, names or paths, and what it does with long lists.",
        console="the groups claim of the client",
    ),
    subject_why="`sub` identifies a person at the provider and is never given to somebody else.",
    steps=(
        "Register a confidential client for the authorization code flow with PKCE.",
        "Paste our redirect URI.",
        "Have the provider put the person's groups into the ID token, in a claim named groups.",
        "Copy issuer, client ID and client secret.",
    ),
    mishaps=(
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="redirect_uri",
            cause="The provider does not know our redirect URI.",
            fix="Copy it again; every character counts.",
            console="Redirect URI",
        ),
        *OIDC_MISHAPS,
    ),
)

_SAML = Side(
    takes=(
        Take(
            name="idp_entity_id",
            title="Identity provider entity ID",
            console="the attribute entityID of the provider's metadata",
            pattern=PLAIN,
            example="https://id.corp.example/saml",
        ),
        Take(
            name="sso_url",
            title="Sign-in URL",
            console="the SingleSignOnService with HTTP-Redirect binding in the provider's metadata",
            pattern=HTTPS,
            example="https://id.corp.example/saml/sso",
        ),
        certificate("the KeyDescriptor for signing in the provider's metadata"),
    ),
    gives=(
        ACS,
        ENTITY_ID,
        Give(console="Single logout service (HTTP-Redirect)", value="sign_out_url", is_required=False),
    ),
    settings={
        "idp_entity_id": "${idp_entity_id}",
        "sso_url": "${sso_url}",
        "certificates": ("${certificate}",),
        "subject": "nameid",
        "groups_attribute": "groups",
        "group_kind": "name",
        "assertion_signed": True,
        "response_signed": False,
    },
    claims={
        "email": "urn:oid:0.9.2342.19200300.100.1.3",
        "display_name": "urn:oid:2.16.840.1.113730.3.1.241",
        "given_name": "urn:oid:2.5.4.42",
        "family_name": "urn:oid:2.5.4.4",
    },
    groups=GroupStrategy(
        kind="name",
        limit=None,
        advice="Find out whether the provider sends ids, names or paths, and what it does with long lists.",
        console="the groups attribute of the service provider",
    ),
    subject_why="A persistent NameID is made for us and never given to somebody else.",
    steps=(
        "Register a service provider with our entity ID and our ACS URL, or import our metadata.",
        "Have assertions signed with SHA-256, and not encrypted.",
        "Release a persistent NameID, or an attribute that stays and is never given to somebody else.",
        "Release e-mail address, names and groups; each attribute once, with all its values.",
        "Copy entity ID, sign-in URL and signing certificate.",
    ),
    our_keys="the service provider's certificate, if our metadata is not read by itself",
    mishaps=(
        Mishap(
            code=Code.CLAIM_INVALID,
            sign="NameID format",
            cause="The provider sends a NameID that is not persistent.",
            fix="Have it release a persistent one, or name an attribute that stays as identifier.",
            console="Name ID format",
        ),
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="InvalidNameIDPolicy",
            cause="The provider has no rule that issues a NameID.",
            fix="Add a rule that turns an attribute into the NameID.",
            console="Name ID rules",
        ),
        *SAML_MISHAPS,
    ),
)

PRESET = Preset(title="Another provider", sides={"oidc": _OIDC, "saml": _SAML})

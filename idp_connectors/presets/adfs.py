"""Active Directory Federation Services, 2016 and later, by SAML.

Not by OpenID Connect: its `sid` is the account's Windows SID, where that protocol names a session.
"""

from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.presets.preset import Give, GroupStrategy, Mishap, Preset, Side, Take
from idp_connectors.presets.shapes import HOST, SAML_MISHAPS, certificate

_CLAIMS = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims"
_WINDOWS = "http://schemas.microsoft.com/ws/2008/06/identity/claims"

_SAML = Side(
    takes=(
        Take(
            name="service_host",
            title="Federation service name",
            console="AD FS > Service > Edit Federation Service Properties",
            pattern=HOST,
            example="fs.corp.example",
        ),
        certificate("AD FS > Service > Certificates > Token-signing > View Certificate > Details"),
    ),
    gives=(
        Give(console="Relying Party Trust > Identifiers", value="entity_id"),
        Give(console="Endpoints > SAML Assertion Consumer Endpoints (POST)", value="callback_url"),
        Give(console="Endpoints > SAML Logout Endpoints (Redirect)", value="sign_out_url", is_required=False),
    ),
    settings={
        # It spells its own name with http, although nothing is fetched there.
        "idp_entity_id": "http://${service_host}/adfs/services/trust",
        "sso_url": "https://${service_host}/adfs/ls/",
        "slo_url": "https://${service_host}/adfs/ls/",
        "metadata_url": "https://${service_host}/FederationMetadata/2007-06/FederationMetadata.xml",
        "certificates": ("${certificate}",),
        "subject": f"attribute:{_WINDOWS}/primarysid",
        "groups_attribute": f"{_WINDOWS}/groupsid",
        "group_kind": "id",
        "name_attribute": f"{_CLAIMS}/name",
        "assertion_signed": True,
        "response_signed": False,
    },
    claims={
        "email": f"{_CLAIMS}/emailaddress",
        "given_name": f"{_CLAIMS}/givenname",
        "family_name": f"{_CLAIMS}/surname",
    },
    groups=GroupStrategy(
        kind="id",
        limit=None,
        advice=(
            "Group SIDs stay when a group is renamed, and nested groups are among them. "
            "Pass on only those that lead to roles, by a rule that compares."
        ),
        console="Relying Party Trust > Edit Claim Issuance Policy",
    ),
    subject_why="The primary SID stays when account name or address change, and is never given out twice.",
    steps=(
        "Open Relying Party Trusts, add a claims-aware one, and import our metadata from its address once "
        "this connection is saved; or enter our entity ID and ACS URL by hand.",
        "Choose an access control policy for the people who may sign in.",
        "In the claim issuance policy, pass through the incoming claims Primary SID and Group SID.",
        "Add a rule that sends LDAP attributes of Active Directory: E-Mail-Addresses as E-Mail Address, "
        "Display-Name as Name, Given-Name as Given Name, Surname as Surname.",
        "Leave the encryption certificate empty, unless this connection takes encrypted assertions.",
        "Copy the federation service name and export the token-signing certificate as Base64.",
    ),
    our_keys="Relying Party Trust > Signature; for encryption, Encryption",
    mishaps=(
        Mishap(
            code=Code.CLAIM_MISSING,
            cause="No rule passes the primary SID on.",
            fix="Add a rule that passes through the incoming claim Primary SID.",
            console="Relying Party Trust > Edit Claim Issuance Policy",
        ),
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="InvalidNameIDPolicy",
            cause="A NameID is asked for and no rule issues one.",
            fix="Identify people by the attribute that this preset sets, or add a rule that issues a NameID.",
            console="Relying Party Trust > Edit Claim Issuance Policy",
        ),
        Mishap(
            code=Code.SIGNATURE_INVALID,
            sign="response signed: False",
            cause="AD FS signs the assertion only, unless it is told otherwise.",
            fix="Switch off the demand for a signed response here, or set SamlResponseSignature to "
            "MessageAndAssertion by PowerShell.",
            console="Set-AdfsRelyingPartyTrust -SamlResponseSignature",
        ),
        *SAML_MISHAPS,
    ),
)

PRESET = Preset(title="AD FS", sides={"saml": _SAML})

"""Keycloak: a realm by OpenID Connect or SAML, groups by path through a mapper."""

from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.presets.preset import Give, GroupStrategy, Mishap, Preset, Side, Take
from idp_connectors.presets.shapes import (
    HOST,
    OIDC_MISHAPS,
    PLAIN,
    SAML_MISHAPS,
    certificate,
    client_id,
    client_secret,
)

_REALM = Take(
    name="realm_url",
    title="Realm address",
    console="Realm settings > Endpoints > OpenID Endpoint Configuration, its issuer",
    pattern=rf"https://{HOST}(:[0-9]{{1,5}})?(/[A-Za-z0-9._-]{{1,64}}){{0,4}}/realms/[A-Za-z0-9._-]{{1,64}}",
    example="https://sso.corp.example/realms/corp",
)

_OIDC = Side(
    takes=(
        _REALM,
        client_id("Clients > Client ID", PLAIN, "agent-broker"),
        client_secret("Clients > Credentials > Client secret"),
    ),
    gives=(
        Give(console="Valid redirect URIs", value="callback_url"),
        Give(console="Valid post logout redirect URIs", value="signed_out_url", is_required=False),
        Give(console="Backchannel logout URL", value="sign_out_url", is_required=False),
    ),
    settings={
        "issuer": "${realm_url}",
        "client_id": "${client_id}",
        "client_secret": "${client_secret}",
        "scopes": ("openid", "profile", "email"),
        "subject": "sub",
        "groups_claim": "groups",
        "group_kind": "path",
    },
    claims={
        "email": "email",
        "display_name": "name",
        "given_name": "given_name",
        "family_name": "family_name",
    },
    groups=GroupStrategy(
        kind="path",
        limit=None,
        advice="Add a Group Membership mapper with full paths: a bare name may occur under several parents.",
        console="Client scopes > Mappers > Group Membership",
    ),
    subject_why="`sub` is the user's UUID in the realm.",
    steps=(
        "Open Clients in your realm and create an OpenID Connect client with client authentication on.",
        "Leave the standard flow on and everything else off, and paste our redirect URI.",
        "Switch Front channel logout off, paste our back-channel logout URL, and leave Backchannel logout "
        "session required off: with it on, Keycloak names one session only when it ends all of a person's.",
        "Copy the client secret from the Credentials tab.",
        "In the client's dedicated scope, add a Group Membership mapper: token claim name groups, full group "
        "path on, added to the ID token.",
    ),
    mishaps=(
        Mishap(
            code=Code.DISCOVERY_INVALID,
            cause="Behind a proxy Keycloak takes its issuer from the request unless its hostname is fixed.",
            fix="Set the hostname option to the address that people use.",
            console="hostname option of the server",
        ),
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="redirect_uri",
            cause="The redirect URI is not among the valid ones.",
            fix="Copy our redirect URI again.",
            console="Clients > Valid redirect URIs",
        ),
        *OIDC_MISHAPS,
    ),
)

_SAML = Side(
    takes=(_REALM, certificate("Realm settings > Keys > RS256 > Certificate")),
    gives=(
        Give(console="Client ID", value="entity_id"),
        Give(
            console="Valid redirect URIs, Assertion Consumer Service POST Binding URL", value="callback_url"
        ),
        Give(console="Logout Service Redirect Binding URL", value="sign_out_url", is_required=False),
    ),
    settings={
        "idp_entity_id": "${realm_url}",
        "sso_url": "${realm_url}/protocol/saml",
        "slo_url": "${realm_url}/protocol/saml",
        "metadata_url": "${realm_url}/protocol/saml/descriptor",
        "certificates": ("${certificate}",),
        "subject": "nameid",
        "groups_attribute": "groups",
        "group_kind": "path",
        "assertion_signed": True,
        "response_signed": True,
    },
    claims={
        "email": "urn:oid:0.9.2342.19200300.100.1.3",
        "given_name": "urn:oid:2.5.4.42",
        "family_name": "urn:oid:2.5.4.4",
    },
    groups=GroupStrategy(
        kind="path",
        limit=None,
        advice="Add a Group list mapper with a single attribute and full paths.",
        console="Client scopes > Mappers > Group list",
    ),
    subject_why="A persistent NameID is made for this client and never given to somebody else.",
    steps=(
        "Open Clients in your realm and create a SAML client whose client ID is our entity ID.",
        "Paste our ACS URL as valid redirect URI and as POST binding of the assertion consumer service, and "
        "our logout URL as redirect binding of the logout service. Leave Master SAML Processing URL empty: "
        "Keycloak would post the answers to sign-outs there.",
        "Set the name ID format to persistent and force it.",
        "Switch on Sign documents and Sign assertions, and off Client signature required.",
        "Add a Group list mapper: attribute name groups, single group attribute on, full group path on.",
        "Add the X500 mappers for email, given name and surname.",
        "Remove the scope role_list from the client's scopes: it sends an attribute anew for each role.",
        "Copy the realm's RS256 certificate.",
    ),
    our_keys="Clients > the client > Keys > Import key",
    mishaps=(
        Mishap(
            code=Code.CLAIM_INVALID,
            sign="attribute 'Role'",
            cause="The scope role_list, which every client is given, sends one attribute for each role.",
            fix="Remove that scope from this client, or switch on Single Role Attribute in its mapper.",
            console="Clients > Client scopes > role_list",
        ),
        Mishap(
            code=Code.CLAIM_INVALID,
            sign="NameID format",
            cause="The client sends the user name instead of a persistent name.",
            fix="Set the name ID format to persistent and force it.",
            console="Clients > Name ID format",
        ),
        Mishap(
            code=Code.SIGNATURE_INVALID,
            sign="assertion signed: False",
            cause="The client signs the document only.",
            fix="Switch on Sign assertions.",
            console="Clients > Sign assertions",
        ),
        Mishap(
            code=Code.SIGNATURE_INVALID,
            sign="response signed: False",
            cause="The client signs the assertion only, so that the status around it could be changed.",
            fix="Switch on Sign documents.",
            console="Clients > Sign documents",
        ),
        *SAML_MISHAPS,
    ),
)

PRESET = Preset(title="Keycloak", sides={"oidc": _OIDC, "saml": _SAML})

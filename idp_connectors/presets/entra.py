"""Microsoft Entra ID: application registrations and enterprise applications, groups by object id."""

from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.presets.preset import Give, GroupStrategy, Mishap, Preset, Side, Take
from idp_connectors.presets.shapes import (
    GUID,
    OIDC_MISHAPS,
    SAML_MISHAPS,
    certificate,
    client_id,
    client_secret,
)

_CLAIMS = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims"
_IDENTITY = "http://schemas.microsoft.com/identity/claims"
_TENANT = Take(
    name="tenant_id",
    title="Directory (tenant) ID",
    console="Overview > Directory (tenant) ID",
    pattern=GUID,
    example="11111111-2222-3333-4444-555555555555",
)
_NOT_ASSIGNED = Mishap(
    code=Code.UPSTREAM_REFUSED,
    sign="AADSTS50105",
    cause="Assignment is required and the person is not assigned.",
    fix="Assign the person or a group that they are directly in.",
    console="Enterprise applications > Users and groups",
)
_WRONG_TENANT = (
    Mishap(
        code=Code.UPSTREAM_REFUSED,
        sign="AADSTS700016",
        cause="The directory does not know this application.",
        fix="Compare client ID and tenant ID with the Overview page.",
        console="Overview",
    ),
    Mishap(
        code=Code.UPSTREAM_REFUSED,
        sign="AADSTS90002",
        cause="There is no such directory.",
        fix="Compare the tenant ID with the Overview page.",
        console="Overview > Directory (tenant) ID",
    ),
)

_OIDC = Side(
    takes=(
        _TENANT,
        client_id("Overview > Application (client) ID", GUID, "66666666-7777-8888-9999-000000000000"),
        client_secret("Certificates & secrets > Client secrets > Value, not Secret ID"),
    ),
    gives=(
        Give(console="Authentication > Web > Redirect URIs", value="callback_url"),
        # It sends people back after signing out only to an address that is registered there too.
        Give(
            console="Authentication > Web > Redirect URIs (a second one)",
            value="signed_out_url",
            is_required=False,
        ),
    ),
    settings={
        "issuer": "https://login.microsoftonline.com/${tenant_id}/v2.0",
        "tenant_ids": ("${tenant_id}",),
        "client_id": "${client_id}",
        "client_secret": "${client_secret}",
        "client_auth": "client_secret_post",
        "scopes": ("openid", "profile", "email"),
        "subject": "oid+tid",
        "step_up": "acrs",
        "groups_claim": "groups",
        "group_kind": "id",
        "group_lookup": "entra_graph",
        "group_lookup_when": "overage",
    },
    claims={
        "email": "email",
        "display_name": "name",
        "given_name": "given_name",
        "family_name": "family_name",
    },
    groups=GroupStrategy(
        kind="id",
        limit=200,
        advice=(
            "Up to 200 groups come in the token, nested ones counted; for more, Microsoft Graph is asked. "
            "Map object ids: names can be taken by others."
        ),
        console="Token configuration > Groups claim",
    ),
    subject_why="Object and tenant ID stay; `sub` changes with every application registration.",
    steps=(
        "Open App registrations, register a new application for this directory only, and add our redirect "
        "URI for the Web platform.",
        "Copy application (client) ID and directory (tenant) ID from the Overview page.",
        "Under Authentication, leave the boxes for implicit tokens off.",
        "Under Certificates & secrets, make a client secret, copy its Value, and note when it ends.",
        "Under Token configuration, add a groups claim, groups assigned to the application or security "
        "groups, by Group ID, and the optional claims email and auth_time for the ID token.",
        "Under API permissions, add the Microsoft Graph application permissions GroupMember.Read.All and "
        "User.Read.All and grant admin consent. They are used only where a token cannot hold all groups.",
        "In Enterprise applications, require assignment and assign the groups whose people may sign in.",
        "In a national cloud, change the host of the issuer and the Microsoft Graph host together.",
    ),
    mishaps=(
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="AADSTS50011",
            cause="The redirect URI is not registered, or differs by a slash, case or port.",
            fix="Copy our redirect URI again.",
            console="Authentication > Web > Redirect URIs",
        ),
        *_WRONG_TENANT,
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="AADSTS7000215",
            cause="The secret's ID was pasted instead of its value.",
            fix="Make a new client secret and copy the Value.",
            console="Certificates & secrets > Client secrets",
        ),
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="AADSTS7000222",
            cause="The client secret has expired.",
            fix="Make a new client secret and paste its Value here.",
            console="Certificates & secrets > Client secrets",
        ),
        _NOT_ASSIGNED,
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="AADSTS65001",
            cause="Nobody has consented to what the application asks for.",
            fix="Grant admin consent.",
            console="API permissions > Grant admin consent",
        ),
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="AADSTS90094",
            cause="Only an administrator may consent.",
            fix="Grant admin consent.",
            console="API permissions > Grant admin consent",
        ),
        Mishap(
            code=Code.ISSUER_MISMATCH,
            cause="The person signed in at another directory, or with a private account.",
            fix="Compare the tenant ID; add the directory to the list if its people are meant to sign in.",
            console="Overview > Directory (tenant) ID",
        ),
        Mishap(
            code=Code.SIGNATURE_INVALID,
            cause="The application has signing keys of its own, which the directory's document leaves out.",
            fix="Set the discovery address to the directory's document with ?appid= and the client ID.",
            console="Discovery address",
        ),
        Mishap(
            code=Code.CLAIM_MISSING,
            cause="The claims oid or tid are absent because the profile scope was not asked for.",
            fix="Put profile among this connection's scopes.",
            console="Scopes",
        ),
        *OIDC_MISHAPS,
    ),
)

_SAML = Side(
    takes=(_TENANT, certificate("SAML Certificates > Certificate (Base64)")),
    gives=(
        Give(console="Basic SAML Configuration > Identifier (Entity ID)", value="entity_id"),
        Give(
            console="Basic SAML Configuration > Reply URL (Assertion Consumer Service URL)",
            value="callback_url",
        ),
        Give(console="Basic SAML Configuration > Logout Url", value="sign_out_url", is_required=False),
    ),
    settings={
        "idp_entity_id": "https://sts.windows.net/${tenant_id}/",
        "sso_url": "https://login.microsoftonline.com/${tenant_id}/saml2",
        "certificates": ("${certificate}",),
        "subject": f"attribute:{_IDENTITY}/objectidentifier",
        "groups_attribute": "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups",
        "group_kind": "id",
        "assertion_signed": True,
        "response_signed": False,
        # Entra lets an assertion live for 70 minutes.
        "confirmation_minutes": 75,
    },
    claims={
        "email": f"{_CLAIMS}/emailaddress",
        "display_name": f"{_IDENTITY}/displayname",
        "given_name": f"{_CLAIMS}/givenname",
        "family_name": f"{_CLAIMS}/surname",
    },
    groups=GroupStrategy(
        kind="id",
        limit=150,
        advice=(
            "Up to 150 groups come in the assertion; beyond that Entra sends a link, which counts as "
            "incomplete. Take groups from an OpenID Connect connection to the same directory, which asks "
            "Microsoft Graph, or emit only groups assigned to the application."
        ),
        console="Attributes & Claims > Group claims",
    ),
    subject_why="The object ID stays when name or address change; the entity ID names the directory.",
    steps=(
        "Open Enterprise applications, create one of your own that is not in the gallery.",
        "Under Single sign-on choose SAML, and paste our entity ID and our reply URL. Leave the sign-on URL "
        "empty.",
        "Under Attributes & Claims, add a group claim by Group ID for groups assigned to the application.",
        "Under SAML Certificates, leave the signing option at the assertion and download the Base64 "
        "certificate.",
        "Copy the directory (tenant) ID from the directory's Overview page.",
        "Under Users and groups, assign the groups whose people may sign in.",
    ),
    our_keys="Single sign-on > Verification certificates; for encryption, Token encryption",
    mishaps=(
        _NOT_ASSIGNED,
        *_WRONG_TENANT,
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="AADSTS50011",
            cause="The reply URL is not registered, or differs by a slash, case or port.",
            fix="Copy our reply URL again.",
            console="Basic SAML Configuration > Reply URL",
        ),
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="AADSTS75011",
            cause="A way to sign in was demanded that the person did not use.",
            fix="Demand none: this preset's requests leave the choice to Entra's policies.",
            console="Conditional Access",
        ),
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="AADSTS75005",
            cause="The sign-in URL was opened without a request of ours.",
            fix="Start at the broker's sign-in page.",
            console="Basic SAML Configuration > Sign on URL",
        ),
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="AADSTS750054",
            cause="The sign-in URL was opened without a request of ours.",
            fix="Start at the broker's sign-in page.",
            console="Basic SAML Configuration > Sign on URL",
        ),
        Mishap(
            code=Code.SIGNATURE_INVALID,
            cause="The certificate is that of the directory, not of the application, or an old one.",
            fix="Download the active certificate of this application.",
            console="SAML Certificates > Certificate (Base64)",
        ),
        *SAML_MISHAPS,
    ),
)

PRESET = Preset(title="Microsoft Entra ID", sides={"oidc": _OIDC, "saml": _SAML})

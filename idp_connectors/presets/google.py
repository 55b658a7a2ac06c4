"""Google Workspace: OpenID Connect with groups from the Directory API, and SAML by primary e-mail address."""

from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.presets.preset import Give, GroupStrategy, Mishap, Preset, Side, Take
from idp_connectors.presets.shapes import (
    HOST,
    OIDC_MISHAPS,
    SAML_MISHAPS,
    certificate,
    client_id,
    client_secret,
)

_OIDC = Side(
    takes=(
        client_id(
            "Credentials > OAuth 2.0 Client IDs > Client ID",
            r"[A-Za-z0-9-]{1,200}\.apps\.googleusercontent\.com",
            "1234-abc.apps.googleusercontent.com",
        ),
        client_secret("Credentials > OAuth 2.0 Client IDs > Client secret"),
        Take(
            name="domain",
            title="Primary domain",
            console="Account > Domains > Manage domains",
            pattern=HOST,
            example="corp.example",
        ),
        Take(
            name="google_admin",
            title="Administrator to read groups as",
            console="Directory > Users; a user whose role may read groups",
            pattern=rf"[A-Za-z0-9._+'-]{{1,64}}@{HOST}",
            example="groups-reader@corp.example",
        ),
        Take(
            name="google_service_account",
            title="Service account key",
            console="IAM & Admin > Service Accounts > Keys (JSON)",
            pattern=r"\{[\s\S]{1,16000}\}",
            example='{"type": "service_account", ...}',
            is_secret=True,
        ),
    ),
    gives=(Give(console="Authorized redirect URIs", value="callback_url"),),
    settings={
        "issuer": "https://accounts.google.com",
        "client_id": "${client_id}",
        "client_secret": "${client_secret}",
        "scopes": ("openid", "profile", "email"),
        "subject": "sub",
        "hosted_domains": ("${domain}",),
        "email_domains": ("${domain}",),
        "extra_authorize_params": {"hd": "${domain}"},
        # Google answers a prompt or an age that it does not know with an error page.
        "step_up": "none",
        "groups_claim": "",
        "group_kind": "email",
        "group_lookup": "google_directory",
        # Google's tokens never carry groups, so that there is no overage to wait for.
        "group_lookup_when": "always",
        "google_admin": "${google_admin}",
        "google_service_account": "${google_service_account}",
    },
    claims={
        "email": "email",
        "display_name": "name",
        "given_name": "given_name",
        "family_name": "family_name",
    },
    groups=GroupStrategy(
        kind="email",
        limit=None,
        advice=(
            "Tokens carry no groups; the Directory API is asked at every sign-in, nested groups included. "
            "Prefer security groups: anybody may be able to join others by themselves."
        ),
        console="Security > API controls > Domain-wide delegation",
    ),
    subject_why="`sub` is the account's id. It differs when a domain changes hands; addresses do not.",
    steps=(
        "In the Cloud console, choose a project and set the consent screen's user type to Internal.",
        "Under Credentials, create an OAuth client of type Web application with our redirect URI.",
        "Copy client ID and client secret.",
        "Enable the Admin SDK API and create a service account with a JSON key; note its numeric client ID.",
        "In the Admin console, under Security, API controls, Domain-wide delegation, add that client ID with "
        "the scope https://www.googleapis.com/auth/admin.directory.group.readonly.",
        "Choose an administrator whose role may read groups, for the service account to act as.",
    ),
    mishaps=(
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="redirect_uri_mismatch",
            cause="The redirect URI is not among the authorised ones.",
            fix="Copy our redirect URI again.",
            console="Credentials > Authorized redirect URIs",
        ),
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="org_internal",
            cause="The application is internal and the account belongs to another organisation.",
            fix="Choose the work account.",
            console="OAuth consent screen > User type",
        ),
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="admin_policy_enforced",
            cause="The Admin console's API controls block the application.",
            fix="Trust the application by its client ID.",
            console="Security > API controls > App access control",
        ),
        Mishap(
            code=Code.CLAIM_INVALID,
            sign="hd is",
            cause="The account belongs to another domain, or to none.",
            fix="Choose the work account; add secondary domains to this connection.",
            console="Account > Domains",
        ),
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="unauthorized_client",
            cause="The service account is not delegated the scope, or the scope is spelled differently.",
            fix="Enter the scope again, letter by letter, for the service account's numeric client ID.",
            console="Security > API controls > Domain-wide delegation",
        ),
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="Not Authorized to access this resource/api",
            cause="The administrator that the service account acts as may not read groups.",
            fix="Give that administrator a role that may read groups.",
            console="Account > Admin roles",
        ),
        *OIDC_MISHAPS,
    ),
)

_SAML = Side(
    takes=(
        Take(
            name="idp_id",
            title="Identity provider id",
            console="Google identity provider details > Entity ID, the part after idpid=",
            pattern=r"[A-Za-z0-9]{3,32}",
            example="C01abc234",
        ),
        certificate("Google identity provider details > Certificate"),
    ),
    gives=(
        Give(console="Service provider details > ACS URL", value="callback_url"),
        Give(console="Service provider details > Entity ID", value="entity_id"),
        Give(console="Service provider details > Start URL", value="base_url", is_required=False),
    ),
    settings={
        "idp_entity_id": "https://accounts.google.com/o/saml2?idpid=${idp_id}",
        "sso_url": "https://accounts.google.com/o/saml2/idp?idpid=${idp_id}",
        "certificates": ("${certificate}",),
        "subject": "nameid-any-format",
        "groups_attribute": "groups",
        "group_kind": "name",
        "groups_limit": 75,
        "assertion_signed": True,
        "response_signed": False,
    },
    claims={"email": "email", "given_name": "firstName", "family_name": "lastName"},
    groups=GroupStrategy(
        kind="name",
        limit=75,
        advice=(
            "At most 75 groups that you pick are sent, by name, so that 75 count as incomplete. A renamed "
            "group must be picked again."
        ),
        console="SAML attribute mapping > Group membership",
    ),
    subject_why=(
        "Google's SAML names people by their primary e-mail address, which may be given to somebody else. "
        "OpenID Connect has an identifier that stays."
    ),
    subject_is_weak=True,
    steps=(
        "Open Apps, Web and mobile apps, and add a custom SAML app.",
        "Copy the id at the end of the entity ID, and the certificate, from the page that is shown first.",
        "Paste our ACS URL and our entity ID. Leave the name ID at the primary e-mail address.",
        "Map the attributes email, firstName and lastName, and the groups under the name groups.",
        "Switch user access on for the organisational units whose people may sign in.",
    ),
    mishaps=(
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="app_not_configured_for_user",
            cause="The entity IDs differ, by case too, or the browser is signed in with another account.",
            fix="Compare our entity ID letter by letter, and choose the work account.",
            console="Service provider details > Entity ID",
        ),
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="app_not_enabled_for_user",
            cause="User access is off for the person's organisational unit.",
            fix="Switch it on.",
            console="User access",
        ),
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="app_not_configured",
            cause="Google knows no application with our entity ID.",
            fix="Paste our entity ID again and finish the wizard.",
            console="Service provider details > Entity ID",
        ),
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="duplicate entity id",
            cause="Another application of the Workspace has the same entity ID.",
            fix="Remove it: every connection has an entity ID of its own.",
            console="Service provider details > Entity ID",
        ),
        *SAML_MISHAPS,
    ),
)

PRESET = Preset(title="Google Workspace", sides={"oidc": _OIDC, "saml": _SAML})

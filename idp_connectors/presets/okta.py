"""Okta: one organisation, its org or custom authorization servers, and SAML applications."""

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

_OIDC = Side(
    takes=(
        Take(
            name="issuer",
            title="Issuer",
            console="Security > API > Authorization Servers, or your Okta domain with https:// before it",
            pattern=rf"https://{HOST}(/oauth2/[A-Za-z0-9_-]{{1,64}})?",
            example="https://acme.okta.com",
        ),
        client_id("the application's General tab, Client Credentials"),
        client_secret("the application's General tab, Client Secrets"),
    ),
    gives=(
        Give(console="Sign-in redirect URIs", value="callback_url"),
        Give(console="Sign-out redirect URIs", value="signed_out_url", is_required=False),
    ),
    settings={
        "issuer": "${issuer}",
        "client_id": "${client_id}",
        "client_secret": "${client_secret}",
        "scopes": ("openid", "profile", "email", "groups"),
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
        limit=100,
        advice=(
            "Okta sends names, which can be changed and may occur twice. Give the groups for agents a prefix "
            "of their own and filter by it, or let the Management API be asked for ids."
        ),
        console="Sign On > OpenID Connect ID Token > Groups claim",
    ),
    subject_why="`sub` is the user's id in the organisation: it stays when login or e-mail change.",
    steps=(
        "Open Applications, create an app integration, and choose OIDC with a web application.",
        "Leave Authorization Code as the grant type and paste our redirect URI as sign-in redirect URI.",
        "Assign the groups whose people may sign in.",
        "Copy client ID and client secret from the General tab.",
        "On the Sign On tab, edit the ID token: groups claim of type Filter, named groups, with the prefix "
        "that your groups share.",
        "With a custom authorization server: add an access policy and a rule for this application.",
        "To look groups up: create an API Services app with a public key, switch off DPoP for it, grant it "
        "okta.groups.read and okta.users.read and an administrator role that may view groups.",
    ),
    mishaps=(
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="redirect_uri",
            cause="Okta does not know our redirect URI for this application.",
            fix="Copy it again into the sign-in redirect URIs; every character counts.",
            console="Sign-in redirect URIs",
        ),
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="User is not assigned to the client application",
            cause="The person, or every group of theirs, is not assigned to the application.",
            fix="Assign a group that the person is in.",
            console="Assignments",
        ),
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="Policy evaluation failed",
            cause="The custom authorization server has no access policy that fits.",
            fix="Add a policy and a rule for this application, or use the org authorization server.",
            console="Security > API > Access Policies",
        ),
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="no_matching_policy",
            cause="The custom authorization server has no access policy that fits.",
            fix="Add a policy and a rule for this application, or use the org authorization server.",
            console="Security > API > Access Policies",
        ),
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="matched too many groups",
            cause="The filter of the groups claim fits more than 100 groups; Okta then refuses the person.",
            fix="Choose a narrower filter, such as a prefix.",
            console="Sign On > Groups claim filter",
        ),
        Mishap(
            code=Code.UPSTREAM_REFUSED,
            sign="invalid_scope",
            cause="The groups scope is asked for, but no groups claim is configured.",
            fix="Configure the groups claim, or take groups out of this connection's scopes.",
            console="Sign On > Groups claim",
        ),
        *OIDC_MISHAPS,
    ),
)

_SAML = Side(
    takes=(
        Take(
            name="idp_entity_id",
            title="Identity provider issuer",
            console="Sign On > SAML 2.0 > More details > Issuer",
            pattern=PLAIN,
            example="http://www.okta.com/exk1example",
        ),
        Take(
            name="sso_url",
            title="Sign-on URL",
            console="Sign On > SAML 2.0 > More details > Sign on URL",
            pattern=rf"https://{HOST}/[!-~]{{1,400}}",
            example="https://acme.okta.com/app/acme_broker_1/exk1example/sso/saml",
        ),
        certificate("Sign On > SAML Signing Certificates > Actions > Download"),
    ),
    gives=(
        Give(console="Single sign-on URL", value="callback_url"),
        Give(console="Audience URI (SP Entity ID)", value="entity_id"),
        Give(console="Enable Single Logout > Single Logout URL", value="sign_out_url", is_required=False),
    ),
    settings={
        "idp_entity_id": "${idp_entity_id}",
        "sso_url": "${sso_url}",
        "certificates": ("${certificate}",),
        "subject": "attribute:id",
        "groups_attribute": "groups",
        "group_kind": "name",
        "assertion_signed": True,
        "response_signed": True,
    },
    claims={"email": "email", "given_name": "firstName", "family_name": "lastName"},
    groups=GroupStrategy(
        kind="name",
        limit=None,
        advice="The group attribute statement sends names. Filter by a prefix that only your groups share.",
        console="SAML Settings > Group Attribute Statements",
    ),
    subject_why="The attribute id carries user.id, which stays when login or e-mail change.",
    steps=(
        "Open Applications, create an app integration, and choose SAML 2.0.",
        "Paste our single sign-on URL and leave the tick that uses it for recipient and destination.",
        "Paste our entity ID as audience URI.",
        "Under advanced settings, have response and assertion signed with RSA-SHA256 and nothing encrypted.",
        "Add attribute statements: id with user.id, email with user.email, firstName with user.firstName, "
        "lastName with user.lastName.",
        "Add a group attribute statement named groups with the prefix that your groups share.",
        "On the Sign On tab, copy issuer and sign-on URL and download the certificate.",
        "Assign the groups whose people may sign in.",
    ),
    our_keys="SAML Settings > Show Advanced Settings > Signature Certificate",
    mishaps=(
        Mishap(
            code=Code.CLAIM_MISSING,
            cause="The attribute statement id is absent.",
            fix="Add an attribute statement named id with the value user.id.",
            console="Attribute Statements",
        ),
        *SAML_MISHAPS,
    ),
)

PRESET = Preset(title="Okta", sides={"oidc": _OIDC, "saml": _SAML})

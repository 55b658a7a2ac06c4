"""Events in words for people: a short sentence for a name, and how good or bad the news is."""

from typing import Literal

from broker.audit.events import AuditEvent

Tone = Literal["good", "caution", "bad", "plain"]

_WORDS: dict[AuditEvent, str] = {
    AuditEvent.SIGN_IN_SUCCEEDED: "Signed in",
    AuditEvent.SIGN_IN_REFUSED: "Sign-in refused",
    AuditEvent.SIGN_IN_LOCKED: "Too many wrong passwords",
    AuditEvent.IDENTITY_LINKED: "Identity seen for the first time",
    AuditEvent.SESSION_STARTED: "Browser session started",
    AuditEvent.SESSION_ENDED: "Browser session ended",
    AuditEvent.SIGN_OUT_RECEIVED: "Signed out by the identity provider",
    AuditEvent.SIGN_OUT_REFUSED: "Sign-out message refused",
    AuditEvent.DEVICE_ALLOWED: "Device allowed",
    AuditEvent.LOGOUT_SENT: "Application told of a sign-out",
    AuditEvent.LOGOUT_FAILED: "Application not told of a sign-out",
    AuditEvent.AUTHORIZATION_REFUSED: "Authorization refused",
    AuditEvent.CONSENT_GRANTED: "Access allowed",
    AuditEvent.CONSENT_DENIED: "Access denied by the person",
    AuditEvent.CONSENT_WITHDRAWN: "Access revoked",
    AuditEvent.CODE_ISSUED: "Authorization code issued",
    AuditEvent.CODE_REUSED: "Authorization code used twice",
    AuditEvent.TOKEN_ISSUED: "Token issued",
    AuditEvent.TOKEN_REFUSED: "Token refused",
    AuditEvent.TOKEN_EXCHANGED: "Token handed on or narrowed",
    AuditEvent.TOKEN_REVOKED: "Token revoked",
    AuditEvent.TRUST_CREATED: "Other party added",
    AuditEvent.TRUST_CHANGED: "Other party changed",
    AuditEvent.TRUST_DISABLED: "Other party switched off",
    AuditEvent.TRUST_ENABLED: "Other party switched on",
    AuditEvent.TRUST_REMOVED: "Other party removed",
    AuditEvent.TASK_ENDED: "Task ended",
    AuditEvent.REFRESH_REUSED: "Refresh token used twice",
    AuditEvent.PERSONAL_TOKEN_CREATED: "Personal token made",
    AuditEvent.PERSONAL_TOKEN_REVOKED: "Personal token ended",
    AuditEvent.GRANT_REVOKED: "Permission ended",
    AuditEvent.USER_CREATED: "Person created",
    AuditEvent.USER_CHANGED: "Person changed",
    AuditEvent.USER_DISABLED: "Person disabled",
    AuditEvent.USER_ENABLED: "Person enabled",
    AuditEvent.GROUPS_CHANGED: "Groups changed at the provider",
    AuditEvent.USER_ERASED: "Personal data erased",
    AuditEvent.AGENT_CREATED: "Agent registered",
    AuditEvent.AGENT_CHANGED: "Agent changed",
    AuditEvent.AGENT_SUSPENDED: "Agent suspended",
    AuditEvent.AGENT_KILLED: "Agent killed",
    AuditEvent.AGENT_REVIVED: "Agent revived",
    AuditEvent.CLIENT_CREATED: "Client registered",
    AuditEvent.CLIENT_CHANGED: "Client changed",
    AuditEvent.CLIENT_DISABLED: "Client disabled",
    AuditEvent.CLIENT_ENABLED: "Client enabled",
    AuditEvent.CLIENT_REMOVED: "Client removed",
    AuditEvent.CLIENT_SECRET_ROTATED: "Client secret replaced",
    AuditEvent.CLIENT_REFUSED: "Client refused",
    AuditEvent.REGISTRATION_TOKEN_CREATED: "Registration token made",
    AuditEvent.REGISTRATION_TOKEN_REVOKED: "Registration token ended",
    AuditEvent.CONNECTION_CREATED: "Connection created",
    AuditEvent.CONNECTION_CHANGED: "Connection changed",
    AuditEvent.CONNECTION_METADATA_TAKEN: "Provider's metadata taken over",
    AuditEvent.CONNECTION_METADATA_REFUSED: "Provider's metadata refused",
    AuditEvent.CONNECTION_KEYS_CHANGED: "Our keys towards a provider changed",
    AuditEvent.CONNECTION_TESTED: "Connection tested",
    AuditEvent.CONNECTION_ENABLED: "Connection enabled",
    AuditEvent.CONNECTION_DISABLED: "Connection disabled",
    AuditEvent.CONNECTION_REMOVED: "Connection removed",
    AuditEvent.RESOURCE_CREATED: "Resource registered",
    AuditEvent.RESOURCE_CHANGED: "Resource changed",
    AuditEvent.RESOURCE_REMOVED: "Resource removed",
    AuditEvent.ROLE_CREATED: "Role created",
    AuditEvent.ROLE_CHANGED: "Role changed",
    AuditEvent.ROLE_REMOVED: "Role removed",
    AuditEvent.MAPPING_CREATED: "Group rule created",
    AuditEvent.MAPPING_CHANGED: "Group rule changed",
    AuditEvent.MAPPING_REMOVED: "Group rule removed",
    AuditEvent.TENANT_CREATED: "Tenant created",
    AuditEvent.TENANT_CHANGED: "Tenant changed",
    AuditEvent.TENANT_SUSPENDED: "Tenant suspended",
    AuditEvent.TENANT_REVIVED: "Tenant revived",
    AuditEvent.CONFIG_APPLIED: "Configuration applied",
    AuditEvent.CHECK_WEAKENED: "Security check weakened",
    AuditEvent.KEY_CREATED: "Signing key created",
    AuditEvent.KEY_REMOVED: "Retired signing key removed",
    AuditEvent.KEY_ROTATED: "Signing key rotated",
    AuditEvent.KEY_REVOKED: "Signing key revoked",
    AuditEvent.ADMIN_LINK_MADE: "Setup link made",
    AuditEvent.ADMIN_SIGNED_IN: "Administrator came in",
    AuditEvent.ADMIN_REFUSED: "Administration refused",
    AuditEvent.SCIM_TOKEN_CREATED: "Provisioning token made",
    AuditEvent.SCIM_TOKEN_REVOKED: "Provisioning token ended",
    AuditEvent.SCIM_TOKENS_REPLACED: "Provisioning tokens replaced",
    AuditEvent.SCIM_PERSON_CREATED: "Person provisioned",
    AuditEvent.SCIM_PERSON_CHANGED: "Provisioned person changed",
    AuditEvent.SCIM_PERSON_BOUND: "Provisioned person recognised",
    AuditEvent.SCIM_PERSON_UNBOUND: "Provisioned person separated",
    AuditEvent.SCIM_PERSON_DEACTIVATED: "Person switched off by the provider",
    AuditEvent.SCIM_PERSON_REACTIVATED: "Person switched on by the provider",
    AuditEvent.SCIM_PERSON_DELETED: "Provisioned person deleted",
    AuditEvent.SCIM_GROUP_CREATED: "Group provisioned",
    AuditEvent.SCIM_GROUP_CHANGED: "Provisioned group changed",
    AuditEvent.SCIM_GROUP_DELETED: "Provisioned group deleted",
    AuditEvent.DIRECTORY_SYNC_STARTED: "Directory walk started",
    AuditEvent.DIRECTORY_SYNC_HELD: "Directory walk waits for a decision",
    AuditEvent.DIRECTORY_SYNC_CONFIRMED: "Directory walk confirmed",
    AuditEvent.DIRECTORY_SYNC_CANCELLED: "Directory walk ended early",
    AuditEvent.DIRECTORY_SYNC_FINISHED: "Directory walk finished",
    AuditEvent.AUDIT_CHECKPOINT: "Audit log signed",
}

_BAD = frozenset(
    {
        AuditEvent.CODE_REUSED,
        AuditEvent.REFRESH_REUSED,
        AuditEvent.CONSENT_WITHDRAWN,
        AuditEvent.CONSENT_DENIED,
        AuditEvent.GRANT_REVOKED,
        AuditEvent.TOKEN_REVOKED,
        AuditEvent.TASK_ENDED,
        AuditEvent.TRUST_DISABLED,
        AuditEvent.TRUST_REMOVED,
        AuditEvent.USER_DISABLED,
        AuditEvent.AGENT_KILLED,
        AuditEvent.CLIENT_DISABLED,
        AuditEvent.CLIENT_REMOVED,
        AuditEvent.CONNECTION_DISABLED,
        AuditEvent.CONNECTION_REMOVED,
        AuditEvent.KEY_REVOKED,
    }
)
_CAUTION = frozenset(
    {
        AuditEvent.SIGN_IN_LOCKED,
        AuditEvent.DIRECTORY_SYNC_HELD,
        AuditEvent.AGENT_SUSPENDED,
        AuditEvent.TENANT_SUSPENDED,
        AuditEvent.CHECK_WEAKENED,
    }
)
_GOOD = frozenset(
    {
        AuditEvent.SIGN_IN_SUCCEEDED,
        AuditEvent.CONSENT_GRANTED,
        AuditEvent.TOKEN_ISSUED,
        AuditEvent.TOKEN_EXCHANGED,
        AuditEvent.USER_ENABLED,
        AuditEvent.AGENT_REVIVED,
        AuditEvent.CLIENT_ENABLED,
        AuditEvent.CONNECTION_ENABLED,
        AuditEvent.TENANT_REVIVED,
    }
)


def words_of(event: str) -> str:
    """Return the sentence for an event; a name that this version does not know stands for itself."""
    try:
        return _WORDS[AuditEvent(event)]
    except ValueError:
        return event


def tone_of(event: str, outcome: str) -> Tone:
    """Return how an event is to be coloured: refusals and endings are bad, permissions are good."""
    if outcome == "refused" or event in _BAD:
        return "bad"
    if event in _CAUTION:
        return "caution"
    return "good" if event in _GOOD else "plain"

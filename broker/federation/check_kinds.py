"""What a connection test looks at, in the order of a sign-in, and what usually cures each failure."""

from collections.abc import Mapping
from dataclasses import dataclass

from idp_connectors.base import ConnectorErrorCode as Code


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckKind:
    """One look: `codes` are the refusals that belong to it.

    `cause` and `fix` are said where the preset knows nothing better. `fields` names whose place in the
    provider's console is shown: a preset's ``Take`` or ``Give``, or "groups"; the first one that it has.
    `console` is the place by its common name. `proves` says that an answer whose look fails proves nothing.
    """

    name: str
    title: str
    codes: frozenset[Code] = frozenset()
    cause: str = ""
    fix: str = ""
    fields: tuple[str, ...] = ()
    console: str = ""
    proves: bool = False


_SETTINGS = CheckKind(
    name="settings",
    title="Settings",
    codes=frozenset({Code.CONFIG_INVALID, Code.LIBRARY_UNUSABLE}),
    cause="A setting is absent or contradicts another.",
    fix="Edit the connection; the setting is named above.",
)
_ADDRESS = CheckKind(
    name="address",
    title="Address",
    fields=("issuer", "tenant_id", "domain", "sso_url", "idp_id"),
    console="Issuer",
)
_TLS = CheckKind(name="tls", title="TLS certificate", console="TLS")
_METADATA = CheckKind(
    name="metadata",
    title="Discovery document",
    codes=frozenset({Code.DISCOVERY_INVALID}),
    cause="What came is not the discovery document of the configured issuer.",
    fix="Copy the issuer again, exactly as the provider spells it.",
    fields=("issuer", "tenant_id", "domain"),
    console="Issuer",
)
_KEYS = CheckKind(
    name="keys",
    title="Signing keys",
    codes=frozenset({Code.KEYS_INVALID}),
    cause="The provider publishes no key that may verify a signature.",
    fix="Have the provider publish an RSA key of 2048 bits or more, or one on a standard curve.",
    console="Signing keys",
)
_CERTIFICATE = CheckKind(
    name="certificate",
    title="Signing certificate",
    cause="The signing certificate has ended, or ends soon.",
    fix="Make or activate a new certificate at the provider and add it here beside the old one.",
    fields=("certificate",),
    console="Signing certificate",
)
_REDIRECT = CheckKind(
    name="redirect",
    title="Way back to us",
    codes=frozenset({Code.CALLBACK_MALFORMED, Code.STATE_MISMATCH}),
    cause="The provider did not send the person back, or not with what we sent along.",
    fix="If its window shows an error about the redirect address, copy ours again; every character counts.",
    fields=("callback_url",),
    console="Redirect URI",
)
_CLIENT = CheckKind(
    name="client",
    title="Application accepted",
    codes=frozenset({Code.UPSTREAM_REFUSED, Code.UPSTREAM_UNREACHABLE}),
    cause="The provider refused, for the reason above.",
    fix="Compare client ID and secret, and whether the person is assigned to the application.",
    fields=("client_id", "entity_id"),
    console="Client ID",
)
_FORM = CheckKind(
    name="form",
    title="Form of the answer",
    codes=frozenset({Code.DOCUMENT_REFUSED}),
    cause="The answer is damaged, or holds what no sign-in needs.",
    fix="Have assertions sent whole, signed with SHA-256 and as the protocol's standard wants them.",
    console="Assertion format",
    proves=True,
)
_OIDC_SIGNATURE = CheckKind(
    name="signature",
    title="Signature",
    codes=frozenset({Code.SIGNATURE_INVALID, Code.ALGORITHM_REFUSED}),
    cause="The answer is unsigned, or signed with a key or algorithm that the provider does not publish.",
    fix="Have ID tokens signed with RS256 or ES256, by a key that the provider's key set lists.",
    console="ID token signing algorithm",
    proves=True,
)
_SAML_SIGNATURE = CheckKind(
    name="signature",
    title="Signature",
    codes=frozenset({Code.SIGNATURE_INVALID, Code.ALGORITHM_REFUSED}),
    cause="The assertion is unsigned, or signed with another certificate than those stored here.",
    fix="Have assertions signed with RSA-SHA256, and add the active signing certificate here.",
    fields=("certificate",),
    console="Signing certificate",
    proves=True,
)
_ISSUER = CheckKind(
    name="issuer",
    title="Issuer",
    codes=frozenset({Code.ISSUER_MISMATCH}),
    cause="The provider calls itself otherwise in its answers than this connection expects.",
    fix="Copy the provider's own name again, with http or https and the last slash as they stand there.",
    fields=("issuer", "idp_entity_id", "tenant_id", "idp_id"),
    console="Issuer",
)
_RECIPIENT = CheckKind(
    name="recipient",
    title="Recipient",
    codes=frozenset({Code.RECIPIENT_MISMATCH}),
    cause="The provider made the answer for another address than this connection's.",
    fix="Copy our address again, and use it as recipient and destination too.",
    fields=("callback_url",),
    console="ACS URL",
)
_AUDIENCE = CheckKind(
    name="audience",
    title="Audience",
    codes=frozenset({Code.AUDIENCE_MISMATCH}),
    cause="The provider made the answer for another application.",
    fix="Compare the name by which the provider knows us, letter by letter.",
    fields=("entity_id", "client_id"),
    console="Client ID",
)
_TIME = CheckKind(
    name="time",
    title="Clocks and validity",
    codes=frozenset({Code.EXPIRED, Code.NOT_YET_VALID}),
    cause="The clocks of the provider and of the broker differ by more than a minute.",
    fix="Compare both clocks and let both machines follow a time server.",
    console="System time",
)
_BELONGS = CheckKind(
    name="belongs",
    title="Answer to our request",
    codes=frozenset({Code.NONCE_MISMATCH, Code.REQUEST_MISMATCH, Code.REPLAYED}),
    cause="The answer is one to another request, or to none.",
    fix="Start again here, and not from the provider's own launcher.",
    fields=("base_url",),
    console="Start URL",
)
_PERSON = CheckKind(
    name="person",
    title="Stable identifier",
    codes=frozenset({Code.CLAIM_MISSING, Code.CLAIM_INVALID}),
    cause="What identifies the person is absent, or is not of a kind that stays.",
    fix="Have the provider send the identifier that this connection is set to use.",
    console="Claims and attributes",
)
_EMAIL = CheckKind(
    name="email",
    title="E-mail address",
    cause="The provider sent no address. People are then shown without one.",
    fix="Have the provider send the address, or name the claim that holds it.",
    console="Claims and attributes",
)
_GROUPS = CheckKind(
    name="groups",
    title="Groups",
    cause="The provider sent no groups. Without them nobody gets a role.",
    fix="Have the provider send groups.",
    fields=("groups",),
    console="Groups claim",
)
_LOOKUP = CheckKind(
    name="lookup",
    title="Group look-up",
    cause="The source of groups could not be asked.",
    fix="Compare what the look-up needs with the reason above.",
    fields=("groups",),
    console="API permissions",
)

_SERVERS = CheckKind(
    name="address",
    title="The directory's servers answer",
    cause="No server of the connection answers, or it stands in a network that the broker must not call.",
    fix="Compare host and port. In a private network, the operator names it in BROKER_DIRECTORY_HOSTS.",
    console="Servers",
)
_BIND = CheckKind(
    name="bind",
    title="The directory takes the bind account",
    codes=frozenset({Code.UPSTREAM_REFUSED, Code.UPSTREAM_UNREACHABLE}),
    cause="Name or password of the bind account are wrong, or it is disabled, or may not sign in this way.",
    fix="Try the account elsewhere, then write its full DN and its password here again.",
    console="Bind account",
)
_DIRECTORY = CheckKind(
    name="directory",
    title="The server is a directory that we know",
    cause="The server does not describe itself.",
    fix="Let the bind account read the root entry (rootDSE).",
    console="rootDSE",
)
_NESTING = CheckKind(
    name="nesting",
    title="Groups within groups can be followed",
    cause="The way that is set is one that this server does not know; it would answer that nobody is in any.",
    fix="Set another way to find groups, or leave it to the broker.",
    console="How groups are found",
)
_PEOPLE = CheckKind(
    name="people",
    title="There are people, with an identifier that stays and a state",
    codes=frozenset({Code.CLAIM_MISSING, Code.CLAIM_INVALID}),
    cause="The search base or the filter leaves everybody out, or the bind account may not read enough.",
    fix="Compare search base and user filter, and let the account read identifiers and account states.",
    console="Search base",
)
_MEMBERS = CheckKind(
    name="groups",
    title="The groups of a person can be read",
    cause="The bind account may not read groups, or there are more than is read.",
    fix="Let the bind account read group membership, or set a group filter.",
    console="Search base for groups",
)

KINDS: Mapping[str, tuple[CheckKind, ...]] = {
    "oidc": (
        *(_SETTINGS, _ADDRESS, _TLS, _METADATA, _KEYS, _REDIRECT, _CLIENT, _FORM, _OIDC_SIGNATURE, _ISSUER),
        *(_AUDIENCE, _TIME, _BELONGS, _PERSON, _EMAIL, _GROUPS, _LOOKUP),
    ),
    # The answer's content is compared before its signature is verified, but counts only after it.
    "saml": (
        *(_SETTINGS, _CERTIFICATE, _ADDRESS, _TLS, _REDIRECT, _FORM, _CLIENT, _ISSUER, _RECIPIENT, _BELONGS),
        *(_TIME, _AUDIENCE, _SAML_SIGNATURE, _PERSON, _EMAIL, _GROUPS, _LOOKUP),
    ),
    # A directory is looked at without a person: nobody types a password for a test.
    "ldap": (_SETTINGS, _SERVERS, _TLS, _BIND, _DIRECTORY, _NESTING, _PEOPLE, _MEMBERS),
}
"""The looks by kind of connection, each after those that it rests on."""

TIMES = frozenset({"exp", "iat", "nbf", "NotBefore", "NotOnOrAfter", "AuthnInstant", "SessionNotOnOrAfter"})
"""Claims whose fault is one of time, whatever the refusal calls it."""


@dataclass(frozen=True, slots=True)
class Cure:
    """Why an address gave no document, what helps, and whose move it is."""

    cause: str
    fix: str
    move: str


CURES: Mapping[str, Cure] = {
    "blocked": Cure(
        "The address leads into a network that the broker must not call, or is not https.",
        "Use the provider's public https address.",
        "here",
    ),
    "name": Cure(
        "There is no such name, or the broker's name server does not know it.",
        "Compare the address with the provider's console.",
        "here",
    ),
    "closed": Cure(
        "Nobody accepts connections at the address, or a firewall refuses them.",
        "Compare the address, then have the broker let out to it.",
        "network",
    ),
    "untrusted": Cure(
        "The TLS certificate has ended, is one for another name, or comes from an authority that is unknown.",
        "Have the certificate of the provider's address renewed and sent with its whole chain.",
        "provider",
    ),
    "silent": Cure(
        "The provider is too slow, or something on the way drops the question without a word.",
        "Test again. If it stays so, have the provider and the way there looked at: people wait as long.",
        "network",
    ),
    "dripping": Cure(
        "The answer begins and does not end: the provider, or a proxy before it, sends it too slowly.",
        "Test again. If it stays so, have the proxy before the provider looked at.",
        "network",
    ),
    "busy": Cure(
        "The provider limits how often it may be asked, and the limit is reached.",
        "Wait a minute and test again. If it happens often, have the limit raised.",
        "wait",
    ),
    "status": Cure(
        "The address exists, but the document is not there.",
        "Copy the address again; the path after the host counts.",
        "here",
    ),
    "garbled": Cure(
        "Another page answers in its place: a maintenance or login page, or a proxy's.",
        "Open the address in a browser without being signed in. It must show plain JSON.",
        "provider",
    ),
    "large": Cure(
        "The document is larger than the broker reads: another one, or a provider gone wrong.",
        "Open the address in a browser. It must be the discovery document and nothing else.",
        "provider",
    ),
    "packed": Cure(
        "Something before the provider compresses answers although we ask for none.",
        "Have the proxy before the provider honour Accept-Encoding: identity.",
        "network",
    ),
}
"""Faults of an address by `Problem`."""

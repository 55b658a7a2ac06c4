"""Shapes of what consoles show, and mishaps that every provider of a protocol shares."""

from idp_connectors.errors import ConnectorErrorCode as Code
from idp_connectors.presets.preset import Give, Mishap, Take

GUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
PLAIN = r"[!-~]{1,512}"
"""Printable ASCII without blanks: client ids, secrets, entity ids."""
HTTPS = rf"https://{HOST}(:[0-9]{{1,5}})?(/[!-~]{{0,400}})?"
CERTIFICATE = r"[A-Za-z0-9+/=\s-]{100,32000}"

CALLBACK = Give(console="Redirect URI", value="callback_url")
ACS = Give(console="Assertion consumer service (ACS) URL", value="callback_url")
ENTITY_ID = Give(console="Entity ID", value="entity_id")

EXAMPLE_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIC...\n-----END CERTIFICATE-----"


def client_id(console: str, pattern: str = PLAIN, example: str = "0oa1example") -> Take:
    """Return the client id as a field to be brought."""
    return Take(name="client_id", title="Client ID", console=console, pattern=pattern, example=example)


def client_secret(console: str) -> Take:
    """Return the client secret as a field to be brought, and never to be shown."""
    return Take(
        name="client_secret",
        title="Client secret",
        console=console,
        pattern=PLAIN,
        example="only shown once",
        is_secret=True,
    )


def certificate(console: str) -> Take:
    """Return the provider's signing certificate as a field to be brought."""
    return Take(
        name="certificate",
        title="Signing certificate",
        console=console,
        pattern=CERTIFICATE,
        example=EXAMPLE_CERTIFICATE,
    )


CLOCKS = tuple(
    Mishap(
        code=code,
        cause="The clocks of the provider and of the broker differ by more than a minute.",
        fix="Compare both clocks and let both machines follow a time server.",
        console="System time",
    )
    for code in (Code.EXPIRED, Code.NOT_YET_VALID)
)
OIDC_MISHAPS = (
    *CLOCKS,
    Mishap(
        code=Code.DISCOVERY_INVALID,
        cause="The issuer is not spelled as the provider's discovery document spells it.",
        fix="Copy the issuer from that document, with or without the slash at its end as it stands there.",
        console="Issuer",
    ),
    Mishap(
        code=Code.UPSTREAM_REFUSED,
        sign="invalid_client",
        cause="Client ID and client secret do not belong together, or the secret has expired.",
        fix="Make a new secret at the provider and paste it here.",
        console="Client secret",
    ),
    Mishap(
        code=Code.AUDIENCE_MISMATCH,
        cause="The token was made for another application of the provider.",
        fix="Compare the client ID here with that of the application.",
        console="Client ID",
    ),
)
SAML_MISHAPS = (
    *CLOCKS,
    Mishap(
        code=Code.SIGNATURE_INVALID,
        cause="The provider signs with another certificate than the one stored here.",
        fix="Download the active signing certificate and add it beside the old one.",
        console="Signing certificate",
    ),
    Mishap(
        code=Code.AUDIENCE_MISMATCH,
        cause="The provider made the assertion for another entity ID than ours.",
        fix="Copy our entity ID again. It is compared letter by letter.",
        console="Entity ID",
    ),
    Mishap(
        code=Code.RECIPIENT_MISMATCH,
        cause="The provider sends its answer for another address than this connection's.",
        fix="Copy our ACS URL again, and use it as recipient and destination too.",
        console="ACS URL",
    ),
    Mishap(
        code=Code.ISSUER_MISMATCH,
        cause="The provider calls itself otherwise than this connection expects.",
        fix="Copy the provider's entity ID from its metadata, http or https as it stands there.",
        console="Identity provider entity ID",
    ),
    Mishap(
        code=Code.REQUEST_MISMATCH,
        cause="Somebody started from the provider's own launcher, so that no request of ours is answered.",
        fix="Start at the broker's sign-in page, or put its address into the launcher's tile.",
        console="Start URL",
    ),
)

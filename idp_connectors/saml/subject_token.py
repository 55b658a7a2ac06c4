"""SAML assertions that the provider issued to another service, which exchanges them (RFC 8693, RFC 7522)."""

import base64
import binascii
import secrets as random_secrets

from idp_connectors.base import Callback
from idp_connectors.errors import ConnectorError, ConnectorErrorCode
from idp_connectors.saml.config import SamlConfig
from idp_connectors.saml.names import PROTOCOL, STATUS_SUCCESS, assertion
from idp_connectors.saml.prescreen import MAX_BYTES, parse_strictly, refuse, screen_bytes
from idp_connectors.subject_tokens import SubjectToken

STATE = "subject-token"


def read_alone(config: SamlConfig) -> SamlConfig:
    """Return the connection's settings for an assertion without a response: it must be signed itself."""
    return config.model_copy(update={"assertion_signed": True, "response_signed": False, "encryption": "off"})


def as_answer(given: SubjectToken) -> Callback:
    """Return the assertion as the answer to its own request, to pass every check of a sign-in.

    Around it stands nothing that is not ours, so that what an honest assertion is, is decided in one place:
    screening, both verifications, audience, recipient, times and single use. Raises ConnectorError.
    """
    if given.kind != "saml2" or not given.recipient:
        raise ConnectorError(
            ConnectorErrorCode.DOCUMENT_REFUSED,
            "This provider issues SAML assertions.",
            field="subject_token_type",
        )
    document = _decode(given.token)
    screen_bytes(document)
    root = parse_strictly(document)
    # Without this: what is brought could hold a response of its own, or more than one assertion.
    if root.tag != assertion("Assertion"):
        raise refuse(f"the root is {root.tag!r:.120}")
    data = root.find(f"{assertion('Subject')}/{assertion('SubjectConfirmation')}/*[@InResponseTo]")
    request_id = data.get("InResponseTo", "") if data is not None else ""
    # An answer to nobody's request could have been slipped to the service by anybody.
    if not request_id.replace("_", "").replace("-", "").isalnum() or len(request_id) > 200:
        raise refuse("the assertion answers no request")
    answer = _around(document, request_id)
    return Callback(
        method="POST",
        callback_url=given.recipient,
        entity_id=given.audience,
        private={"request_id": request_id, "relay_state": STATE},
        form={"SAMLResponse": base64.b64encode(answer).decode(), "RelayState": STATE},
    )


def _decode(token: str) -> bytes:
    if len(token) > MAX_BYTES * 3 // 2:
        raise refuse("the assertion is longer than 256 KiB")
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise refuse(f"base64url: {error}") from error


def _around(document: bytes, request_id: str) -> bytes:
    body = document[document.index(b"?>") + 2 :] if document.startswith(b"<?xml") else document
    head = (
        f'<samlp:Response xmlns:samlp="{PROTOCOL}" ID="_{random_secrets.token_hex(16)}" Version="2.0" '
        f'IssueInstant="2000-01-01T00:00:00Z" InResponseTo="{request_id}"><samlp:Status>'
        f'<samlp:StatusCode Value="{STATUS_SUCCESS}"/></samlp:Status>'
    )
    return head.encode() + body + b"</samlp:Response>"

"""What a connector says when it refuses: a stable code, a sentence for people, a detail for the log."""

from enum import StrEnum


class ConnectorErrorCode(StrEnum):
    """Names every reason for which a connector refuses; the values are stable and may be stored."""

    CONFIG_INVALID = "config_invalid"
    """The connection's settings are incomplete or contradict each other; `field` names the setting."""
    LIBRARY_UNUSABLE = "library_unusable"
    """A native library that this connector needs cannot be loaded safely on this machine."""
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    """The identity provider could not be reached, or answered with something unreadable."""
    UPSTREAM_REFUSED = "upstream_refused"
    """The identity provider answered that it did not sign the person in."""
    ACCOUNT_UNUSABLE = "account_unusable"
    """The person proved who they are, and their account is disabled, locked or expired."""
    DISCOVERY_INVALID = "discovery_invalid"
    """The provider's discovery document is not one that this connection may use."""
    KEYS_INVALID = "keys_invalid"
    """The provider's key set holds no key that passes the admission rules."""
    CALLBACK_MALFORMED = "callback_malformed"
    """The answer that the browser brought lacks a parameter, repeats one, or cannot be read."""
    STATE_MISMATCH = "state_mismatch"
    """The answer belongs to another sign-in than the one that this browser started."""
    DOCUMENT_REFUSED = "document_refused"
    """The document has a shape that no honest provider sends; it was refused before any signature check."""
    ALGORITHM_REFUSED = "algorithm_refused"
    """The message is signed with an algorithm that this connection does not accept."""
    DECRYPTION_FAILED = "decryption_failed"
    """The assertion is not encrypted for a key of this connection, or not at all where it has to be."""
    SIGNATURE_INVALID = "signature_invalid"
    """No acceptable signature by a key of this connection covers the message."""
    ISSUER_MISMATCH = "issuer_mismatch"
    """The message was issued by another provider than the one configured."""
    AUDIENCE_MISMATCH = "audience_mismatch"
    """The message was made for another application."""
    RECIPIENT_MISMATCH = "recipient_mismatch"
    """The message was made for another address than this connection's callback."""
    NONCE_MISMATCH = "nonce_mismatch"
    """The ID token does not carry the nonce of this sign-in."""
    REQUEST_MISMATCH = "request_mismatch"
    """The SAML assertion does not answer the request that is pending (unsolicited ones are refused)."""
    EXPIRED = "expired"
    """The message is no longer valid."""
    NOT_YET_VALID = "not_yet_valid"
    """The message claims to come from the future, or lives longer than is allowed."""
    CLAIM_MISSING = "claim_missing"
    """The message lacks a claim or condition that a safe sign-in needs; `field` names it."""
    CLAIM_INVALID = "claim_invalid"
    """A claim has a type or a content that cannot be used; `field` names it."""
    REPLAYED = "replayed"
    """The message was already used once."""


class ConnectorError(Exception):
    """Carries one refusal: `code` and `public` may be shown, `detail` goes to the log only."""

    def __init__(self, code: ConnectorErrorCode, public: str, *, detail: str = "", field: str = "") -> None:
        super().__init__(f"{code}: {detail or public}")
        self.code = code
        self.public = public
        self.detail = detail
        self.field = field


def answer_replayed(key: str) -> ConnectorError:
    """Return the refusal of an answer that was used before; `key` is what it is known by."""
    return ConnectorError(
        ConnectorErrorCode.REPLAYED, "This answer was already used once. Start again.", detail=key
    )

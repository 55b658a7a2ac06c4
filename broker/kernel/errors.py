"""Errors are values: a stable code, a safe public sentence, a private detail.

A refusal is mapped to HTTP once, at the edge; exception text never reaches a caller.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

_NO_MEMBERS: Mapping[str, Any] = MappingProxyType({})


class WhoseMove(StrEnum):
    """Who can do something about a refusal; error pages address this person."""

    YOU = "you"
    ADMIN = "admin"
    DEVELOPER = "developer"
    NOBODY = "nobody"


class ErrorCode(StrEnum):
    """Stable codes. OAuth codes are spelled as in RFC 6749, 6750, 7009, 8693, 8707, 9449, 9470 and OIDC."""

    INVALID_REQUEST = "invalid_request"
    """The request is malformed, repeats a parameter or lacks one."""
    INVALID_CLIENT = "invalid_client"
    """The client is unknown or did not prove who it is."""
    INVALID_GRANT = "invalid_grant"
    """The code, refresh token, subject token or actor token is not valid for this client."""
    UNAUTHORIZED_CLIENT = "unauthorized_client"
    """The client may not use this grant type."""
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"
    """The grant type is not offered."""
    UNSUPPORTED_RESPONSE_TYPE = "unsupported_response_type"
    """Only ``code`` is offered."""
    UNSUPPORTED_TOKEN_TYPE = "unsupported_token_type"  # noqa: S105 (an OAuth error code)
    """This kind of token cannot be revoked here."""
    INVALID_SCOPE = "invalid_scope"
    """Nothing of what was asked may be granted."""
    INVALID_TARGET = "invalid_target"
    """The resource is unknown, or not open to this client or agent."""
    ACTOR_UNAUTHORIZED = "actor_unauthorized"
    """This actor may not act here: rogue, already in the chain, or not a chosen successor."""
    AUTHORIZATION_PENDING = "authorization_pending"
    """The person has not decided yet about the device; poll again (RFC 8628 §3.5)."""
    SLOW_DOWN = "slow_down"
    """The device polls too often; wait five seconds longer from now on."""
    EXPIRED_TOKEN = "expired_token"  # noqa: S105 (an OAuth error code)
    """The device code took too long; the device asks for a new one."""
    ACCESS_DENIED = "access_denied"
    """The person or a policy said no."""
    LOGIN_REQUIRED = "login_required"
    """The person must sign in and the request forbids asking."""
    CONSENT_REQUIRED = "consent_required"
    """The person must consent and the request forbids asking."""
    INTERACTION_REQUIRED = "interaction_required"
    """A page must be shown and the request forbids it."""
    INSUFFICIENT_USER_AUTHENTICATION = "insufficient_user_authentication"
    """The sign-in is too old or too weak."""
    INVALID_TOKEN = "invalid_token"  # noqa: S105 (an OAuth error code)
    """The access token is malformed, expired, revoked or meant for somebody else."""
    INVALID_DPOP_PROOF = "invalid_dpop_proof"
    """The DPoP proof is missing, malformed, stale, used before, or made for another request."""
    USE_DPOP_NONCE = "use_dpop_nonce"
    """The DPoP proof must carry the nonce of the answer's ``DPoP-Nonce`` header; try again with it."""
    INSUFFICIENT_SCOPE = "insufficient_scope"
    """The access token lacks a scope that the operation needs."""
    REQUEST_NOT_SUPPORTED = "request_not_supported"
    """Request objects are not offered."""
    INVALID_REQUEST_URI = "invalid_request_uri"
    """The pushed request has expired, was used before, or is another client's."""
    REQUEST_URI_NOT_SUPPORTED = "request_uri_not_supported"
    """``request_uri`` is not offered."""
    UNMET_AUTHENTICATION_REQUIREMENTS = "unmet_authentication_requirements"
    """The identity provider did not prove the sign-in that was asked for."""
    INVALID_REDIRECT_URI = "invalid_redirect_uri"
    """A redirect URI that a client wants to register is not one that we send codes to."""
    INVALID_CLIENT_METADATA = "invalid_client_metadata"
    """Something that a client says of itself cannot be met, or must not be."""
    UNAPPROVED_SOFTWARE_STATEMENT = "unapproved_software_statement"
    """Software statements are not taken here."""
    TOO_MANY_REQUESTS = "too_many_requests"
    """More of these came in a short time than an honest caller sends."""
    SERVER_ERROR = "server_error"
    """Something failed here; nothing was issued."""
    TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"
    """The broker cannot store durably at the moment; try again."""
    NOT_FOUND = "not_found"
    """No such tenant, page or object (or not yours to see)."""
    FORBIDDEN = "forbidden"
    """You are signed in but may not do this."""
    BAD_FORM = "bad_form"
    """A form was forged, stale or incomplete."""
    TOO_LARGE = "too_large"
    """The request body is larger than any honest one."""
    SIGN_IN_REFUSED = "sign_in_refused"
    """The identity provider's answer was not accepted."""
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    """Too many wrong passwords were tried for this account or from this address; it ends by itself."""
    SIGN_IN_EXPIRED = "sign_in_expired"
    """The sign-in took too long, was already used, or belongs to another browser."""
    BAD_CONFIGURATION = "bad_configuration"
    """A declared configuration is not valid."""
    LINK_SPENT = "link_spent"
    """A one-time link was already used or is too old."""
    EGRESS_REFUSED = "egress_refused"
    """An outbound address is not allowed, or the far side answered too much, too slowly or wrongly."""


_STATUS = {
    ErrorCode.INVALID_CLIENT: 401,
    ErrorCode.INVALID_TOKEN: 401,
    ErrorCode.INSUFFICIENT_SCOPE: 403,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.LINK_SPENT: 410,
    ErrorCode.TOO_MANY_ATTEMPTS: 429,
    ErrorCode.TOO_MANY_REQUESTS: 429,
    ErrorCode.SERVER_ERROR: 500,
    ErrorCode.TEMPORARILY_UNAVAILABLE: 503,
    ErrorCode.EGRESS_REFUSED: 502,
}


class Refusal(Exception):  # noqa: N818 (a refusal is an answer, not a fault)
    """A refusal with a stable code; ``public`` is safe to show, ``detail`` goes to the log only.

    ``reason`` is a finer stable word for the audit log and for tests, such as ``code_reused``. ``members``
    stand beside the code in a JSON answer, where a specification says so (RFC 9470 §3).
    """

    def __init__(
        self,
        code: ErrorCode,
        public: str,
        *,
        reason: str = "",
        detail: str = "",
        whose_move: WhoseMove = WhoseMove.DEVELOPER,
        members: Mapping[str, Any] = _NO_MEMBERS,
    ) -> None:
        super().__init__(f"{code}: {reason or public}")
        self.code = code
        self.public = public
        self.reason = reason or code.value
        self.detail = detail
        self.whose_move = whose_move
        self.members = members

    @property
    def status(self) -> int:
        """The HTTP status of this refusal where it is answered as JSON or as a page."""
        return _STATUS.get(self.code, 400)

"""How a request is refused: one exception that knows its HTTP status, its OAuth error and a finer reason."""

from collections.abc import Iterable


class TokenRefused(Exception):
    """A request that must not reach the application.

    `status` 400, 401, 403 or 503; `error` the RFC 6750 code, or "" when the caller sent no credentials;
    `reason` a stable word for logs and tests; `description` a sentence that is safe to show.
    """

    def __init__(
        self, status: int, error: str, reason: str, description: str, scopes: Iterable[str] = ()
    ) -> None:
        super().__init__(description)
        self.status = status
        self.error = error
        self.reason = reason
        self.description = description
        self.scopes = tuple(scopes)


def no_credentials(scopes: Iterable[str]) -> TokenRefused:
    """401 without an error code, because RFC 6750 §3.1 wants none when nothing was presented."""
    return TokenRefused(401, "", "no_credentials", "This resource needs an access token.", scopes)


def malformed(reason: str, description: str) -> TokenRefused:
    """400 invalid_request: the request itself is wrong, a better token would not help."""
    return TokenRefused(400, "invalid_request", reason, description)


def invalid_token(reason: str, description: str) -> TokenRefused:
    """401 invalid_token: the caller should get a new token."""
    return TokenRefused(401, "invalid_token", reason, description)


def insufficient_scope(scopes: Iterable[str]) -> TokenRefused:
    """403 insufficient_scope; `scopes` is everything that the operation needs, not only what is missing."""
    return TokenRefused(
        403,
        "insufficient_scope",
        "insufficient_scope",
        "The token does not carry the scopes needed here.",
        scopes,
    )


def issuer_unavailable(reason: str) -> TokenRefused:
    """503: the token can be neither accepted nor refused, because the issuer cannot be asked."""
    return TokenRefused(
        503, "temporarily_unavailable", reason, "The token issuer cannot be reached. Try again soon."
    )

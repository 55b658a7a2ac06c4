"""How a request is refused: one exception that knows its HTTP status, its OAuth error and a finer reason."""

from collections.abc import Iterable


class TokenRefused(Exception):
    """A request that must not reach the application.

    `status` 400, 401, 403 or 503; `error` the RFC 6750 code, or "" when the caller sent no credentials;
    `reason` a stable word for logs and tests; `description` a sentence that is safe to show. `is_bound` asks
    for a token of type DPoP; `acr_values` and `max_age` (seconds) say which sign-in is wanted.
    """

    def __init__(
        self,
        status: int,
        error: str,
        reason: str,
        description: str,
        scopes: Iterable[str] = (),
        *,
        is_bound: bool = False,
        acr_values: Iterable[str] = (),
        max_age: int | None = None,
    ) -> None:
        super().__init__(description)
        self.status = status
        self.error = error
        self.reason = reason
        self.description = description
        self.scopes = tuple(scopes)
        self.is_bound = is_bound
        self.acr_values = tuple(acr_values)
        self.max_age = max_age


def no_credentials(scopes: Iterable[str]) -> TokenRefused:
    """401 without an error code, because RFC 6750 §3.1 wants none when nothing was presented."""
    return TokenRefused(401, "", "no_credentials", "This resource needs an access token.", scopes)


def malformed(reason: str, description: str) -> TokenRefused:
    """400 invalid_request: the request itself is wrong, a better token would not help."""
    return TokenRefused(400, "invalid_request", reason, description)


def invalid_token(reason: str, description: str) -> TokenRefused:
    """401 invalid_token: the caller should get a new token."""
    return TokenRefused(401, "invalid_token", reason, description)


def bound_token_wanted() -> TokenRefused:
    """401: a bearer token where a bound one is wanted, or a bound one without its proof (RFC 9449 §7.2)."""
    return TokenRefused(
        401, "invalid_token", "not_bound", "Send a bound token, and a DPoP proof of its key.", is_bound=True
    )


def bad_proof(reason: str) -> TokenRefused:
    """401 invalid_dpop_proof: the token may be good, but nothing proves that it is the caller's."""
    return TokenRefused(
        401, "invalid_dpop_proof", reason, "The DPoP proof is not valid for this request.", is_bound=True
    )


def nonce_wanted() -> TokenRefused:
    """401 use_dpop_nonce: the same request again, with the nonce of the answer."""
    return TokenRefused(
        401, "use_dpop_nonce", "nonce", "Send a proof with the nonce of the DPoP-Nonce header.", is_bound=True
    )


def insufficient_sign_in(
    acr_values: Iterable[str], max_age: int | None, scopes: Iterable[str]
) -> TokenRefused:
    """401 insufficient_user_authentication: the person must sign in again or more strongly (RFC 9470 §3)."""
    return TokenRefused(
        401,
        "insufficient_user_authentication",
        "insufficient_user_authentication",
        "This needs a newer or a stronger sign-in of the person.",
        scopes,
        acr_values=acr_values,
        max_age=max_age,
    )


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

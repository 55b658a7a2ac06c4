"""The one answer to every token that somebody presents and that does not count here."""

from broker.kernel.errors import ErrorCode, Refusal


def refused(reason: str, detail: str = "") -> Refusal:
    """Return ``invalid_grant``; why, and whom this tenant trusts, is in the log only."""
    return Refusal(
        ErrorCode.INVALID_GRANT,
        "The presented token is not valid for this client.",
        reason=reason,
        detail=detail,
    )

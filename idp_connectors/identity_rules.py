"""Rules for identity texts of every protocol: clean characters, and who vouches for an e-mail address."""

import unicodedata
from collections.abc import Collection

from idp_connectors.base import EmailVerifiedBy
from idp_connectors.errors import ConnectorError, ConnectorErrorCode

MAX_SUBJECT_CHARS = 255

# Cc: control, Cf: invisible format (zero width, bidirectional override), Cs: lone surrogate,
# Zl/Zp: line and paragraph separators.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def is_clean_text(text: str) -> bool:
    """Return whether every character of `text` is visible or an ordinary space."""
    # Whatever is printable is clean, and almost everything is; the rest is looked at more closely.
    return text.isprintable() or not any(
        unicodedata.category(character) in _UNSAFE_CATEGORIES for character in text
    )


def require_subject(value: object, field: str) -> str:
    """Return `value` as a subject: text, not blank, short, clean; raises ConnectorError.

    Compared as it is, without folding case or form: two spellings are two people.
    """
    if value is None:
        raise ConnectorError(
            ConnectorErrorCode.CLAIM_MISSING,
            "The identity provider did not say who signed in.",
            detail=f"{field} is absent",
            field=field,
        )
    # Without this: an invisible or control character makes one account look like another, and an empty
    # subject is everybody's account.
    if (
        not isinstance(value, str)
        or not value.strip()
        or len(value) > MAX_SUBJECT_CHARS
        or not is_clean_text(value)
    ):
        raise ConnectorError(
            ConnectorErrorCode.CLAIM_INVALID,
            "The identity provider sent an unusable name for the person who signed in.",
            detail=f"{field} is not a clean text of 1 to {MAX_SUBJECT_CHARS} characters",
            field=field,
        )
    return value


def email_verified_by(email: str, domains: Collection[str], *, asserted: bool | None) -> EmailVerifiedBy:
    """Return who vouches for `email`; `asserted` is the provider's own word (None = it said nothing).

    An address counts as the provider's own only below a domain that the connection lists exactly.
    """
    if not email or asserted is False:
        return "none"
    if email.rpartition("@")[2].lower() in {domain.lower() for domain in domains}:
        return "idp_verified_domain"
    return "idp_asserted" if asserted else "none"

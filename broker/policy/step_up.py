"""Whether a sign-in proves what was asked for (OpenID Connect Core §3.1.2.1, RFC 9470 §5)."""

from dataclasses import dataclass
from typing import Literal

SKEW_SECONDS = 60
"""How far a provider's clock may be behind ours where a sign-in is to be new."""

Unproven = Literal["login", "max_age", "acr_values"]


@dataclass(frozen=True, slots=True)
class WantedProof:
    """What a request of ``asked_at`` (epoch seconds) wants: a new sign-in, a young one, a strong one."""

    asked_at: int
    login: bool = False
    max_age: int | None = None
    acr_values: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ShownProof:
    """What the person's session shows; ``is_new`` if it began by the sign-in that this request led to.

    ``proven_at`` is the provider's word (epoch seconds), None if it gave none.
    """

    proven_at: int | None
    acr: str
    is_new: bool


def find_unproven(wanted: WantedProof, shown: ShownProof) -> Unproven | None:
    """Return the first thing that was asked for and is not proven, or None.

    Without this: a provider that lets somebody through on last week's sign-in, or with a password alone,
    would count as having done what it was asked for (S55, S56, A18). Its silence proves nothing.
    """
    earliest = wanted.asked_at - (SKEW_SECONDS if shown.is_new else 0)
    if wanted.login and not (shown.is_new and _is_since(shown.proven_at, earliest)):
        return "login"
    if wanted.max_age is not None and not _is_since(shown.proven_at, earliest - wanted.max_age):
        return "max_age"
    if wanted.acr_values and shown.acr not in wanted.acr_values:
        return "acr_values"
    return None


def _is_since(proven_at: int | None, moment: int) -> bool:
    return proven_at is not None and proven_at >= moment

"""The part of the seam about proof: what a sign-in is asked to show beside who somebody is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedProof:
    """What a provider is asked to prove; a connector asks for as much of it as its provider understands.

    `login` wants the person to sign in again, `max_age` (seconds) bounds how long ago they did. One of
    `acr_values` is to be met. Whoever asks judges the evidence of the answer itself: what a provider cannot
    be asked for, or does not prove, counts as not done.
    """

    login: bool = False
    max_age: int | None = None
    acr_values: tuple[str, ...] = ()

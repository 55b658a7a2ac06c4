"""Sentences about names that do not exist, with the name that was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: object, names: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the closest of ``names``, or nothing when none is close."""
    close = get_close_matches(str(word), sorted(names), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def unknown_key(key: object, names: Iterable[str]) -> str:
    """Return the sentence that refuses ``key`` where only ``names`` are known."""
    return f"unknown key {key!r}{did_you_mean(key, names)}"

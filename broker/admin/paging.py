"""Pages of a list that is already in order: a page begins behind the last item of the one before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items, how many there are in all, and what to ask with for more ("" at the end)."""

    items: tuple[T, ...]
    total: int
    next_after: str


def cut_page(items: Sequence[T], id_of: Callable[[T], str], after: str, size: int = PAGE_SIZE) -> Page[T]:
    """Return the items behind the one whose id is ``after``; an unknown id begins at the start."""
    ids = [id_of(item) for item in items]
    start = ids.index(after) + 1 if after in ids else 0
    shown = tuple(items[start : start + size])
    has_more = start + size < len(items)
    return Page(shown, len(items), id_of(shown[-1]) if has_more and shown else "")

"""Everything that is wrong with a document, each with its place, told at once."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from broker.kernel.errors import ErrorCode, Refusal, WhoseMove


class DocumentRefused(Refusal):
    """A document that cannot be applied; ``faults`` are sentences that begin with the place."""

    def __init__(self, faults: Sequence[str]) -> None:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        super().__init__(
            ErrorCode.BAD_CONFIGURATION,
            f"{faults[0]}{more}",
            reason="bad_document",
            whose_move=WhoseMove.ADMIN,
        )
        self.faults = tuple(faults)


class Faults:
    """Collects refusals under the place in the document that caused them."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def add(self, place: str, why: str) -> None:
        """Note that ``place`` is wrong."""
        self._found.append(f"{place}: {why}" if place else why)

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """Note a ``Refusal(bad_configuration)`` of the body under ``place`` and go on behind it."""
        try:
            yield
        except Refusal as refusal:
            if refusal.code is not ErrorCode.BAD_CONFIGURATION:
                raise
            self._found.append(_join(place, refusal.public))

    @property
    def count(self) -> int:
        """How many were noted so far."""
        return len(self._found)

    def raise_any(self) -> None:
        """Raise ``DocumentRefused`` with all that was noted, if anything was."""
        if self._found:
            raise DocumentRefused(self._found)


def place_of(steps: Iterable[str | int]) -> str:
    """Return ``tenants[0].agents[1].name`` for the steps of a path."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _join(place: str, public: str) -> str:
    # "max_depth: too large" below tenants[0] reads tenants[0].max_depth: too large.
    field, colon, _ = public.partition(":")
    is_field = bool(colon) and " " not in field and field[:1].islower()
    return f"{place}.{public}" if is_field else f"{place}: {public}"

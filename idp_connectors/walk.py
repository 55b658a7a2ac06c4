"""Walking a whole directory part by part, so that a walk that was killed goes on where it was."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from idp_connectors.base import Deps, Group

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
MAX_PART = 2_000
"""A part with more entries than this is split, except for what is left over when parts were split off."""


class PartTooLarge(Exception):  # noqa: N818 (an order to split, not a fault)
    """The part has more than `MAX_PART` entries; those that were told before this are its own."""


@dataclass(frozen=True, slots=True)
class Part:
    """The entries whose name begins with `prefix`; `is_rest`: and goes on with nothing of `ALPHABET`."""

    prefix: str = ""
    is_rest: bool = False

    def split(self) -> tuple["Part", ...]:
        """Return parts that hold the same entries between them, each entry once."""
        return (*(Part(self.prefix + letter) for letter in ALPHABET), Part(self.prefix, is_rest=True))


@dataclass(frozen=True, slots=True)
class ListedPerson:
    """A person as a directory lists them; `key` is what groups know them by.

    `groups` are keys of groups that do not list the person although they are in it.
    """

    subject: str
    key: bytes
    is_active: bool
    groups: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class ListedGroup:
    """A group, the names that it has, and the keys of its direct members: people and groups.

    `aliases` are other keys that the group goes by; `is_cut` says that members are missing.
    """

    key: bytes
    facts: tuple["Group", ...]
    members: tuple[bytes, ...]
    aliases: tuple[bytes, ...] = ()
    is_cut: bool = False


class DirectoryWalk(Protocol):
    """One directory, to be read from end to end."""

    every_seconds: int
    """After how long it is to be walked again; 0 is only when somebody asks."""
    max_depth: int
    """How many groups within groups are followed, as when one person's groups are looked up."""
    source: str
    """What the groups are told to come from."""

    def people(self, part: Part, deps: "Deps") -> Iterator[tuple[ListedPerson, ...]]:
        """Yield the part's people, page by page; raises ConnectorError, PartTooLarge."""

    def groups(self, part: Part, deps: "Deps") -> Iterator[tuple[ListedGroup, ...]]:
        """Yield the part's groups, page by page; raises ConnectorError, PartTooLarge."""


@runtime_checkable
class WalksDirectory(Protocol):
    """Is implemented by connectors whose directory can be read from end to end."""

    def directory_walk(self, config: Mapping[str, Any], secrets: Mapping[str, str]) -> DirectoryWalk:
        """Return the walk for stored `config` and opened `secrets`; raises ConnectorError."""

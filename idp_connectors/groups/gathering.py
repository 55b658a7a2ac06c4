"""Turns asking in many steps into one `GroupAnswer`: complete only if every step went well."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from idp_connectors.base import Deps, Group, GroupAnswer, GroupsState
from idp_connectors.identity_rules import is_clean_text

MAX_GROUPS = 5_000
MAX_VALUE_CHARS = 500
MAX_DISPLAY_CHARS = 256

_USERNAME = re.compile(r"[A-Za-z0-9._+'-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){1,8}")


class LookupFailed(Exception):
    """The source could not be asked to the end; the text is for administrators and holds no secret.

    `is_cut` says that a limit of ours ended it, not a fault of the source.
    """

    def __init__(self, problem: str, *, is_cut: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.is_cut = is_cut


class PersonUnknown(Exception):
    """The source knows nobody under this key."""


@dataclass
class Gathered:
    """The groups found so far, each once."""

    groups: dict[str, Group] = field(default_factory=dict)

    def add(self, group: Group) -> bool:
        """Keep `group` and return whether it is new; raises LookupFailed at the limit."""
        if not group.value or len(group.value) > MAX_VALUE_CHARS or not is_clean_text(group.value):
            raise LookupFailed("The source named a group in an unusable way.")
        if group.value in self.groups:
            return False
        # Without this: somebody puts a person into so many groups that the answer fills the memory.
        if len(self.groups) >= MAX_GROUPS:
            raise LookupFailed(f"The person is in more than {MAX_GROUPS} groups.", is_cut=True)
        self.groups[group.value] = group
        return True


def gather(source: str, deps: Deps, work: Callable[[Gathered], None]) -> GroupAnswer:
    """Return what `work` gathered; "complete" only if it came to its end.

    What was found before a failure is kept beside the state that says it is not all.
    """
    gathered = Gathered()
    state: GroupsState = "complete"
    problem = ""
    try:
        work(gathered)
    except PersonUnknown:
        return GroupAnswer(
            groups=(),
            state="absent",
            source=source,
            fetched_at=deps.now,
            person="not_found",
            problem="The source knows nobody under this name.",
        )
    except LookupFailed as failed:
        state = "truncated" if failed.is_cut and gathered.groups else "error"
        problem = failed.problem
    return GroupAnswer(
        groups=tuple(gathered.groups.values()),
        state=state,
        source=source,
        fetched_at=deps.now,
        problem=problem,
    )


def display_of(value: object) -> str:
    """Return `value` as a group's display name; "" for what cannot be shown."""
    return value[:MAX_DISPLAY_CHARS] if isinstance(value, str) and is_clean_text(value) else ""


def require_username(key: str) -> str:
    """Return a user name that is shaped like an address; raises LookupFailed.

    Without this: dots, slashes or queries in a name ask the source about something else.
    """
    if not _USERNAME.fullmatch(key):
        raise LookupFailed("This cannot be a user name.")
    return key

"""Where an agent keeps tokens and begun sign-ins; an agent of several processes brings a store of its own."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

MAX_BEGUN = 1000
"""More sign-ins that nobody finished are not kept: the oldest goes."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one person let the agent have; ``expires_at`` is in epoch seconds."""

    access_token: str
    expires_at: int
    scope: str
    refresh_token: str = ""


@dataclass(frozen=True, slots=True)
class BegunSignIn:
    """A person who was sent to the authorization endpoint and has not come back."""

    person: str
    verifier: str


class TokenStore(Protocol):
    """Keeps tokens by person and begun sign-ins by state."""

    def load(self, person: str) -> Tokens | None:
        """Return the person's tokens, or None."""

    def save(self, person: str, tokens: Tokens | None) -> None:
        """Keep the person's tokens; None forgets them."""

    def begin(self, state: str, begun: BegunSignIn) -> None:
        """Keep a sign-in until it is taken."""

    def take(self, state: str) -> BegunSignIn | None:
        """Return a begun sign-in and forget it, in one step, or None."""


class MemoryStore:
    """The store of one process; nothing outlives it."""

    def __init__(self) -> None:
        self._tokens: dict[str, Tokens] = {}
        self._begun: OrderedDict[str, BegunSignIn] = OrderedDict()
        self._lock = threading.Lock()

    def load(self, person: str) -> Tokens | None:
        """Return the person's tokens, or None."""
        with self._lock:
            return self._tokens.get(person)

    def save(self, person: str, tokens: Tokens | None) -> None:
        """Keep the person's tokens; None forgets them."""
        with self._lock:
            if tokens is None:
                self._tokens.pop(person, None)
            else:
                self._tokens[person] = tokens

    def begin(self, state: str, begun: BegunSignIn) -> None:
        """Keep a sign-in until it is taken."""
        with self._lock:
            self._begun[state] = begun
            while len(self._begun) > MAX_BEGUN:
                self._begun.popitem(last=False)

    def take(self, state: str) -> BegunSignIn | None:
        """Return a begun sign-in and forget it, in one step, or None."""
        with self._lock:
            return self._begun.pop(state, None)

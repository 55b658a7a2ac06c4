"""What is known of a call before anything is decided: when, which, from where."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallContext:
    """One request: ``now`` in epoch seconds, its id for people and logs, and where it came from."""

    now: int
    request_id: str
    ip: str = ""
    user_agent: str = ""

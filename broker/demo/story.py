"""What happens in the demo, a method a step: the console clicks through it, the journey asserts it."""

import time
from dataclasses import dataclass, field
from typing import Any

from broker.demo.agents import DemoAgent, ToolAnswer, claims_of
from broker.demo.mcp_server import CREATE, READ, STATUS


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call as the console lists it; `at` is in epoch seconds."""

    at: int
    agent: str
    tool: str
    is_allowed: bool
    detail: str


@dataclass(slots=True)
class Story:
    """The two agents and what they hold at the moment."""

    planner: DemoAgent
    writer: DemoAgent
    planner_token: str = ""
    planner_refresh: str = ""
    writer_token: str = ""
    calls: list[ToolCall] = field(default_factory=list)

    def begin(self) -> str:
        """The address on which a person allows the planner; forgets what was held before."""
        self.planner_token = self.planner_refresh = self.writer_token = ""
        self.calls.clear()
        return self.planner.begin(f"{READ} {CREATE}")

    def finish(self, query: dict[str, str]) -> None:
        """The planner redeems what the person's browser brought back. Raises OAuthRefused, ValueError."""
        tokens = self.planner.finish(query)
        self.planner_token, self.planner_refresh = tokens.access_token, tokens.refresh_token

    def list_tickets(self) -> ToolAnswer:
        """The planner reads."""
        return self._call(self.planner, self.planner_token, "list_tickets")

    def hand_over(self, scope: str = CREATE) -> None:
        """The ticket writer turns the planner's token into its own, narrower one. Raises OAuthRefused."""
        self.writer_token = self.writer.join_chain(self.planner_token, scope, own_scope=STATUS).access_token

    def create_ticket(self, title: str = "Projector in room 2 stays dark") -> ToolAnswer:
        """The ticket writer changes something."""
        return self._call(self.writer, self.writer_token, "create_ticket", title=title)

    def read_beyond(self) -> ToolAnswer:
        """The ticket writer tries what was not handed to it."""
        return self._call(self.writer, self.writer_token, "list_tickets")

    @property
    def shown_token(self) -> str:
        """The token that is worth looking at: the writer's, else the planner's."""
        return self.writer_token or self.planner_token

    def shown_claims(self) -> dict[str, Any]:
        """Its claims, or nothing."""
        return claims_of(self.shown_token) if self.shown_token else {}

    def _call(self, agent: DemoAgent, token: str, tool: str, **arguments: Any) -> ToolAnswer:
        answer = agent.call_tool(token, tool, **arguments)
        detail = (
            _in_words(answer.result)
            if answer.is_allowed
            else f"HTTP {answer.status}: {_reason(answer.challenge)}"
        )
        self.calls.insert(0, ToolCall(int(time.time()), agent.name, tool, answer.is_allowed, detail))
        return answer


def _in_words(result: dict[str, Any]) -> str:
    """A tool's result as a line for people: lists are joined, an empty one says none."""
    words = []
    for name, value in result.items():
        said = ", ".join(map(str, value)) or "none" if isinstance(value, list) else value
        words.append(f"{name}: {said}")
    return "; ".join(words)


def _reason(challenge: str) -> str:
    return challenge.partition('error_description="')[2].partition('"')[0] or "refused"

"""Waiting requests: one browser, one session, one decision, one end."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.approvals import interactions
from broker.kernel.errors import ErrorCode, Refusal
from tests.builders.world import World, open_world

BROWSER = "b" * 43


class Waiting:
    """One waiting request of a tenant."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tenant_id = world.tenant().id
        self.handle = self.do(
            interactions.open_interaction,
            tenant_id=self.tenant_id,
            client_id="cli_1",
            request={"scopes": ["a"]},
            browser_secret=BROWSER,
            now=world.now,
        )

    def do(self, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
        with self.world.rt.database.write(named.get("tenant_id") or self.tenant_id) as session:
            return function(session, *given, **named)

    def load(self, browser: str | None = BROWSER) -> interactions.InteractionView:
        return self.do(interactions.load_interaction, self.tenant_id, self.handle, browser, self.world.now)

    def bind(self, session_id: str) -> None:
        self.do(interactions.bind_session, self.tenant_id, self.handle, session_id, self.world.now)

    def release(self, session_id: str) -> bool:
        return self.do(interactions.release_session, self.tenant_id, self.handle, session_id, self.world.now)

    def decide(self, session_id: str, allowed: bool, consent_id: str | None = None) -> None:
        self.do(
            interactions.record_decision,
            self.tenant_id,
            self.handle,
            session_id=session_id,
            allowed=allowed,
            consent_id=consent_id,
            now=self.world.now,
        )

    def finish(self) -> None:
        self.do(interactions.finish, self.tenant_id, self.handle, self.world.now)

    def refused(self, function: Callable[..., Any], *given: Any) -> str:
        with pytest.raises(Refusal) as caught:
            function(*given)
        assert caught.value.code is ErrorCode.SIGN_IN_EXPIRED
        return caught.value.reason


@pytest.fixture
def waiting(database_url: str, tmp_path: Path) -> Iterator[Waiting]:
    with open_world(database_url, tmp_path) as world:
        yield Waiting(world)


def test_a_request_is_allowed_and_finished(waiting: Waiting) -> None:
    waiting.bind("ses_1")
    waiting.bind("ses_1")
    waiting.decide("ses_1", True, "cns_1")
    view = waiting.load()
    assert (view.state, view.consent_id, view.session_id) == ("allowed", "cns_1", "ses_1")
    assert view.request == {"scopes": ["a"]}
    assert view.expires_at == waiting.world.now + 600
    waiting.finish()
    assert waiting.refused(waiting.load) == "interaction_finished"
    assert waiting.refused(waiting.finish) == "interaction_finished"


def test_a_request_with_a_consent_is_finished_without_a_decision(waiting: Waiting) -> None:
    waiting.bind("ses_1")
    waiting.finish()
    assert waiting.refused(waiting.decide, "ses_1", True) == "decision_repeated"


def test_only_its_browser_loads_it(waiting: Waiting) -> None:
    assert waiting.refused(waiting.load, "c" * 43) == "interaction_of_other_browser"
    assert waiting.refused(waiting.load, None) == "interaction_unknown"
    waiting.load()
    waiting.world.clock.advance(600)
    assert waiting.refused(waiting.load) == "interaction_expired"
    assert waiting.refused(waiting.finish) == "interaction_finished"


def test_another_tenant_does_not_know_it(waiting: Waiting) -> None:
    beta = waiting.world.tenant("beta")
    with waiting.world.rt.database.read(beta.id) as session, pytest.raises(Refusal):
        interactions.load_interaction(session, beta.id, waiting.handle, BROWSER, waiting.world.now)


def test_one_session_answers(waiting: Waiting) -> None:
    assert waiting.refused(waiting.decide, "ses_1", True) == "decision_repeated"
    waiting.bind("ses_1")
    assert waiting.refused(waiting.bind, "ses_2") == "session_swapped"
    assert waiting.refused(waiting.decide, "ses_2", True) == "decision_repeated"
    waiting.decide("ses_1", False)
    assert waiting.refused(waiting.decide, "ses_1", True) == "decision_repeated"
    assert waiting.load().state == "denied"


def test_not_me_frees_an_undecided_request_only(waiting: Waiting) -> None:
    waiting.bind("ses_1")
    assert not waiting.release("ses_2")
    assert waiting.release("ses_1")
    waiting.bind("ses_2")
    waiting.decide("ses_2", True, "cns_1")
    assert not waiting.release("ses_2")
    assert waiting.refused(waiting.bind, "ses_3") == "session_swapped"

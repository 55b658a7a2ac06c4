"""Every event has words of its own, and its news is coloured."""

import pytest

from broker.audit.events import AuditEvent
from broker.audit.wording import tone_of, words_of


def test_every_event_has_words_and_no_two_share_them() -> None:
    words = [words_of(event.value) for event in AuditEvent]
    assert len(set(words)) == len(words)
    assert not set(words) & {event.value for event in AuditEvent}


def test_an_unknown_name_stands_for_itself() -> None:
    assert words_of("future.event") == "future.event"


@pytest.mark.parametrize(
    ("event", "outcome", "tone"),
    [
        (AuditEvent.TOKEN_ISSUED, "ok", "good"),
        (AuditEvent.TOKEN_ISSUED, "refused", "bad"),
        (AuditEvent.AGENT_KILLED, "ok", "bad"),
        (AuditEvent.AGENT_SUSPENDED, "ok", "caution"),
        (AuditEvent.ROLE_CHANGED, "ok", "plain"),
    ],
)
def test_news_are_coloured(event: AuditEvent, outcome: str, tone: str) -> None:
    assert tone_of(event.value, outcome) == tone

"""Sources that are endless, slow or busy: a lookup ends in time, and what it lacks is never taken for all."""

import httpx2
import pytest

from idp_connectors.base import MemoryCache
from idp_connectors.groups import calls
from idp_connectors.groups.gathering import MAX_GROUPS
from tests.builders.connector_deps import NOW
from tests.builders.graph import PERSON
from tests.builders.looking_up import INQUIRIES, Inquiry, at_graph, at_okta
from tests.builders.lookup_source import DripStream, busy


@pytest.fixture(params=INQUIRIES)
def inquiry(request: pytest.FixtureRequest) -> Inquiry:
    return INQUIRIES[request.param]()


def test_one_huge_page_is_not_read_to_its_end(inquiry: Inquiry):
    assert inquiry.ask().state == "complete"

    def padded(request: httpx2.Request) -> httpx2.Response:
        honest = inquiry.source.answer(request)
        return httpx2.Response(200, content=b" " * calls.MAX_REPLY_BYTES + honest.content)

    inquiry.source.faults = [padded]
    assert inquiry.ask().state == "error"


def test_more_groups_than_the_limit_are_truncated():
    inquiry = at_graph()
    inquiry.source.members[PERSON] = list(range(MAX_GROUPS))
    assert (len(inquiry.ask().groups), inquiry.ask().state) == (MAX_GROUPS, "complete")
    inquiry.source.members[PERSON] = list(range(MAX_GROUPS + 1))
    assert (len(inquiry.ask().groups), inquiry.ask().state) == (MAX_GROUPS, "truncated")


def test_endless_pages_are_truncated_after_so_many_requests():
    inquiry = at_graph()
    inquiry.source.page_size, inquiry.source.members[PERSON] = 1, list(range(50))
    assert inquiry.ask().state == "complete"
    inquiry.source.members[PERSON] = list(range(500))
    answer = inquiry.ask()
    assert (answer.state, len(answer.groups)) == ("truncated", calls.MAX_CALLS - 1)


def test_large_pages_are_counted_together(monkeypatch: pytest.MonkeyPatch):
    inquiry = at_graph()
    inquiry.source.members[PERSON] = list(range(3000))
    assert inquiry.ask().state == "complete"
    monkeypatch.setattr(calls, "MAX_TOTAL_BYTES", 200_000)
    assert inquiry.ask().state == "truncated"


def test_slow_pages_end_with_the_budget():
    inquiry = at_graph()
    inquiry.source.page_size, inquiry.source.members[PERSON] = 10, list(range(50))
    assert inquiry.ask().state == "complete"

    def slowly(request: httpx2.Request) -> httpx2.Response:
        inquiry.source.watch.seconds += 3.0
        return inquiry.source.answer(request)

    inquiry.source.faults = [slowly] * 5
    answer = inquiry.ask()
    assert (answer.state, len(answer.groups)) == ("truncated", 20)
    assert inquiry.source.watch.seconds <= calls.BUDGET_SECONDS + 3.0


def test_a_page_that_drips_ends_with_the_budget(inquiry: Inquiry):
    assert inquiry.ask().state == "complete"
    watch = inquiry.source.watch
    inquiry.source.faults = [lambda request: httpx2.Response(200, stream=DripStream(watch, 1.0, 10_000))]
    assert inquiry.ask().state == "error"
    assert watch.seconds <= calls.BUDGET_SECONDS + 1


def test_a_source_that_asks_for_a_moment_gets_it(inquiry: Inquiry):
    inquiry.source.faults = [busy("2"), busy("3", 503)]
    assert inquiry.ask().state == "complete"
    assert inquiry.source.watch.waits == [2.0, 3.0]


def test_okta_says_by_the_clock_when_it_has_time_again():
    inquiry = at_okta()
    reset = {"X-Rate-Limit-Reset": str(NOW + 4)}
    inquiry.source.faults = [lambda request: httpx2.Response(429, headers=reset, json={})]
    assert inquiry.ask().state == "complete"
    assert inquiry.source.watch.waits == [4.0]


@pytest.mark.parametrize("asked", ["", "soon", "-1", "1e9", "9" * 40, "Wed, 21 Oct 2037 07:28:00 GMT"])
def test_an_odd_wish_for_patience_is_answered_with_a_little(inquiry: Inquiry, asked: str):
    inquiry.source.faults = [busy(asked)]
    assert inquiry.ask().state == "complete"
    assert inquiry.source.watch.waits == [1.0]


def test_a_storm_of_refusals_is_left_alone(inquiry: Inquiry):
    cache = MemoryCache()
    inquiry.source.faults = [busy("120")]
    assert inquiry.ask(cache=cache).state == "error"
    asked = len(inquiry.source.requests)
    assert [inquiry.ask(now=NOW + passed, cache=cache).state for passed in (1, 60, 119)] == ["error"] * 3
    assert (len(inquiry.source.requests), inquiry.source.watch.waits) == (asked, [])
    assert inquiry.ask(now=NOW + 120, cache=cache).state == "complete"


def test_a_source_that_is_busy_without_end_is_asked_a_few_times(inquiry: Inquiry):
    inquiry.source.faults = [busy("0")] * 50
    assert inquiry.ask().state == "error"
    assert len(inquiry.source.api_requests()) == calls.MAX_ATTEMPTS
    inquiry.source.faults = []
    assert inquiry.ask().state == "complete"
